"""Measure time, memory and disk against rows, classes and ranks, and extrapolate to 10^8 images and 10^5 classes.

    python -m benchmarks.scale [--largest 1000000] [--classes 100000] [--ranks 1 2] [--out FILE]

run from the project's root; some four minutes on two cores. Everything is synthetic, of the paper's shapes (features of 2,048
numbers, d 256, batch 1024, loss mc with B, L and D), and goes through what the stages and commands themselves call. Each
measurement is a process of its own: its seconds are those of the work without imports, CPU seconds are those of a rank, and
its peak is that of its largest process. Ranks that train together include their start.

`benchmarks.cost_model` fits the costs and extrapolates them.
"""

import argparse
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks import evaluation, feature_files, training
from benchmarks.cost_model import (
    EMBED,
    EVALUATE,
    FINETUNE,
    PRETRAIN,
    READ,
    STEPS,
    WRITTEN,
    Cost,
    Here,
    Point,
    fits_of,
    print_model,
)
from benchmarks.evaluation import peak_mb
from cspops.commands import main as command_line
from cspops.data import features
from cspops.data.batches import Labelled
from cspops.geo import uniform_on_sphere
from cspops.host import Host
from cspops.models.checkpoint import save_model
from cspops.models.location_encoder import LocationEncoder
from cspops.params import value_at
from cspops.params.graph import PretrainView
from cspops.params.location_classifiers import PresenceAbsence
from cspops.params.sections import Pretrain
from cspops.pipeline.featurize import BLOCK
from cspops.site import Site
from cspops.training.finetune_loc import finetune_loc
from cspops.training.loop import Run

WIDTH = 2048
LABELLED = 2000
TOGETHER = "cspops.pipeline.together"
"""The module that runs a stage in several processes."""
RANKS = (1, 2)


# --- what is measured: `prepare` writes what the work reads, in this process; `work` is done in a process of its own


def write_features(folder: Path, rows: int) -> None:
    """Write one block again and again, as stage featurize writes features."""
    block = np.random.default_rng(0).standard_normal((BLOCK, WIDTH), dtype=np.float32)
    feature_files.write_features(folder, ids(rows), WIDTH, lambda n: block[:n])


