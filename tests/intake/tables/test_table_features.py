"""Embeddings that a table comes with, from its columns or a matrix, to the features that the stages read."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cspops.data.given_features import read_given
from cspops.errors import DataError
from cspops.host import Host
from cspops.intake.rows import Account
from cspops.intake.tables.features import BEYOND, LEAST, MISSING, WIDTH, recognised_features
from cspops.intake.take_in import take_in
from cspops.params import DownloadView, default_params, view, with_values
from cspops.site import Site

N, K = 7, 3
VALUES = np.random.default_rng(0).normal(size=(N, K)).astype(np.float32)


def taken(raw: Path, out: Path, features: str | None, **columns: str) -> Account:
    values = {"dataset.source": "table", "dataset.table.features": features}
    values |= {f"dataset.table.columns.{name}": column for name, column in columns.items()}
    chosen = dataclasses.replace(view(with_values(default_params(), values.items()), DownloadView))
    out.mkdir()
    host = Host(data_root=out, workers="0")
    site = Site(raw=raw, inputs={}, reports_of_project=out, out=out, scratch=out / "scratch", host=host)
    return take_in(chosen, site, max_rejected=None)[0]


def write_csv(file: Path, n: int = N, **columns: list[str]) -> None:
    names = ["id", "lon", "lat", "label", *columns]
    rows = [[f"r{i}", str(i), "10", "ab"[i % 2], *(column[i] for column in columns.values())] for i in range(n)]
    file.write_text("\n".join(",".join(row) for row in [names, *rows]) + "\n")


def given(raw: Path, out: Path) -> np.ndarray:
    found = read_given(out, raw)
    assert found is not None
    return found.block(range(len(found.file_of)))


@pytest.mark.parametrize("how", ["matrix", "int8", "lists", "fixed lists", "columns", "numbers"])
def test_features_come_from_a_matrix_or_from_columns(tmp_path: Path, how: str) -> None:
    raw, out, values, features = tmp_path / "raw", tmp_path / "out", VALUES, "features"
    raw.mkdir()
    if how in ("matrix", "int8"):
        values = VALUES if how == "matrix" else (100 * VALUES).astype(np.int8)
        write_csv(raw / "t.csv")
        np.save(raw / "m.npy", values)
        features = "m.npy"
    elif how == "columns":
        write_csv(raw / "t.csv", **{f"A{k:02}": [repr(float(v)) for v in VALUES[:, k]] for k in range(K)}, B=["x"] * N)
        features = "A*"
    else:
        kind = pa.list_(pa.float32(), K) if how == "fixed lists" else pa.list_(pa.float32())
        own = {f"A{k}": VALUES[:, k] for k in range(K)} if how == "numbers" else {"features": pa.array(VALUES.tolist(), kind)}
        pq.write_table(
            pa.table(
                {"id": [f"r{i}" for i in range(N)], "lon": range(N), "lat": [1] * N, "label": ["a", "b"] * 3 + ["a"], **own}
            ),
            raw / "t.parquet",
        )
        features = "A*" if how == "numbers" else "features"
    account = taken(raw, out, features)
    assert (account.observations, account.rejected, account.warnings) == (N, 0, [])
    assert np.array_equal(given(raw, out), values.astype(np.float16))
    assert not [file for file in out.iterdir() if file.name.startswith(".")]
    assert b"image_features_sha256" in pq.read_metadata(out / "observations.parquet").metadata


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["id", "embedding", "A0"], "embedding"),
        (["lon", *(f"A{k:02}" for k in range(64)), "area"], "A*"),
        (["lon", *(f"A{k}" for k in range(LEAST - 1))], None),
        ([f"{side}{k}" for side in "AB" for k in range(LEAST)], None),
        (["2019", "1", *map(str, range(20))], None),
        ([], None),
    ],
)
def test_features_are_recognised_by_usual_names_or_numbers(names: list[str], found: str | None) -> None:
    assert recognised_features(names) == found


def test_a_table_without_images_is_read_for_its_numbered_columns(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    write_csv(raw / "t.csv", **{f"A{k:02}": [str(k)] * N for k in range(LEAST)}, area=["9"] * N)
    taken(raw, tmp_path / "out", None)
    assert given(raw, tmp_path / "out").tolist() == [list(range(LEAST))] * N


def test_the_only_matrix_beside_a_table_without_images_is_its(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    write_csv(raw / "t.csv")
    np.save(raw / "m.npy", VALUES)
    taken(raw, tmp_path / "out", None)
    assert np.array_equal(given(raw, tmp_path / "out"), VALUES.astype(np.float16))
    np.save(raw / "other.npy", VALUES)
    with pytest.raises(DataError, match="has no column for the image"):
        taken(raw, tmp_path / "two", None)


def test_a_change_of_the_features_changes_the_catalogue(tmp_path: Path) -> None:
    """Stages after download depend on observations.parquet."""
    raw = tmp_path / "raw"
    raw.mkdir()
    write_csv(raw / "t.csv")
    texts = []
    for number, values in enumerate((VALUES, VALUES, 2 * VALUES)):
        np.save(raw / "m.npy", values)
        taken(raw, tmp_path / str(number), "m.npy")
        texts.append((tmp_path / str(number) / "observations.parquet").read_bytes())
    assert texts[0] == texts[1] != texts[2]
    assert len(json.loads((tmp_path / "2/files.json").read_text())["m.npy"]["sha256"]) == 64


def test_rows_without_good_features_are_set_aside(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    lists = [[1.0, 2.0], None, [1.0], [float("nan"), 1.0], [1e9, 0.0], [3.0, 4.0]]
    table = {"lon": range(6), "lat": [1] * 6, "label": ["a"] * 6, "e": pa.array(lists)}
    pq.write_table(pa.table(table), raw / "t.parquet")
    account = taken(raw, tmp_path / "out", "e")
    assert account.reasons == {MISSING: 2, WIDTH: 1, BEYOND: 1}
    assert given(raw, tmp_path / "out").tolist() == [[1, 2], [3, 4]]
    write_csv(raw / "t.csv", 3, A0=["1", "x", ""], A1=["1", "2", "3"])
    (raw / "t.parquet").unlink()
    assert taken(raw, tmp_path / "csv", "A*").reasons == {MISSING: 2}
    np.save(raw / "m.npy", np.array([[1.0], [np.inf], [7e4]]))
    assert taken(raw, tmp_path / "npy", "m.npy").reasons == {MISSING: 1, BEYOND: 1}


def test_an_image_column_is_not_read_beside_features(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    write_csv(raw / "t.csv", image=[f"missing{i}.png" for i in range(N)], A=["1"] * N)
    assert taken(raw, tmp_path / "out", "A").observations == N


@pytest.mark.parametrize(
    ("features", "says"),
    [
        ("short.npy", "short.npy has 6 rows, and the table has 7"),
        ("long.npy", "long.npy has 8 rows, and the table has 7"),
        ("flat.npy", r"flat.npy holds float64 of shape \(7,\)"),
        ("text.npy", "is not an .npy matrix"),
        ("none.npy", "none.npy is missing"),
        ("C*", r"t.csv has no column 'C\*'"),
        ("B", "no column 'B'"),
    ],
)
def test_what_cannot_be_features_is_said_and_nothing_is_written(tmp_path: Path, features: str, says: str) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    write_csv(raw / "t.csv", A0=["1"] * N)
    for name, shape in (("short", (6, 2)), ("long", (8, 2)), ("flat", (7,))):
        np.save(raw / f"{name}.npy", np.zeros(shape))
    (raw / "text.npy").write_text("no matrix")
    with pytest.raises(DataError, match=says):
        taken(raw, tmp_path / "out", features)
    assert not list((tmp_path / "out").glob("*.parquet"))
