"""Footprints in the columns of a table."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cspops.errors import DataError
from cspops.intake.sources.table import open_table
from cspops.intake.tables.boxes import side_columns

SIDES = {
    "lon_min, ...": (["image", "lat_max", "lon_max", "lat_min", "lon_min"], ("lon_min", "lat_min", "lon_max", "lat_max")),
    "min_lon, any case": (["Min_Lon", "min lat", "maxLon", "MAX_LAT"], ("Min_Lon", "min lat", "maxLon", "MAX_LAT")),
    "west, ...": (["west", "south", "east", "north"], ("west", "south", "east", "north")),
    "its own before others": (
        ["west", "south", "east", "north", "overhead_west", "overhead_south", "overhead_east", "overhead_north"],
        ("overhead_west", "overhead_south", "overhead_east", "overhead_north"),
    ),
    "one is missing": (["lon_min", "lat_min", "lon_max"], ()),
    "of two kinds": (["lon_min", "lat_min", "east", "north"], ()),
    "a box of pixels": (["xmin", "ymin", "xmax", "ymax"], ()),
}


@pytest.mark.parametrize("name", SIDES)
def test_four_columns_by_their_usual_names(name: str) -> None:
    names, expected = SIDES[name]
    assert side_columns(names) == expected


COLUMNS: dict[str, Any] = {
    "text": pa.array(["8,47,9,48", "NA", None]),
    "lists": pa.array([[8.0, 47.0, 9.0, 48.0], None, None]),
    "structs, as GeoParquet has them": pa.array([{"xmin": 8.0, "ymin": 47.0, "xmax": 9.0, "ymax": 48.0}, None, None]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_one_column_of_four_numbers(tmp_path: Path, name: str) -> None:
    pq.write_table(pa.table({"image": ["a", "b", "c"], "box": COLUMNS[name]}), tmp_path / "t.parquet")
    (batch,) = open_table(tmp_path / "t.parquet", root=tmp_path, columns={"overhead_bbox": "box"}).batches
    text, *others = batch.column("overhead_bbox").to_pylist()
    assert [float(side) for side in text.split(",")] == [8, 47, 9, 48] and others == [None, None]
    assert "overhead" not in batch.schema.names


def test_four_columns_of_numbers_or_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,west,south,east,north\na,8,47,9,48\nb,,,,\nc,8,,9,48\n")
    (batch,) = open_table(tmp_path / "t.csv", root=tmp_path, columns={}, overhead=True).batches
    assert batch.column("overhead_bbox").to_pylist() == ["8,47,9,48", None, "8,,9,48"]
    (batch,) = open_table(tmp_path / "t.csv", root=tmp_path, columns={}).batches
    assert "overhead_bbox" not in batch.schema.names


def test_a_column_that_params_name_and_the_table_lacks(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,above\na,b\n")
    with pytest.raises(DataError, match=r"no column 'over' \(dataset.table.columns.overhead\)"):
        open_table(tmp_path / "t.csv", root=tmp_path, columns={"overhead": "over"})
    (batch,) = open_table(tmp_path / "t.csv", root=tmp_path, columns={"overhead": "above"}).batches
    assert batch.column("overhead").to_pylist() == [{"bytes": None, "path": "b"}]


def test_bytes_of_overhead_images(tmp_path: Path) -> None:
    image = pa.array([{"bytes": b"II*\0", "path": "x.tif"}], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    pq.write_table(pa.table({"image": ["a"], "overhead": image}), tmp_path / "t.parquet")
    (batch,) = open_table(tmp_path / "t.parquet", root=tmp_path, columns={}).batches
    assert batch.column("overhead").to_pylist() == [{"bytes": b"II*\0", "path": None}]
