"""Measure rows per second and peak memory from a CSV table of image paths to the roles, for some rows and twice as many.

    python -m benchmarks.ingestion [--rows 500000] [--folder FOLDER]

run from the project's root. The table is synthetic: positions as text (some with a decimal comma, some wrong), a thousand
names, dates, three roles, paths of images that are never opened, a few ids repeated. `download` and `split` are the stages with
params.yaml's settings, but for the source and the seeds (one), `read` is `read_observations`; seconds are of CPU time. Each
size runs in a process of its own, whose peak memory (all of it, what Python and its packages take included) is shown; the
last line is the ratio of the times: 2 is linear.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

BATCH = 65536
"""Rows that are made at a time."""

PARTS = ("download", "split", "read")


def synthetic(rows: int, *, seed: int = 0) -> Iterator[pa.RecordBatch]:
    """Yield batches as a source of a CSV file does: of 1000 rows 2 have no position, 1 a wrong one, 1 a used id."""
    from cspops.intake.rows import batch

    names = pa.array([f"Genus{n // 10} species{n}" for n in range(1000)])
    roles = pa.array(["train", "val", "test"])
    stream = np.random.default_rng(seed)
    for start in range(0, rows, BATCH):
        n = min(BATCH, rows - start)
        number = np.arange(start, start + n)
        lon, lat = stream.uniform(-180, 180, n).round(6), stream.uniform(-85, 85, n).round(6)
        lat[number % 1000 == 7] += 200
        missing = pa.array(np.isin(number % 1000, (3, 4)))
        text = [
            pc.if_else(missing, pa.scalar(None, pa.string()), pc.cast(pa.array(values), pa.string())) for values in (lon, lat)
        ]
        comma = pa.array(number % 100 == 5)
        text = [pc.if_else(comma, pc.replace_substring(one, ".", ","), one) for one in text]
        line = pc.cast(pa.array(number + 2), pa.string())
        used = np.where(number % 1000 == 9, np.maximum(number - 1, 0), number)
        path = pc.binary_join_element_wise("photos/2017/", pc.cast(pa.array(number), pa.string()), ".jpg", "")
        yield batch(
            {
                "where": pc.binary_join_element_wise("table.csv:", line, ""),
                "obs_id": pc.binary_join_element_wise("https://example.org/", pc.cast(pa.array(used), pa.string()), ""),
                "lon": text[0],
                "lat": text[1],
                "label": names.take(pa.array((1000 * stream.random(n) ** 2).astype(np.int64))),
                "captured_at": pa.array(np.datetime64("2010-01-01T00:00:00") + stream.integers(0, 3 * 10**8, n)).cast(
                    pa.string()
                ),
                "location_id": pc.cast(pa.array(number // 4), pa.string()),
                "official_split": roles.take(pa.array(stream.choice(3, n, p=(0.8, 0.1, 0.1)))),
                "image": pa.StructArray.from_arrays([pa.nulls(n, pa.binary()), path], ["bytes", "path"]),
            }
        )


def write_table(file: Path, rows: int) -> None:
    """Write the synthetic rows as a CSV file with usual column names."""
    file.parent.mkdir(parents=True, exist_ok=True)
    names = ("obs_id", "lon", "lat", "label", "captured_at", "location_id", "split", "image")
    with pa_csv.CSVWriter(file, pa.schema([(name, pa.string()) for name in names])) as writer:
        for one in synthetic(rows):
            path = pc.struct_field(one["image"], "path")
            columns = [one["official_split" if name == "split" else name] for name in names[:-1]] + [path]
            writer.write_batch(pa.record_batch(columns, names=list(names)))


def measured(rows: int, folder: Path) -> dict[str, float]:
    """Return CPU seconds of each part for ``folder``/data/table.csv, and this process's peak memory in bytes."""
    from cspops.data.catalogue import read_observations
    from cspops.host import Host
    from cspops.params import VIEWS, load, view, with_values
    from cspops.pipeline import download, split
    from cspops.site import Site

    values = {"dataset.source": "table", "dataset.table.inspection": "none", "seeds": [0]}
    params = with_values(load(Path("params.yaml")), values.items())
    inputs = {"download": folder / "download"}
    times = {}
    for name, stage in (("download", download), ("split", split)):
        (folder / name).mkdir()
        site = Site(folder / "data", inputs, folder, folder / name, folder / "scratch", Host())
        before = time.process_time()
        stage.run(view(params, VIEWS[name]), site)
        times[name] = time.process_time() - before
    before = time.process_time()
    observations = read_observations(folder / "download")
    times["read"] = time.process_time() - before
    account = json.loads((folder / "download/account.json").read_text())
    if len(observations.obs_id) != account["observations"] or account["observations"] + account["rejected"] != rows:
        raise RuntimeError(f"{rows} rows became {account['observations']} observations and {account['rejected']} rejected rows")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return times | {"peak": float(peak), "rejected": float(account["rejected"])}


def in_its_own_process(rows: int, folder: Path) -> dict[str, float]:
    """Run `measured` in a new process."""
    command = [sys.executable, "-m", "benchmarks.ingestion", "--one", str(rows), "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measurement: dict[str, float] = json.loads(done.stdout)
    return measurement


def table(rows: int, folder: Path) -> str:
    """Format the measurements at ``rows`` and twice as many, one per line."""
    lines = [f"{'rows':>10}{'set aside':>11}{'download':>11}{'split':>9}{'read':>9}{'rows/s':>10}{'peak memory':>13}"]
    both = []
    for size in (rows, 2 * rows):
        with tempfile.TemporaryDirectory(dir=folder) as here:
            write_table(Path(here) / "data" / "table.csv", size)
            one = in_its_own_process(size, Path(here))
        both.append(sum(one[part] for part in PARTS))
        seconds = "".join(f"{one[part]:>{width}.1f} s" for part, width in zip(PARTS, (9, 7, 7), strict=True))
        lines.append(f"{size:>10,}{one['rejected']:>11,.0f}{seconds}{size / both[-1]:>10,.0f}{one['peak'] / 2**20:>9,.0f} MiB")
    lines.append(f"twice the rows take {both[1] / both[0]:.2f} times as long")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--folder", type=Path, help="for the temporary catalogue")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is None:
        print(table(arguments.rows, arguments.folder))
    else:
        print(json.dumps(measured(arguments.one, arguments.folder)))


if __name__ == "__main__":
    main()