def read_features(folder: Path, rows: int) -> None:
    """Read every row once, in blocks in random order."""
    matrix = features.read_features(folder, ids(rows))
    for block in np.random.default_rng(0).permutation(-(-rows // BLOCK)):
        matrix[block * BLOCK : (block + 1) * BLOCK].max()


def ids(n: int) -> list[str]:
    return [f"o{i}" for i in range(n)]


def prepare_pretraining(point: Point, folder: Path) -> None:
    shapes = evaluation.Shapes(rows=1, classes=10, labelled=point.rows, features=WIDTH)
    evaluation.write(folder / "artifacts", shapes)


def pretrain(point: Point, folder: Path) -> None:
    """One epoch of stage pretrain, reading included."""
    section = training.PARAMS.location_encoder
    schedule = Pretrain(epochs=1, batch_size=1024, negative_locations=1, negatives="sphere")
    encoding = value_at(training.PARAMS, f"encodings.{section.encoding.name}")
    network = value_at(training.PARAMS, f"networks.{section.network.name}")
    time = value_at(training.PARAMS, f"times.{section.time}")
    view = PretrainView((0,), section, encoding, network, time, "mc", training.LOSS, schedule)
    for name in ("out", "scratch"):
        (folder / name).mkdir()
    site = Site(folder, inputs(folder), folder, folder / "out", folder / "scratch", Host(device="cpu"))
    if point.ranks > 1:
        importlib.import_module(TOGETHER).run_on(point.ranks, "pretrain", view, site)
    else:
        importlib.import_module("cspops.pipeline.pretrain").run(view, site)


def inputs(folder: Path) -> dict[str, Path]:
    return {stage: folder / "artifacts" / stage for stage in evaluation.STAGES}


def finetune(point: Point, folder: Path) -> None:
    """Two steps of the training of stage finetune-loc, presence-absence over all classes."""
    label = torch.randint(point.classes, (point.rows,), generator=torch.Generator().manual_seed(0))
    finetune_loc(
        Labelled(training.places(point.rows), label, point.classes),
        LocationEncoder(training.Shapes().encoder),
        training.FINETUNE.model_copy(update={"steps": STEPS, "batch_size": point.rows}),
        PresenceAbsence(beta=training.BETA),
        negatives=uniform_on_sphere,
        run=Run(0, torch.device("cpu")),
    )


def prepare_evaluation(point: Point, folder: Path) -> None:
    shapes = evaluation.Shapes(rows=point.rows // 2, classes=point.classes, labelled=LABELLED, features=WIDTH)
    evaluation.write(folder / "artifacts", shapes)


def evaluate(point: Point, folder: Path) -> None:
    """Stage evaluate of one seed and label ratio; half of the rows are of validation."""
    evaluation.in_blocks(inputs(folder), folder / "out")


def prepare_embedding(point: Point, folder: Path) -> None:
    lonlat = training.places(point.rows).numpy()
    table = pa.table({"lon": lonlat[:, 0], "lat": lonlat[:, 1]})
    pq.write_table(table, folder / "places.parquet", row_group_size=50_000)
    encoder = LocationEncoder(training.Shapes().encoder)
    save_model(folder / "model", encoder, encoder.config)


def embed(point: Point, folder: Path) -> None:
    """`cspops embed` of the rows of a Parquet table, into .npy."""
    names = (folder / "places.parquet", "--model", folder / "model", "--out", folder / "out.npy")
    sys.argv = ["cspops", "--quiet", "embed", *map(str, names)]
    if status := command_line():
        raise SystemExit(status)


def nothing(point: Point, folder: Path) -> None:
    """Prepare nothing."""


WORK: dict[str, tuple[Callable[[Point, Path], None], Callable[[Point, Path], None]]] = {
    WRITTEN: (nothing, lambda point, folder: write_features(folder, point.rows)),
    READ: (lambda point, folder: write_features(folder, point.rows), lambda point, folder: read_features(folder, point.rows)),
    PRETRAIN: (prepare_pretraining, pretrain),
    FINETUNE: (nothing, finetune),
    EVALUATE: (prepare_evaluation, evaluate),
    EMBED: (prepare_embedding, embed),
}
"""What prepares each piece of work, and what does it."""


def points_of(largest: int, classes: int, ranks: Sequence[int]) -> list[Point]:
    """Return what is measured, three sizes each; pre-training stops at a tenth of the rows, evaluation has few."""
    rows, counts = ([max(2, most // part) for part in (100, 10, 1)] for most in (largest, classes))
    evaluated = max(2, min(400, largest // 100))
    return [
        *(Point(leg, n) for leg in (WRITTEN, READ) for n in rows),
        *(Point(PRETRAIN, max(20, largest // part), ranks=together) for together in ranks for part in (100, 30, 10)),
        *(Point(FINETUNE, min(1024, largest), q) for q in counts),
        *(Point(EVALUATE, evaluated, q) for q in counts),
        Point(EVALUATE, 10 * evaluated, counts[0]),  # without it a product would be a sum along each axis
        *(Point(EVALUATE, more * evaluated, counts[1]) for more in (10, 40)),
        *(Point(EMBED, n) for n in rows),
    ]


# --- measuring


def measured(point: Point) -> Cost:
    """Prepare the work, and do it in a process of its own."""
    prepare, _ = WORK[point.leg]
    with tempfile.TemporaryDirectory(prefix="cspops-scale-") as name:
        folder = Path(name)
        prepare(point, folder)
        before = written(folder)
        code = f"from benchmarks import scale; scale.work(scale.Point(**{asdict(point)!r}), {name!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{point} failed:\n{done.stderr}")
        wall, cpu, peak = json.loads(done.stdout.splitlines()[-1])
        return Cost(wall, cpu / point.ranks, peak, written(folder) - before)


def work(point: Point, folder: str) -> None:
    """Do the work in this process; print wall and CPU seconds, and the peak of the largest process above that of imports."""
    torch.set_num_threads(1)
    _, do = WORK[point.leg]
    imports, start, cpu = peak_mb(), time.perf_counter(), time.process_time()
    do(point, Path(folder))
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    ranks = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = max(peak_mb(), ranks.ru_maxrss * (1e-6 if sys.platform == "darwin" else 1e-3))
    print(json.dumps([wall, cpu + ranks.ru_utime + ranks.ru_stime, peak - imports]))


def written(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--largest", type=int, default=10**6, help="most rows; pre-training takes a tenth")
    parser.add_argument("--classes", type=int, default=10**5, help="most classes")
    parser.add_argument("--ranks", type=int, nargs="+", default=RANKS, help="processes that pre-train together")
    parser.add_argument("--out", type=Path, help="a JSON file of everything", metavar="FILE")
    arguments = parser.parse_args(argv)
    print(f"torch {torch.__version__}, one thread per process, {os.cpu_count()} cores\n")
    print(f"{'MEASURED':24}{'rows':>11}{'classes':>9}{'ranks':>7}{'wall s':>9}{'CPU s':>9}{'peak MB':>10}{'disk MB':>10}")
    costs = {}
    for point in points_of(arguments.largest, arguments.classes, arguments.ranks):
        costs[point] = one = measured(point)
        about = f"{point.leg:24}{point.rows:11,}{f'{point.classes:,}' if point.classes else '':>9}{point.ranks:>7}"
        print(f"{about}{one.wall:9.2f}{one.cpu:9.2f}{one.peak_mb:10,.0f}{one.disk / 1e6:10,.1f}", flush=True)
    fits = fits_of(costs)
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needs = print_model(costs, fits, Here(memory=pages, disk=shutil.disk_usage(tempfile.gettempdir()).free))
    if arguments.out:
        measurements = [asdict(point) | asdict(cost) for point, cost in costs.items()]
        fitted = [{"leg": leg, "ranks": ranks, "unit": unit} | asdict(fit) for (leg, ranks, unit), fit in fits.items()]
        extrapolated = [asdict(need) for need in needs]
        content = {"measured": measurements, "fits": fitted, "extrapolated": extrapolated}
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
