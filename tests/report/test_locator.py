"""Little maps: land where land is, dots where places are."""

import re

import numpy as np

from cspops.report.examples import WIDTH, locator
from cspops.report.maps import region
from cspops.report.world import World

WORLD = World(-60, 84, width=400)
SWISS = np.array([[8.5, 47.4], [7.4, 46.9]])


def corners(path: str) -> np.ndarray:
    """The absolute points of a path of one relative polyline a part."""
    out = []
    for part in path.split("z")[:-1]:
        start, steps = part.removeprefix("M").split("l")
        points = np.array([int(one) for one in re.findall(r"-?\d+", f"{start} {steps}")]).reshape(-1, 2)
        out.append(points.cumsum(0))
    return np.concatenate(out)


def test_the_whole_world_fills_its_box() -> None:
    ground = locator(WORLD, WORLD.extent)
    land, border = corners(ground.land), corners(ground.border)
    assert ground.height == round(WIDTH * (WORLD.extent[3] - WORLD.extent[2]) / (2 * WORLD.extent[1]))
    assert border[:, 0].min() <= 2
    assert border[:, 0].max() >= WIDTH - 2
    assert (land >= -5).all()
    assert (land <= [WIDTH + 5, ground.height + 5]).all()
    assert len(ground.land) < 60_000


def test_dots_lie_where_the_projection_puts_them() -> None:
    ground = locator(WORLD, WORLD.extent)
    (middle,) = ground.at(np.array([[0.0, 0.0]]))
    assert middle[0] == WIDTH // 2
    (north, south) = ground.at(np.array([[0.0, 84.0], [0.0, -60.0]]))
    assert north[1] == 0
    assert abs(south[1] - ground.height) <= 3


def test_a_region_is_drawn_larger_and_places_stay_inside() -> None:
    part = region(SWISS, WORLD)
    ground = locator(WORLD, part)
    for x, y in ground.at(SWISS):
        assert 0 < x < WIDTH
        assert 0 < y < ground.height
    assert ground.land


def test_a_region_of_sea_has_no_land() -> None:
    ground = locator(WORLD, region(np.array([[-140.0, -40.0]]), WORLD))
    assert ground.land == ""
    assert ground.border.endswith("z")
