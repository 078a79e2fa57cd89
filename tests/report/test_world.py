"""Land is where land is, and pixels of the map share it by area."""

import numpy as np
import pytest

from cspops.land import globe, is_land, land_of
from cspops.report.world import World, coastlines, equal_earth, from_equal_earth


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


def test_a_small_box_has_a_finer_coast():
    coasts, globes = coastlines(land_of((7.0, 43.2, 8.0, 44.2))), coastlines(globe())
    assert len(coasts) == 1
    there = [((line > (7, 43.2)) & (line < (8, 44.2))).all(1).sum() for line in globes]
    assert any(there)
    assert len(coasts[0]) > 2 * sum(there)


@pytest.mark.parametrize("box", [(-30.0, 20.0, -29.0, 21.0), (10.0, 25.0, 11.0, 26.0)])
def test_no_coast_in_the_open_sea_and_inland(box):
    assert coastlines(land_of(box)) == []
