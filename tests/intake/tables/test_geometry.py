import struct

import numpy as np
import pyarrow as pa
import pyproj
import pytest

from cspops.errors import DataError
from cspops.intake.tables.geometry import (
    NO_CENTRE,
    UNREADABLE,
    json_shape,
    positions_of_shapes,
    positions_of_wkb,
    positions_of_wkt,
    to_degrees,
)

RADIUS = 6378137.0


def point(x, y):
    return struct.pack("<BIdd", 1, 1, x, y)


def nested(depth, inner):
    """Collections of one geometry each, one in the other."""
    return struct.pack("<BII", 1, 7, 1) * depth + inner


SQUARE = struct.pack("<BIII10d", 1, 3, 1, 5, 0, 0, 4, 0, 4, 2, 0, 2, 0, 0)
"""A polygon of one ring; its centre is (2, 1)."""
NOWHERE = (np.nan, np.nan)

GEOMETRIES = {
    "point": (point(1.5, -2.5), (1.5, -2.5), None),
    "big-endian point": (struct.pack(">BIdd", 0, 1, 1.5, -2.5), (1.5, -2.5), None),
    "point with height": (struct.pack("<BIddd", 1, 1001, 1.5, -2.5, 9), (1.5, -2.5), None),
    "point with height, extended": (struct.pack("<BIddd", 1, 0x80000001, 1.5, -2.5, 9), (1.5, -2.5), None),
    "polygon": (SQUARE, (2.0, 1.0), None),
    "collection with an empty polygon": (struct.pack("<BIIBII", 1, 7, 2, 1, 3, 0) + point(3, 4), (3.0, 4.0), None),
    "100 collections in one another": (nested(100, point(3, 4)), (3.0, 4.0), None),
    "null": (None, NOWHERE, None),
    "empty point": (point(np.nan, np.nan), NOWHERE, None),
    "empty point, big-endian": (struct.pack(">BIdd", 0, 1, np.nan, np.nan), NOWHERE, None),
    "empty point with height": (struct.pack("<BIddd", 1, 1001, np.nan, np.nan, np.nan), NOWHERE, None),
    **{f"empty, kind {kind}": (struct.pack("<BII", 1, kind, 0), NOWHERE, None) for kind in (2, 3, 4, 5, 6, 7)},
    **{f"empty with height, kind {kind}": (struct.pack("<BII", 1, kind, 0), NOWHERE, None) for kind in (1003, 1006, 1007)},
    "empty in empty": (nested(3, struct.pack("<BII", 1, 6, 0)), NOWHERE, None),
    "half a point": (point(1, np.nan), NOWHERE, NO_CENTRE),
    "nan in a ring": (SQUARE[:-40] + struct.pack("<d", np.nan) + SQUARE[-32:], NOWHERE, NO_CENTRE),
    "cut off": (SQUARE[:-3], NOWHERE, UNREADABLE),
    "open ring": (SQUARE[:-8] + struct.pack("<d", 9), NOWHERE, UNREADABLE),
    "more points than bytes": (struct.pack("<BIII", 1, 3, 1, 2**32 - 1), NOWHERE, UNREADABLE),
    "curve": (struct.pack("<BII6d", 1, 8, 3, 0, 0, 1, 1, 2, 0), NOWHERE, UNREADABLE),
    "unknown kind": (struct.pack("<BII", 1, 99, 0), NOWHERE, UNREADABLE),
    "21 other bytes": (b"\x07" * 21, NOWHERE, UNREADABLE),
    "no bytes": (b"", NOWHERE, UNREADABLE),
    "200,000 collections in one another": (nested(200_000, point(3, 4)), NOWHERE, UNREADABLE),
}


def test_positions_of_well_known_binary():
    data = pa.array([GEOMETRIES[name][0] for name in GEOMETRIES], pa.binary())
    lon, lat, reasons, centroids = positions_of_wkb(data)
    for i, (name, (_, expected, reason)) in enumerate(GEOMETRIES.items()):
        np.testing.assert_array_equal((lon[i], lat[i]), expected, err_msg=name)
        assert reasons.get(i) == reason, name
    assert centroids == 3
    np.testing.assert_array_equal(positions_of_wkb(data.slice(3, 4)).lon, lon[3:7])
    assert positions_of_wkb(data[:0]).lon.tolist() == []


@pytest.mark.parametrize("name", GEOMETRIES)
def test_each_geometry_alone_as_among_others(name):
    data, (lon, lat), reason = GEOMETRIES[name]
    made = positions_of_wkb(pa.array([data], pa.binary()), to_degrees("EPSG:4258", "t"))
    np.testing.assert_allclose((made.lon[0], made.lat[0]), (lon, lat), rtol=0, atol=1e-5)
    assert made.reasons == ({} if reason is None else {0: reason})


