"""What the later stages read of a catalogue, and what they refuse."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from cspops.data import catalogue as captures
from cspops.data.catalogue import read_captures, read_images, read_observations
from cspops.data.dates import NO_DATE
from cspops.data.schemas import SCHEMA
from cspops.errors import DataError
from cspops.pixels.reading import CROP, GIVEN_FEATURES

PICTURE = {"bytes": b"P6", "path": None}
inf = float("inf")


def write(folder, table, classes=("elm", "oak")):
    pq.write_table(table, folder / "observations.parquet", compression="zstd", row_group_size=8192)
    (folder / "classes.json").write_text(json.dumps(list(classes)))


def stored(*rows):
    """A catalogue, also one that `ingest` would not make."""
    return pa.Table.from_pylist([{"lon": 1.0, "lat": 1.0, "image": PICTURE} | one for one in rows], schema=SCHEMA)


def test_columns_become_tensors_and_lists(tmp_path):
    rows = [
        {"obs_id": "a", "label": 1, "official_split": "val"},
        {"obs_id": "b", "lon": None, "lat": None, "label": 0},
        {"obs_id": "ü", "lon": -180.0, "lat": 90.0, "official_split": "test"},
    ]
    write(tmp_path, stored(*rows))
    read = read_observations(tmp_path)
    assert read.obs_id == ["a", "b", "ü"]
    assert read.classes == ["elm", "oak"]
    assert read.label.tolist() == [1, 0, -1] and read.label.dtype == torch.int64
    assert read.official_split == ["val", None, "test"]
    assert read.lonlat.dtype == torch.float64
    assert read.located.tolist() == [True, False, True]
    assert read.lonlat[read.located].tolist() == [[1, 1], [-180, 90]]


def test_an_empty_catalogue_is_read(tmp_path):
    write(tmp_path, SCHEMA.empty_table(), [])
    read = read_observations(tmp_path)
    assert read.obs_id == [] and read.lonlat.shape == (0, 2) and read.label.shape == (0,)
    assert len(read_images(tmp_path, range(0))) == 0


BROKEN = {
    "repeated id": ([{"obs_id": "a"}, {"obs_id": "a"}], "obs_id is not unique"),
    "180 degrees east": ([{"obs_id": "a", "lon": 180.0}], "position lies outside"),
    "beyond 180 west": ([{"obs_id": "a", "lon": -180.5}], "position lies outside"),
    "beyond the north pole": ([{"obs_id": "a", "lat": 90.5}], "position lies outside"),
    "beyond the south pole": ([{"obs_id": "a", "lat": -90.5}], "position lies outside"),
    "half a position": ([{"obs_id": "a", "lat": None}], "position lies outside"),
    "infinite": ([{"obs_id": "a", "lon": -inf}], "position lies outside"),
    "class number too high": ([{"obs_id": "a", "label": 2}], "label 2 is not among the 2"),
    "class number below zero": ([{"obs_id": "a", "label": 0}, {"obs_id": "b", "label": -3}], "label -3"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_catalogue_is_refused(name, tmp_path):
    rows, why = BROKEN[name]
    write(tmp_path, stored(*rows))
    with pytest.raises(DataError, match=why) as caught:
        read_observations(tmp_path)
    assert caught.value.hint == "dvc repro download"


def test_the_borders_of_the_world_are_inside(tmp_path):
    rows = [{"obs_id": "a", "lon": -180.0, "lat": -90.0}, {"obs_id": "b", "lat": 90.0, "label": 1}]
    write(tmp_path, stored(*rows))
    assert read_observations(tmp_path).lonlat.tolist() == [[-180, -90], [1, 90]]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """More rows than a row group of the file holds; the image of row i says i, its crop is i high, its features are row i."""
    folder = tmp_path_factory.mktemp("many")
    n = 20_000
    columns = {
        "obs_id": pa.array(np.arange(n)).cast(pa.string()),
        "image": pa.array([{"bytes": str(i).encode(), "path": None} for i in range(n)], SCHEMA.field("image").type),
    }
    table = pa.table({field.name: columns.get(field.name, pa.nulls(n, field.type)) for field in SCHEMA}, schema=SCHEMA)
    table = table.append_column("crop", pa.array([{"left": 0, "top": 0, "right": 1, "bottom": i} for i in range(n)], CROP))
    table = table.append_column("image_features", pa.array([{"path": "f", "row": i} for i in range(n)], GIVEN_FEATURES))
    write(folder, table, [])
    assert pq.ParquetFile(folder / "observations.parquet").num_row_groups > 2
    return folder


@pytest.mark.parametrize(
    "rows",
    [range(5), range(8190, 8195), range(8191, 8192), range(8192, 8193), range(100, 17_000), range(19_990, 20_000), range(7, 7)],
    ids=str,
)
def test_images_of_consecutive_rows(many, rows):
    images = read_images(many, rows)
    assert images.schema.field("image").type == SCHEMA.field("image").type
    assert [int(one["bytes"]) for one in images["image"].to_pylist()] == list(rows)
    assert [one["bottom"] for one in images["crop"].to_pylist()] == list(rows)
    assert [one["row"] for one in images["image_features"].to_pylist()] == list(rows)


def test_columns_that_a_catalogue_lacks_are_not_made_up(tmp_path):
    write(tmp_path, stored({"obs_id": "a"}))
    assert read_images(tmp_path, range(1)).column_names == ["image"]


def catalogue(folder: Path, **columns) -> Path:
    """A catalogue of these columns, all others null."""
    n = len(next(iter(columns.values())))
    table = {field.name: pa.array(columns.get(field.name, [None] * n), field.type) for field in SCHEMA}
    table["obs_id"] = pa.array([f"o{row}" for row in range(n)])
    pq.write_table(pa.table(table), folder / "observations.parquet", row_group_size=2)
    return folder


def test_all_columns_may_be_null(tmp_path):
    found = read_captures(catalogue(tmp_path, label=[0, 1, 2]))
    assert found.obs_id == ["o0", "o1", "o2"]
    assert found.lonlat.shape == (3, 2)
    assert found.lonlat.isnan().all()
    assert found.place.tolist() == [-1] * 3
    assert found.captured_at.tolist() == [NO_DATE] * 3


def test_a_catalogue_without_rows(tmp_path):
    found = read_captures(catalogue(tmp_path, lon=[]))
    assert (len(found.obs_id), found.lonlat.shape, found.place.shape, found.captured_at.shape) == (0, (0, 2), (0,), (0,))


def test_places_are_numbered_by_their_first_row_across_row_groups(tmp_path):
    """Not by their names, and a missing one takes no number."""
    names = ["b", None, "a", "b", "", None, "a", "c"]
    assert read_captures(catalogue(tmp_path, location_id=names)).place.tolist() == [0, -1, 1, 0, 2, -1, 1, 3]


def test_dates_are_milliseconds_in_utc_also_before_1970(tmp_path):
    dates = [
        datetime(1970, 1, 2, tzinfo=UTC),
        None,
        datetime(1969, 12, 31, 23, 59, 59, 500_000, UTC),
        datetime(2020, 2, 29, tzinfo=UTC),
    ]
    found = read_captures(catalogue(tmp_path, captured_at=dates)).captured_at.tolist()
    assert found == [86_400_000, NO_DATE, -500, int(dates[3].timestamp() * 1000)]


def test_positions_are_longitude_first(tmp_path):
    found = read_captures(catalogue(tmp_path, lon=[10.0, None], lat=[50.0, None])).lonlat
    assert found[0].tolist() == [10.0, 50.0]
    assert found[1].isnan().all()
    assert found.dtype == torch.float64


def test_no_label_is_read(tmp_path, monkeypatch):
    """Neither the label nor the image is asked for, and a catalogue that lacks both is read as well."""
    asked, real = [], pq.read_table

    def recorded(file, columns):
        asked.extend(columns)
        return real(file, columns=columns)

    monkeypatch.setattr(captures.pq, "read_table", recorded)
    file = catalogue(tmp_path, label=[0, 1], lon=[1.0, 2.0], lat=[3.0, 4.0]) / "observations.parquet"
    pq.write_table(real(file).drop_columns(["label", "image", "official_split"]), file)
    assert read_captures(tmp_path).lonlat.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert set(asked) == {"obs_id", "lon", "lat", "location_id", "captured_at"}
