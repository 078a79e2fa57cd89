import struct
import sys

import numpy as np
import pyarrow as pa
import pytest

from cspops.errors import DataError, EnvironmentProblem
from cspops.intake.tables.geometry import json_centre, to_degrees, wkb_positions

shapely = pytest.importorskip("shapely")
pyproj = pytest.importorskip("pyproj")

RADIUS = 6378137.0


def point(x, y):
    return struct.pack("<BIdd", 1, 1, x, y)


SQUARE = struct.pack("<BIII10d", 1, 3, 1, 5, 0, 0, 4, 0, 4, 2, 0, 2, 0, 0)
"""A polygon of one ring; its centre is (2, 1)."""

GEOMETRIES = {
    "point": (point(1.5, -2.5), 1.5, -2.5, False),
    "big-endian point": (struct.pack(">BIdd", 0, 1, 1.5, -2.5), 1.5, -2.5, False),
    "point with height": (struct.pack("<BIddd", 1, 1001, 1.5, -2.5, 9), 1.5, -2.5, False),
    "point with height, extended": (struct.pack("<BIddd", 1, 0x80000001, 1.5, -2.5, 9), 1.5, -2.5, False),
    "empty point": (point(np.nan, np.nan), np.nan, np.nan, False),
    "polygon": (SQUARE, 2.0, 1.0, False),
    "null": (None, np.nan, np.nan, False),
    "cut off": (SQUARE[:-3], np.nan, np.nan, True),
    "21 other bytes": (b"\x07" * 21, np.nan, np.nan, True),
    "no bytes": (b"", np.nan, np.nan, True),
}


def test_positions_of_well_known_binary():
    data = pa.array([GEOMETRIES[name][0] for name in GEOMETRIES], pa.binary())
    x, y, broken, centroids = wkb_positions(data, "t.parquet")
    for i, (name, (_, lon, lat, bad)) in enumerate(GEOMETRIES.items()):
        np.testing.assert_array_equal((x[i], y[i], broken[i]), (lon, lat, bad), err_msg=name)
    assert centroids == 1
    part = data.slice(3, 4)
    np.testing.assert_array_equal(wkb_positions(part, "t.parquet")[0], x[3:7])


@pytest.mark.parametrize(
    "crs",
    ["EPSG:4326", "urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:EPSG::4326", {"id": {"authority": "EPSG", "code": 4326}}],
)
def test_wgs84_is_left_as_it_is(crs):
    assert to_degrees(crs, "t") is None


@pytest.mark.parametrize("crs", ["EPSG:3857", "urn:ogc:def:crs:EPSG::3857", pyproj.CRS(3857).to_json_dict()])
def test_web_mercator_by_its_formula(crs):
    """lon = x / R, lat = 2 atan(exp(y / R)) - 90 degrees, on a sphere of R = 6378137 m. 1e-9 degrees are 0.1 mm."""
    x, y = np.array([0.0, 1e6, -2e7]), np.array([0.0, 5e6, -7e6])
    lon, lat = to_degrees(crs, "t")(x, y)
    np.testing.assert_allclose(lon, np.degrees(x / RADIUS), rtol=0, atol=1e-9)
    np.testing.assert_allclose(lat, np.degrees(2 * np.arctan(np.exp(y / RADIUS))) - 90, rtol=0, atol=1e-9)


def test_x_is_east_whatever_the_order_of_a_systems_axes():
    """EPSG:4258 (ETRS89) lists latitude first, and lies within 1e-5 degrees, a metre, of WGS84."""
    lon, lat = to_degrees("EPSG:4258", "t")(np.array([10.0]), np.array([50.0]))
    np.testing.assert_allclose((lon[0], lat[0]), (10, 50), rtol=0, atol=1e-5)


def test_an_unknown_reference_system_is_named():
    with pytest.raises(DataError, match=r"t.geojson: its reference system is not known"):
        to_degrees("EPSG:999999", "t.geojson")


def test_a_missing_package_is_said_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "shapely", None)
    with pytest.raises(
        EnvironmentProblem, match=r"t.json has other geometries than points, which needs the package shapely"
    ) as error:
        json_centre({"type": "MultiPoint", "coordinates": [[1, 2]]}, "t.json")
    assert error.value.hint == "pip install cspops[geo]"


def test_centres_of_json_geometries():
    square = {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 2], [0, 2], [0, 0]]]}
    assert json_centre(square, "t") == (2.0, 1.0)
    assert json_centre({"type": "MultiPoint", "coordinates": [[0, 0], [2, 6]]}, "t") == (1.0, 3.0)
    assert json_centre({"type": "Polygon", "coordinates": []}, "t") is None


@pytest.mark.parametrize("broken", [{}, {"type": "Blob"}, {"type": "Polygon", "coordinates": [[[0, 0]]]}, "POINT (1 2)"])
def test_a_broken_json_geometry_is_a_value_error(broken):
    with pytest.raises(ValueError):
        json_centre(broken, "t")