@pytest.mark.parametrize("number", [1e308, -1e300, np.inf])
@pytest.mark.parametrize("system", ["EPSG:4326", "EPSG:3857", "EPSG:3413"])
def test_coordinates_that_are_no_place_spoil_their_own_row_alone(number, system):
    ring = SQUARE[:29] + struct.pack("<dd", number, number) + SQUARE[45:]
    line = struct.pack("<BII4d", 1, 2, 2, 0, 0, number, 1)
    made = positions_of_wkb(pa.array([SQUARE, ring, line, SQUARE], pa.binary()), to_degrees(system, "t"))
    assert np.isfinite(made.lon[[0, 3]]).all()
    if system == "EPSG:4326":  # others bring what is far away to a pole
        assert all(row in made.reasons or not abs(made.lon[row]) <= 360 for row in (1, 2))


TEXTS = {
    "POINT (1.5 -2.5)": ((1.5, -2.5), None),
    "point z(1.5 -2.5 9)": ((1.5, -2.5), None),
    "SRID=4326;POINT (1.5 -2.5)": ((1.5, -2.5), None),
    "POLYGON ((0 0, 4 0, 4 2, 0 2, 0 0))": ((2.0, 1.0), None),
    "POLYGON ((179 0, -179 0, -179 2, 179 2, 179 0))": ((-180.0, 1.0), None),
    " ": (NOWHERE, None),
    None: (NOWHERE, None),
    "POINT EMPTY": (NOWHERE, None),
    "POINT Z EMPTY": (NOWHERE, None),
    "MULTIPOLYGON EMPTY": (NOWHERE, None),
    "GEOMETRYCOLLECTION (POINT EMPTY, POLYGON EMPTY)": (NOWHERE, None),
    "POINT (nan 3)": (NOWHERE, NO_CENTRE),
    "POINT (1)": (NOWHERE, UNREADABLE),
    "POLYGON ((0 0, 1 1))": (NOWHERE, UNREADABLE),
    "CIRCULARSTRING (0 0, 1 1, 2 0)": (NOWHERE, UNREADABLE),
    "SRID=3857;POINT (1 2)": (NOWHERE, UNREADABLE),
    "8.5, 47.3": (NOWHERE, UNREADABLE),
    "POINT (1\0 2)": (NOWHERE, UNREADABLE),
    "GEOMETRYCOLLECTION (" * 200_000: (NOWHERE, UNREADABLE),
}


def test_positions_of_well_known_text():
    made = positions_of_wkt(pa.array(list(TEXTS), pa.string()))
    for i, (text, (expected, reason)) in enumerate(TEXTS.items()):
        np.testing.assert_array_equal((made.lon[i], made.lat[i]), expected, err_msg=str(text)[:99])
        assert made.reasons.get(i) == reason, str(text)[:99]
    assert made.centroids == 2


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


def test_a_map_that_is_cut_at_the_date_line():
    """Web Mercator: 180 degrees are pi R metres. The halves of a square on the equator lie at both ends of the map."""
    end = np.pi * RADIUS
    cut = f"MULTIPOLYGON ((({end - 9} -9, {end} -9, {end} 9, {end - 9} 9, {end - 9} -9)), "
    cut += f"(({-end} -9, {9 - end} -9, {9 - end} 9, {-end} 9, {-end} -9)))"
    made = positions_of_wkt(pa.array([cut, f"POINT ({end} inf)"]), to_degrees("EPSG:3857", "t"))
    assert abs(made.lon[0]) == pytest.approx(180, abs=1e-9) and made.lat[0] == pytest.approx(0, abs=1e-9)
    assert made.lon[1] == np.inf and made.reasons == {}


JSON = {
    "polygon": ({"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 2], [0, 2], [0, 0]]]}, (2.0, 1.0)),
    "points": ({"type": "MultiPoint", "coordinates": [[0, 0], [2, 6]]}, (1.0, 3.0)),
    "over the date line": ({"type": "LineString", "coordinates": [[178, 0], [-176, 2]]}, (-179.0, 1.0)),
    **{
        f"empty {kind}": ({"type": kind, "coordinates": []}, NOWHERE)
        for kind in ("LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon")
    },
    "null": ({"type": "Polygon", "coordinates": None}, NOWHERE),
    "empty parts": ({"type": "MultiPolygon", "coordinates": [[]]}, NOWHERE),
    "empty collection": ({"type": "GeometryCollection", "geometries": []}, NOWHERE),
    "collection of nothing": (
        {"type": "GeometryCollection", "geometries": [{"type": kind, "coordinates": []} for kind in ("Point", "Polygon")]},
        NOWHERE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", JSON)
def test_json_geometries(case):
    geometry, expected = JSON[case]
    made = positions_of_shapes([json_shape(geometry)])
    np.testing.assert_array_equal((made.lon[0], made.lat[0]), expected)
    assert made.reasons == {} and made.centroids == int(np.isfinite(expected[0]))


BROKEN_JSON = [
    {}, {"type": "Blob"}, {"type": "Polygon", "coordinates": [[[0, 0]]]}, "POINT (1 2)", {"type": "Polygon"},
    {"type": "LineString", "coordinates": [[0, 0], ["a", 1]]},
    {"type": "GeometryCollection", "geometries": [None]}, {"type": ["Polygon"], "coordinates": []},
]  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN_JSON)
def test_a_broken_json_geometry_is_a_value_error(broken):
    with pytest.raises(ValueError):
        json_shape(broken)
