"""Land is where land is, and pixels of the map share it by area."""

import numpy as np
import pytest

from cspops.climate_raster import globe, is_land, land_of
from cspops.report.world import World, coastlines, degree_text, equal_earth, from_equal_earth, surroundings, world_of


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


@pytest.mark.parametrize(
    ("places", "km", "box"),
    [
        ([[8.0, 0.0], [12.0, 2.0]], 111.2, (7, -1, 13, 3)),  # a degree on the equator has 111.2 km
        ([[178.0, 0.0], [-178.0, 0.0]], 111.2, (177, -1, 183, 1)),  # Fiji: 6 degrees, not 356
        ([[-180.0, 0.0], [-179.0, 0.0]], 111.2, (179, -1, 182, 1)),
        ([[8.0, 60.0]], 111.2, (5.94, 59, 10.06, 61)),  # 1 / cos(61 degrees) of longitude
        ([[0.0, 89.5]], 111.2, (-180, 88.5, 180, 90)),  # around the pole are all meridians
        ([[-100.0, 0.0], [50.0, 0.0], [100.0, 0.0]], 111.2, (-180, -1, 180, 1)),
        ([], 100.0, (-180, -90, 180, 90)),
    ],
)
def test_the_surroundings_of_places_take_the_short_way_and_all_meridians_at_a_pole(places, km, box) -> None:
    assert surroundings(np.array(places).reshape(-1, 2), km) == pytest.approx(box, abs=0.02)


def test_one_place_has_surroundings_that_can_be_drawn() -> None:
    west, south, east, north = surroundings(np.array([[8.5, 47.4]]), 0.0)
    assert east - west > north - south == pytest.approx(0.1)


@pytest.mark.parametrize("box", [(170.0, -50.0, 190.0, -30.0), (160.0, 60.0, 200.0, 72.0)])
def test_a_box_across_the_antimeridian_has_the_land_of_both_sides(box) -> None:
    world = world_of(box)
    lon = world.lonlat[:, 0]
    assert ((lon >= -180) & (lon < 180)).all()
    assert ((lon >= box[0]) | (lon <= box[2] - 360)).all()
    np.testing.assert_allclose(is_land(world.lonlat).mean(), 1, atol=0.1)  # the globe's cells are coarser
    left, right, bottom, top = world.extent
    x, y = world.project(world.lonlat).T
    assert left < x.min() <= x.max() < right and bottom < y.min() <= y.max() < top
    assert left == pytest.approx(-right)  # the middle meridian is upright


def test_no_line_leaves_a_box() -> None:
    world = world_of((160.0, 60.0, 200.0, 72.0))
    left, right, bottom, top = world.extent
    for line in [*world.coasts(), *world.graticule(), world.outline()]:
        x, y = line[~np.isnan(line).any(1)].T
        assert left - 1e-9 <= x.min() <= x.max() <= right + 1e-9
        assert bottom - 0.01 <= y.min() <= y.max() <= top + 1e-9


@pytest.mark.parametrize(
    ("box", "below", "left"),
    [
        ((5.0, 40.0, 15.0, 48.0), ["6°E", "8°E", "10°E", "12°E", "14°E"], ["40°N", "42°N", "44°N", "46°N", "48°N"]),
        ((170.0, -20.0, 190.0, -10.0), ["170°E", "175°E", "180°", "175°W", "170°W"], ["20°S", "15°S", "10°S"]),
        ((-0.25, -0.25, 0.25, 0.25), ["0.2°W", "0°", "0.2°E"], ["0.2°S", "0.1°S", "0°", "0.1°N", "0.2°N"]),
        ((-180.0, -90.0, 180.0, 90.0), [], []),
    ],
)
def test_the_edges_of_a_part_have_round_degrees(box, below, left) -> None:
    world = world_of(box)
    assert world.is_part == bool(below)
    if below:
        assert [[text for _, _, text in edge] for edge in world.degrees()] == [below, left]


def test_degrees_at_an_edge_stand_where_the_projection_puts_them() -> None:
    world = world_of((170.0, -20.0, 190.0, -10.0))
    below, left = world.degrees()
    assert [(x, y) for x, y, text in below if text == "175°W"] == [pytest.approx(world.project(np.array([[-175.0, -20.0]]))[0])]
    assert [(x, y) for x, y, text in left if text == "15°S"] == [pytest.approx(world.project(np.array([[170.0, -15.0]]))[0])]
    assert degree_text(-180.0, "E", "W") == "180°"
