"""Overhead images from the files of a source to the catalogue."""

import csv
import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from affine import Affine
from image_files import encoded, geotiff

from cspops.data.catalogue import read_observations
from cspops.data.overhead import overhead_reading, read_footprints, read_overhead_images
from cspops.data.schemas import SCHEMA
from cspops.host import Host
from cspops.intake.images.georeference import NO_GEOTIFF
from cspops.intake.judging.footprints import AS_A_PHOTO, NO_OVERHEAD, OUTSIDE, WITHOUT
from cspops.intake.rows import Account
from cspops.intake.take_in import take_in
from cspops.params import DownloadView, default_params, view, with_values
from cspops.pixels.decoding import squares
from cspops.pixels.tensors import read_reading
from cspops.pixels.unreadable import LEADS_OUT, NO_BANDS, NOT_THERE
from cspops.site import Site

REALDATA = os.environ.get("CSPOPS_TEST_REALDATA")


def taken(raw: Path, out: Path, values: Mapping[str, Any], method: str = "moco") -> Account:
    """Take a folder of raw inputs in, by the default params with these values, for a run of this method."""
    params = with_values(default_params(), values.items())
    chosen = dataclasses.replace(view(params, DownloadView), pretrain_img_method=method)
    out.mkdir()
    host = Host(data_root=out, workers="0")
    site = Site(raw=raw, inputs={}, reports_of_project=out, out=out, scratch=out / "scratch", host=host)
    account, _ = take_in(chosen, site, max_rejected=None)
    return account


def catalogue(out: Path) -> dict[str, dict[str, Any]]:
    return {row["obs_id"]: row for row in pq.read_table(out / "observations.parquet").to_pylist()}


def boxes_of(out: Path) -> dict[str, tuple[float, ...]]:
    """The footprints of the rows that have one."""
    return {name: tuple(one.values()) for name, row in catalogue(out).items() if (one := row.get("overhead_bbox"))}


