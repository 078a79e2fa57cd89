"""What the later stages read of a catalogue, and what they refuse."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from cspops.data.catalogue import SCHEMA, read_images, read_observations
from cspops.data.image_columns import CROP, GIVEN_FEATURES
from cspops.errors import DataError

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
