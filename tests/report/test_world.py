"""The projection keeps areas and has an inverse; land is where land is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cspops.report.world import World, equal_earth, from_equal_earth, globe, is_land, land_of

longitude, latitude = st.floats(-179.99, 179.99), st.floats(-89.9, 89.9)


def test_the_equator_is_straight_and_as_long_as_the_formula_says() -> None:
    """At the equator the auxiliary angle is 0, so x = 2 lon / (sqrt(3) A1) and y = 0, with A1 = 1.340264."""
    xy = equal_earth(np.array([[180.0, 0.0], [-90.0, 0.0]]))
    np.testing.assert_allclose(xy, [[2 * np.pi / np.sqrt(3) / 1.340264, 0], [-np.pi / np.sqrt(3) / 1.340264, 0]], atol=1e-12)


@given(longitude, latitude)
def test_the_projection_keeps_areas(lon: float, lat: float) -> None:
    """On the unit sphere d(area) = cos(lat) dlon dlat; so the Jacobian's determinant is cos(lat).

    Central differences of 1e-5 radians: error of the order 1e-10, and rounding of the order 1e-16 / 1e-5 = 1e-11.
    """
    step = 1e-5
    at = np.array([[lon, lat]])
    columns = [
        (equal_earth(at + np.degrees(step) * unit) - equal_earth(at - np.degrees(step) * unit))[0] / (2 * step)
        for unit in np.eye(2)
    ]
    assert np.linalg.det(np.stack(columns, 1)) == pytest.approx(np.cos(np.radians(lat)), abs=1e-7)


@given(longitude, latitude)
def test_there_and_back(lon: float, lat: float) -> None:
    """Near the poles arcsin loses half the digits: 1e-8 radians is 6e-7 degrees."""
    np.testing.assert_allclose(from_equal_earth(equal_earth(np.array([[lon, lat]]))), [[lon, lat]], atol=2e-6)


def test_beyond_the_globe_is_nowhere() -> None:
    outside = np.array([[2.8, 0.0], [-2.8, 0.0], [2.6, 1.2], [0.0, 1.33], [0.0, -1.33], [9.0, 9.0]])
    assert np.isnan(from_equal_earth(outside)).all()
    assert not np.isnan(from_equal_earth(np.array([[2.7, 0.0], [0.0, 1.31]]))).any()


def test_land_is_where_land_is() -> None:
    land = [[2.0, 47.0], [10.0, 25.0], [-60.0, -10.0], [134.0, -25.0], [-40.0, 75.0], [0.0, -85.0], [178.0, 67.0]]
    sea = [[-30.0, 30.0], [-150.0, 0.0], [80.0, -30.0], [179.99, 0.0], [-180.0, 0.0], [0.0, 89.9], [18.0, 34.0]]
    assert is_land(np.array(land)).all()
    assert not is_land(np.array(sea)).any()
    assert not is_land(np.array([[np.nan, np.nan]])).any()


@pytest.mark.parametrize(("south", "north"), [(-60, 84), (-90, 90)])
def test_pixels_share_the_land_by_area(south: float, north: float) -> None:
    """A pixel is a square of the plane, so land pixels times its area is the land's area on the unit sphere.

    That area again, from points of a fine longitude-latitude grid weighted by cos(lat). A coast pixel is land or not by
    its centre: with about 4 % of the 50,000 on a coast, errors of either sign leave far less than 1 %.
    """
    world = World(south, north, width=400)
    left, right, bottom, top = world.extent
    pixel = (right - left) / 400
    assert pixel == pytest.approx((top - bottom) / world.land.shape[0])
    lon, lat = np.meshgrid(np.arange(-179.75, 180, 0.5), np.arange(-89.75, 90, 0.5))
    inside = (lat > south) & (lat < north)
    weight = np.cos(np.radians(lat)) * np.radians(0.5) ** 2
    area = (weight * is_land(np.stack((lon, lat), -1).reshape(-1, 2)).reshape(lon.shape) * inside).sum()
    assert len(world.lonlat) * pixel**2 == pytest.approx(area, rel=0.01)
    assert len(world.lonlat) == world.land.sum()
    assert world.lonlat[:, 1].min() > south - 0.5
    assert world.lonlat[:, 1].max() < north


def test_the_pixels_lie_where_the_picture_puts_them() -> None:
    world = World(-60, 84, width=200)
    left, right, bottom, top = world.extent
    rows, columns = np.nonzero(world.land)
    x = left + (columns + 0.5) / world.land.shape[1] * (right - left)
    y = top - (rows + 0.5) / world.land.shape[0] * (top - bottom)
    np.testing.assert_allclose(equal_earth(world.lonlat), np.stack((x, y), 1), atol=1e-9)


def test_lines_stay_on_the_map_and_coasts_part_land_from_sea() -> None:
    world = World(-60, 84)
    left, right, bottom, top = world.extent
    coasts = world.coasts()
    for line in [*coasts, *world.graticule(), world.outline()]:
        x, y = line[~np.isnan(line).any(1)].T
        assert left - 1e-9 <= x.min() <= x.max() <= right + 1e-9
        assert bottom - 0.01 <= y.min() <= y.max() <= top + 1e-9
    points = from_equal_earth(np.concatenate(coasts))
    points = points[~np.isnan(points).any(1)][::50]
    ring = np.stack(np.meshgrid([-0.4, 0, 0.4], [-0.4, 0, 0.4]), -1).reshape(-1, 2)
    near = is_land((points[:, None] + ring).reshape(-1, 2)).reshape(-1, 9)
    assert (near.any(1) & ~near.all(1)).mean() > 0.99


RIVIERA = (7.0, 43.2, 8.0, 44.2)


@pytest.mark.parametrize(
    "box",
    [RIVIERA, (-10.0, 35.0, 30.0, 60.0), (170.0, -50.0, 180.0, -30.0), (-180.0, 60.0, -150.0, 90.0)],
)
def test_a_box_agrees_with_the_globe_where_no_coast_is_near(box):
    """Within a cell of the globe's mask whose neighbours are all land or all sea, so is each finer cell."""
    west, south, east, north = box
    mask = land_of(box)
    assert mask.box[0] <= west and mask.box[1] <= south and mask.box[2] >= east and mask.box[3] >= north
    points = np.random.default_rng(0).uniform((west, south), (east, north), (3000, 2))
    share = globe().share
    row, column = ((90 - points[:, 1]) * 3).astype(int), ((points[:, 0] + 180) * 3).astype(int)
    clear = np.isin(share[row.clip(0, 539), column.clip(0, 1079)], (0, 1))
    assert clear.any()
    assert (mask.is_land(points) == is_land(points))[clear].all()


def test_a_small_box_has_the_cells_of_the_raster_and_a_coast():
    mask = land_of(RIVIERA)
    west, _, east, _ = mask.box
    assert mask.share.shape[1] / (east - west) == pytest.approx(36)
    assert mask.share.size < 2000
    assert len(mask.coasts()) == 1
    globes = [line for line in globe().coasts() if ((line > (7, 43.2)) & (line < (8, 44.2))).all(1).any()]
    assert len(mask.coasts()[0]) > 2 * sum(((line > (7, 43.2)) & (line < (8, 44.2))).all(1).sum() for line in globes)


@pytest.mark.parametrize("box", [(-30.0, 20.0, -29.0, 21.0), (10.0, 25.0, 11.0, 26.0)])
def test_no_coast_in_the_open_sea_and_inland(box):
    assert land_of(box).coasts() == []