def write_tiles(folder: Path) -> None:
    """Three GeoTIFFs of a degree, one of them beside its place in the table; and photos."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (3, 8, 8), np.uint8)
    for name, west in (("a", 8.0), ("b", 179.5), ("c", 20.0)):
        geotiff(folder / f"{name}.tif", pixels + ord(name), crs="EPSG:4326", transform=Affine(1 / 8, 0, west, 0, -1 / 8, 48))
    for number in range(6):
        (folder / f"p{number}.png").write_bytes(encoded(np.full((8, 8, 3), 20 * number, np.uint8)))


ROWS = [
    # id, image, longitude, overhead, overhead_bbox
    ("from the file", "p0.png", "8.25", "a.tif", ""),
    ("from the column", "p1.png", "8.25", "b.tif", "8,47,8.5,48"),
    ("over the date line", "p2.png", "-179.75", "b.tif", ""),
    ("beside it", "p3.png", "8.25", "c.tif", ""),
    ("gone", "p4.png", "8.25", "gone.tif", "8,47,8.5,48"),
    ("outside", "p5.png", "8.25", "../../a.tif", "8,47,8.5,48"),
    ("alone", "", "20.5", "c.tif", ""),
    ("a photo", "tiles/p0.png", "8.25", "", ""),
]
BOXES = {
    "from the file": (8, 47, 9, 48),
    "from the column": (8, 47, 8.5, 48),
    "over the date line": (179.5, 47, 180.5, 48),
    "alone": (20, 47, 21, 48),
}
NOTES = {WITHOUT + OUTSIDE: 1, WITHOUT + NOT_THERE: 1, WITHOUT + LEADS_OUT: 1}


def write_table(file: Path) -> None:
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["obs_id", "image", "lon", "lat", "overhead", "overhead_bbox", "label"])
        for obs_id, image, lon, overhead, bbox in ROWS:
            writer.writerow([obs_id, image, lon, "47.5", overhead, bbox, "x"])


def check(out: Path, account: Account) -> None:
    """What both sources make of `ROWS`, whose paths start at tiles/."""
    found = catalogue(out)
    assert boxes_of(out) == BOXES
    named = {name: row["overhead"]["path"] for name, row in found.items() if row["overhead"]}
    assert named == {"from the file": "tiles/a.tif", "from the column": "tiles/b.tif", "over the date line": "tiles/b.tif"}
    assert {note: count for note, count in account.notes.items() if note.startswith("kept without")} == NOTES
    footprints, places = read_footprints(out), read_observations(out)
    assert footprints is not None
    at = {name: i for i, name in enumerate(places.obs_id)}
    assert [name for name in at if footprints.paired[at[name]]] == list(named)
    row = at["over the date line"]
    assert (
        footprints.bbox[row, 0] <= places.lonlat[row, 0] + 360 <= footprints.bbox[row, 2]
        and read_overhead_images(out, range(row, row + 1))["image"][0].as_py()
    )
    assert json.loads((out / "images.json").read_text())["root"] == "data"


def test_a_table_names_overhead_images(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    write_tiles(raw / "tiles")
    write_table(raw / "tiles/t.csv")
    (raw / "tiles/tiles").mkdir()
    (raw / "tiles/tiles/p0.png").write_bytes(encoded(np.full((8, 8, 3), 200, np.uint8)))
    account = taken(raw, tmp_path / "out", {"dataset.source": "table", "dataset.table.file": "tiles/t.csv"})
    check(tmp_path / "out", account)
    found = catalogue(tmp_path / "out")
    assert found["alone"]["image"] == {"bytes": None, "path": "tiles/c.tif"}
    assert account.as_json()["with_overhead"] == account.numbers()["with_overhead"] == 4
    assert len(found) == account.rows == len(ROWS)


def test_a_side_car_names_overhead_images_which_are_no_rows_of_their_own(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    write_tiles(raw / "tiles")
    write_table(raw / "tiles/t.csv")
    values = {"dataset.source": "folder", "dataset.folder.sidecar": "tiles/t.csv", "dataset.folder.label": "column"}
    out = tmp_path / "out"
    account = taken(raw, out, values | {"dataset.duplicate_images": "keep"})
    found = catalogue(out)
    assert {name for name in found if name.endswith(".tif")} == set()
    assert boxes_of(out) == {name: box for name, box in BOXES.items() if name != "alone"}  # a side-car's row is about an image
    assert {row["overhead"]["path"] for row in found.values() if row["overhead"]} == {"tiles/a.tif", "tiles/b.tif"}
    assert NOTES.items() <= account.notes.items()


@pytest.mark.parametrize("method", ["moco", "gair"])
def test_geotiffs_of_a_folder_are_overhead_images_for_gair_alone(tmp_path: Path, method: str) -> None:
    write_tiles(tmp_path / "tiles")
    values = {"dataset.source": "folder", "dataset.folder.label": "none"}
    account = taken(tmp_path / "tiles", tmp_path / "out", values, method)
    names = pq.read_schema(tmp_path / "out/observations.parquet").names
    assert names == [*SCHEMA.names, "image_sha256", *(["overhead_bbox"] if method == "gair" else [])]
    if method == "moco":
        assert "with_overhead" not in account.as_json() and "with_overhead" not in account.numbers()
    else:
        expected = {"a": (8, 47, 9, 48), "b": (179.5, 47, 180.5, 48), "c": (20, 47, 21, 48)}
        assert boxes_of(tmp_path / "out") == {f"{name}.tif": box for name, box in expected.items()}
        assert account.notes[AS_A_PHOTO + NO_GEOTIFF] == 6


FOUR = {
    "lon_min, ...": ("lon_min", "lat_min", "lon_max", "lat_max"),
    "north first": ("overhead_bbox_lon_min", "overhead_bbox_lat_min", "overhead_bbox_lon_max", "overhead_bbox_lat_max"),
    "west, ...": ("west", "south", "east", "north"),
}


@pytest.mark.parametrize("name", FOUR)
@pytest.mark.parametrize("method", ["moco", "gair"])
def test_four_columns_are_a_footprint_for_gair_or_beside_an_overhead_image(tmp_path: Path, name: str, method: str) -> None:
    write_tiles(tmp_path / "tiles")
    columns = ",".join(reversed(FOUR[name]))
    (tmp_path / "tiles/alone.csv").write_text(f"image,lon,lat,{columns}\np0.png,8.25,47.5,48,9,47,8\np1.png,8.25,47.5,,,,\n")
    (tmp_path / "tiles/both.csv").write_text(
        f"image,lon,lat,overhead,{columns}\np0.png,8.25,47.5,p1.png,48,9,47,8\np2.png,8.25,47.5,,48,9,47,8\np3.png,8.25,47.5,,,,\n"
    )
    boxes = {}
    for table in ("alone", "both"):
        values = {"dataset.source": "table", "dataset.table.file": f"{table}.csv"}
        account = taken(tmp_path / "tiles", tmp_path / table, values, method)
        boxes[table] = list(boxes_of(tmp_path / table).values())
    assert boxes == {"alone": [(8, 47, 9, 48)] if method == "gair" else [], "both": [(8, 47, 9, 48)]}
    assert account.notes == {NO_OVERHEAD: 1}


def test_overhead_images_are_read_in_their_own_way(tmp_path: Path) -> None:
    """Photos of 8 bits beside tiles of 13 bands of 16 bits: no one way would do for both."""
    (tmp_path / "raw").mkdir()
    values = np.zeros((13, 8, 8), np.uint16)
    values[3] = 3000
    geotiff(tmp_path / "raw/a.tif", values, crs="EPSG:4326", transform=Affine(1 / 8, 0, 8, 0, -1 / 8, 48))
    (tmp_path / "raw/p.png").write_bytes(encoded(np.full((8, 8, 3), 90, np.uint8)))
    (tmp_path / "raw/t.csv").write_text("image,lon,lat,overhead\np.png,8.25,47.5,a.tif\n")
    table = {"dataset.source": "table"}
    account = taken(tmp_path / "raw", tmp_path / "same", table)
    (note,), (where,) = account.notes, account.noted.values()
    assert where == ["t.csv:2"] and "noted" not in account.as_json()
    assert account.warnings[-1].startswith("none of 1 overhead images can be used, most because")
    assert note == WITHOUT + NO_BANDS.replace("images.", "overhead_images.") != WITHOUT + NO_BANDS
    own = {"dataset.table.overhead_images": {"bands": [4, 3, 2], "black": 0.0, "white": 3000.0}}
    out = tmp_path / "own"
    assert taken(tmp_path / "raw", out, table | own).notes == {}
    overhead = overhead_reading(out)
    assert (read_reading(out).bands, overhead.bands, overhead.white) == (None, (4, 3, 2), 3000.0)
    tables = [(range(1), read_overhead_images(out, range(1)))]
    (pixels,) = squares(tables, px=8, root=tmp_path / "raw", reading=overhead, crop=None)
    assert pixels[0, 0].tolist() == [255, 0, 0]


@pytest.mark.skipif(REALDATA is None, reason="CSPOPS_TEST_REALDATA names no folder")
def test_real_tiles_lie_where_their_list_says(tmp_path: Path) -> None:
    """EuroSAT in UTM: the list has the outer bounds in degrees, the footprint the middles of the edges."""
    tiles = Path(str(REALDATA)) / "eurosat100"
    bands = {"dataset.folder.images.bands": [4, 3, 2], "dataset.folder.images.white": 3000.0}
    taken(tiles / "tif", tmp_path / "files", {"dataset.source": "folder"} | bands, "gair")
    account = taken(tiles, tmp_path / "list", {"dataset.source": "table", "dataset.table.file": "catalogue.csv"}, "gair")
    assert account.as_json()["with_overhead"] == 100 and account.notes == {}
    listed = {name: np.array(box) for name, box in boxes_of(tmp_path / "list").items()}
    found = {Path(name).stem: np.array(box) for name, box in boxes_of(tmp_path / "files").items()}
    assert found.keys() == listed.keys() and len(found) == 100
    for name, box in found.items():
        side = (listed[name][2:] - listed[name][:2])[[0, 1, 0, 1]]
        beside = (box - listed[name]) / side * [1, 1, -1, -1]
        assert (beside >= -1e-4).all() and (beside < 0.05).all(), name
