"""Centroids over the date line, round the poles and of pieces all over the Earth."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from cspops.intake.centres import centroids, continued, plane_around


def centroid(wkt: str) -> tuple[float, float]:
    (lon,), (lat,) = centroids(np.array([shapely.from_wkt(wkt)]))
    return lon, lat


# Each has its centre on the meridian of 180 degrees, the first seven at 16.5 S.
DATE_LINE = {
    "cut in two": "MULTIPOLYGON (((179 -17, 180 -17, 180 -16, 179 -16, 179 -17)),"
    " ((-180 -17, -179 -17, -179 -16, -180 -16, -180 -17)))",
    "not cut": "POLYGON ((179 -17, -179 -17, -179 -16, 179 -16, 179 -17))",
    "corners at 180 and -180": "POLYGON ((179 -17, 180 -17, -180 -17, -179 -17, -179 -16, 179 -16, 179 -17))",
    "written to 181": "POLYGON ((179 -17, 181 -17, 181 -16, 179 -16, 179 -17))",
    "written to -181": "POLYGON ((-181 -17, -179 -17, -179 -16, -181 -16, -181 -17))",
    "points": "MULTIPOINT (179.5 -17, -179.5 -16)",
    "a line": "LINESTRING (178 -17, -178 -16)",
    "a collection": "GEOMETRYCOLLECTION (POINT (179 -17), POINT EMPTY, POINT (-179 -16))",
    "with a hole": "POLYGON ((178 -18, -178 -18, -178 -15, 178 -15, 178 -18), (179 -17, -179 -17, -179 -16, 179 -16, 179 -17))",
}


@pytest.mark.parametrize("case", DATE_LINE)
def test_the_short_way_over_the_date_line(case):
    lon, lat = centroid(DATE_LINE[case])
    assert abs(lon) == pytest.approx(180, abs=1e-9)
    assert lat == pytest.approx(-16.5, abs=1e-9)


@given(st.floats(-180, 180), st.floats(0.1, 170), st.floats(-80, 79))
def test_a_shape_may_lie_at_any_longitude(west, width, south):
    """A triangle's centroid is the mean of its corners, wherever the turn begins."""
    lon = np.array([west, west + width, west + width / 3])
    corners = np.column_stack(((lon + 180) % 360 - 180, [south, south, south + 1]))
    (x,), (y,) = centroids(np.array([shapely.Polygon(corners)]))
    assert (x - lon.mean() + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)  # widths of 0.1 leave 1e-13 of area's 1e-2
    assert y == pytest.approx(south + 1 / 3, abs=1e-6)


# Symmetrical about a pole, or about the meridian of 132.5 E and near the pole.
POLES = {
    "a ring": ("POLYGON ((0 80, 90 80, 180 80, -90 80, 0 80))", 90),
    "a ring, clockwise": ("POLYGON ((0 80, -90 80, 180 80, 90 80, 0 80))", 90),
    "a triangle in the south": ("POLYGON ((-100 -75, 20 -75, 140 -75, -100 -75))", -90),
    "points": ("MULTIPOINT (0 89, 120 89, -120 89)", 90),
    "a cap cut at 180": ("POLYGON ((-180 60, 180 60, 180 90, -180 90, -180 60))", 90),
    "a southern cap of 0 to 360": ("POLYGON ((0 -90, 360 -90, 360 -70, 0 -70, 0 -90))", -90),
    "a cap with more corners": ("POLYGON ((-180 60, -90 60, 0 60, 90 60, 180 60, 180 90, -180 90, -180 60))", 90),
}


@pytest.mark.parametrize("case", POLES)
def test_round_a_pole(case):
    wkt, pole = POLES[case]
    assert centroid(wkt)[1] == pytest.approx(pole, abs=1e-4)  # ten steps towards the centre


def test_pieces_all_over_the_earth_have_the_centre_of_their_unit_vectors():
    """(0, 0), (120, 0) and (-100, 0) in three dimensions: the direction is not a mean of numbers."""
    lam = np.radians([0, 120, -100])
    expected = np.degrees(np.arctan2(np.sin(lam).sum(), np.cos(lam).sum()))
    x, y, plane = *np.array([[0.0, 120, -100], [0, 0, 0]]), plane_around(np.array([0.0, 120, -100]), np.zeros(3))
    assert plane is not None
    assert plane(expected, 0) == pytest.approx((0, 0), abs=1e-9)
    assert np.isfinite(plane(x, y)).all()
    assert centroid("MULTIPOINT (0 0, 120 0, -100 0)")[1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "wkt",
    [
        "POLYGON EMPTY", "POINT Z EMPTY", "MULTIPOINT EMPTY", "GEOMETRYCOLLECTION (POINT EMPTY, POLYGON EMPTY)",
        "POLYGON ((-180 -90, 180 -90, 180 90, -180 90, -180 -90))",
        "POLYGON ((-180 -90, -90 -90, 0 -90, 180 -90, 180 0, 180 90, 0 90, -180 90, -180 -90))",
        "POLYGON ((-180 -10, 180 -10, 180 30, -180 30, -180 -10))",
        "MULTIPOINT (0 0, 120 0, -120 0)",
        "POLYGON ((0 0, nan 1, 1 1, 0 0))",
    ],
)  # fmt: skip
def test_no_centre(wkt):
    with np.errstate(invalid="ignore"):
        shape = shapely.from_wkt(wkt)
    assert np.isnan(centroids(np.array([shape, None]))).all()


def test_metres_taken_for_degrees_stay_what_they_are():
    assert centroid("POLYGON ((5e5 60, 6e5 60, 6e5 80, 5e5 80, 5e5 60))") == pytest.approx((5.5e5, 70))


def test_longitudes_are_continued():
    assert continued(np.array([179.0, -179])).tolist() == [179, 181]
    assert continued(np.array([350.0, -5])).tolist() == [350, 355]
    assert continued(np.array([-170.0, -175])).tolist() == [-170, -175]
    assert continued(np.array([0.0, 120, 240])) is None
