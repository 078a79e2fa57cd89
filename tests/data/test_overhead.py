"""What the later stages read of a catalogue's overhead images, and what they refuse."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from cspops.data.overhead import read_footprints, read_overhead_images
from cspops.data.schemas import BBOX, OVERHEAD, SCHEMA
from cspops.errors import DataError

nan = float("nan")


def image(name: str) -> dict[str, bytes | str | None]:
    return {"bytes": None, "path": name}


def bbox(*sides: float) -> dict[str, float]:
    return dict(zip([side.name for side in BBOX], sides, strict=True))


def write(folder: Path, rows: list[dict[str, object]], schema: pa.Schema) -> None:
    full = [{"obs_id": str(i), "image": image(f"photo{i}")} | row for i, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(full, schema=schema), folder / "observations.parquet", row_group_size=2)


ROWS: list[dict[str, object]] = [
    {"overhead": image("tile0"), "overhead_bbox": bbox(8, 47, 9, 48)},
    {},
    {"overhead_bbox": bbox(179.5, -1, 180.5, 1)},
    {"overhead": image("tile3"), "overhead_bbox": bbox(-180, -90, 0, 90)},
    {},
]


def test_a_row_has_a_photo_and_an_overhead_image_or_the_latter_alone_or_neither(tmp_path: Path) -> None:
    write(tmp_path, ROWS, pa.schema([*SCHEMA, *OVERHEAD]))
    read = read_footprints(tmp_path)
    assert read is not None
    expected = [[8, 47, 9, 48], [nan] * 4, [179.5, -1, 180.5, 1], [-180, -90, 0, 90], [nan] * 4]
    assert torch.equal(read.bbox.nan_to_num(99), torch.tensor(expected, dtype=torch.float64).nan_to_num(99))
    assert read.paired.tolist() == [True, False, False, True, False]
    assert read.alone.tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("rows", [range(5), range(1, 4), range(3, 4), range(2, 2)], ids=str)
def test_overhead_images_are_read_as_images(tmp_path: Path, rows: range) -> None:
    write(tmp_path, ROWS, pa.schema([*SCHEMA, *OVERHEAD]))
    table = read_overhead_images(tmp_path, rows)
    assert table.column_names == ["image"]
    expected = [image("tile0"), None, image("photo2"), image("tile3"), None]
    assert table["image"].to_pylist() == expected[rows.start : rows.stop]


def test_a_catalogue_of_overhead_images_alone(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"overhead_bbox": bbox(8, 47, 9, 48)}, {}]
    write(tmp_path, rows, pa.schema([*SCHEMA, OVERHEAD.field("overhead_bbox")]))
    read = read_footprints(tmp_path)
    assert read is not None and read.alone.tolist() == [True, False] and not read.paired.any()
    assert read_overhead_images(tmp_path, range(2))["image"].to_pylist() == [image("photo0"), None]


def test_a_catalogue_without_overhead_images(tmp_path: Path) -> None:
    write(tmp_path, [{}, {}], SCHEMA)
    assert read_footprints(tmp_path) is None
    assert read_overhead_images(tmp_path, range(2))["image"].to_pylist() == [None, None]


BAD = {
    "west of 180 W": (-181, 0, -179.5, 1),
    "on the date line as 180": (180, 0, 181, 1),
    "no width": (8, 0, 8, 1),
    "crossing as lon_min > lon_max": (179, 0, -179, 1),
    "too wide": (-180, 0, 1, 1),
    "swapped latitudes": (8, 2, 9, 1),
    "no height": (8, 1, 9, 1),
    "beyond the pole": (8, 89, 9, 91),
    "half of it null": (8, 47, None, None),
}


@pytest.mark.parametrize("sides", BAD.values(), ids=BAD)
def test_a_footprint_that_cannot_be_is_refused_with_its_row(tmp_path: Path, sides: tuple[float, ...]) -> None:
    write(tmp_path, [{}, {"overhead_bbox": bbox(*sides)}], pa.schema([*SCHEMA, *OVERHEAD]))
    with pytest.raises(DataError, match="the footprint of row 1 is none") as caught:
        read_footprints(tmp_path)
    assert caught.value.hint == "dvc repro download"


def test_a_catalogue_that_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is missing"):
        read_footprints(tmp_path)
    (tmp_path / "observations.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="no whole Parquet file"):
        read_footprints(tmp_path)
