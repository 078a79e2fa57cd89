"""GeoPackage and shapefile as tables, written by pyogrio."""

import numpy as np
import pyogrio
import pytest
import shapely

from cspops.errors import DataError
from cspops.intake.tables import vector_table
from cspops.intake.tables.table_files import only_table, open_file, table_format

POINTS = [shapely.Point(0, 0), None, shapely.Point(np.pi * 6378137 / 2, 0), shapely.Point()]
"""In Web Mercator; the third is 90 degrees east."""


def write(file, shapes=POINTS, crs="EPSG:3857", **options):
    images = np.array([f"{i}.jpg" for i in range(len(shapes))], object)
    kind = options.pop("geometry_type", "Point")
    pyogrio.raw.write(file, shapely.to_wkb(np.array(shapes)), [images], ["image"], geometry_type=kind, crs=crs, **options)
    return file


def read(file):
    table, kind = open_file(file, key="dataset.table.file")
    assert kind == "vector"
    rows = [
        (number, image, lon, lat)
        for part in table.records(["image"])
        for number, image, lon, lat in zip(
            part.number.to_pylist(), part.columns["image"].to_pylist(), *(axis.to_pylist() for axis in part.lonlat), strict=True
        )
    ]
    return rows, table.remarks


@pytest.mark.parametrize("name", ["t.gpkg", "t.shp"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rows_and_positions(tmp_path, monkeypatch, name):
    monkeypatch.setattr(vector_table, "BATCH", 2)
    rows, remarks = read(write(tmp_path / name))
    assert [(number, image) for number, image, *_ in rows] == [(i + 1, f"{i}.jpg") for i in range(4)]
    assert [lon for *_, lon, _ in rows] == [0, None, pytest.approx(90, abs=1e-9), None]
    assert remarks == []


def test_polygons_and_no_reference_system(tmp_path):
    shapes = [shapely.box(0, 0, 4, 2), shapely.Polygon([(179, 0), (-179, 0), (-179, 2), (179, 2)])]
    with pytest.warns(UserWarning, match="crs"):
        file = write(tmp_path / "t.gpkg", shapes, crs=None, geometry_type="Polygon")
    rows, remarks = read(file)
    assert [row[2:] for row in rows] == [(2.0, 1.0), (-180.0, 1.0)]
    assert remarks == [
        "t.gpkg: its reference system is unknown; positions are taken as degrees WGS84",
        "t.gpkg: 2 geometries are not points; their centroids are the positions",
    ]


def test_what_is_refused(tmp_path):
    (tmp_path / "a.gpkg").write_bytes(b"SQLite format 3\0" + bytes(99))
    (tmp_path / "a.shp").write_bytes(b"\0\0\x27\x0a" + bytes(99))
    for name in ("a.gpkg", "a.shp"):
        with pytest.raises(DataError, match=rf"{name} is damaged or has lost a part"):
            open_file(tmp_path / name, key="file")
    for layer in ("one", "two"):
        write(tmp_path / "b.gpkg", layer=layer, append=layer == "two")
    with pytest.raises(DataError, match=r"b.gpkg has 2 layers with geometries: one, two"):
        open_file(tmp_path / "b.gpkg", key="file")


def test_a_map_beside_a_table_is_not_taken_for_it(tmp_path):
    write(tmp_path / "t.gpkg")
    (tmp_path / "t.csv").write_text("image,lon,lat\na.jpg,1,2\n")
    assert only_table(tmp_path).name == "t.csv"
    assert table_format(tmp_path / "t.gpkg") == "vector"
