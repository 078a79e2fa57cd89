"""How far from its places a map is drawn, and why."""

import math

import numpy as np
import pytest

from cspops.geo import KM_PER_DEGREE
from cspops.report.reach import Reach

LINE = np.stack((np.arange(100.0) / 10, np.zeros(100)), 1)
"""A hundred places along the equator, a tenth of a degree (11.12 km) apart."""
FAR = np.array([[100.0, 40.0]])


@pytest.mark.parametrize(
    ("places", "kernel_km", "km", "why"),
    [
        # the fifth nearest lies 3 steps off within the line, 4 and 5 steps off near its ends
        (LINE, 0.0, 56.0, "100 % of these have 5 others that near"),
        (np.concatenate([LINE, LINE]), 0.0, 56.0, "100 % of these have 5 others that near"),  # each place counts once
        (LINE, 300.0, 300.0, "the width of the pool's kernel"),
        (LINE, 20.0, 56.0, "100 % of these have 5 others that near"),
        (np.concatenate([LINE[:30], FAR]), 0.0, 56.0, "96 % of these have 5 others that near"),  # one outlier in few
        (LINE[:3], 0.0, 23.0, "100 % of these have 2 others that near"),
        (LINE[:2], 0.0, 12.0, "100 % of these have 1 other that near"),
        (LINE[:1], 50.0, 50.0, "the width of the pool's kernel"),
        # 20 places within metres at two sites 1,112 km apart
        (np.concatenate([LINE[:10] / 1e4, LINE[:10] / 1e4 + (10, 0)]), 0.0, 5.6, "1/200 of the extent of these places"),
    ],
)
def test_the_distance_is_that_of_the_fifth_place_and_no_less_than_the_kernel_and_what_can_be_seen(
    places, kernel_km, km, why
) -> None:
    reach = Reach.of(places, kernel_km=kernel_km)
    assert (reach.km, reach.why) == (km, why)
    assert reach.end() == f"farther than {km:g} km from a labelled place ({why})"
    assert reach.end("training row") == f"farther than {km:g} km from a training row ({why})"


@pytest.mark.parametrize("places", [LINE[:1], LINE[:0]])
def test_without_two_places_nothing_is_known_and_all_is_drawn(places) -> None:
    reach = Reach.of(places)
    assert math.isinf(reach.km)
    assert reach.end() is None
    assert reach.within(np.array([[0.0, 90.0]])).all()
    assert reach.box() == (-180, -90, 180, 90)


def test_what_is_within_is_measured_on_the_sphere() -> None:
    """Across the antimeridian and over a pole; a pixel of half a diagonal of 30 km is drawn where it may hold a place."""
    reach = Reach(Reach.of(np.array([[179.9, 0.0], [0.0, 89.9]])).places, 0.2 * KM_PER_DEGREE + 0.001, "")
    points = np.array([[-179.9, 0.0], [-179.89, 0.0], [180.0, 89.9], [180.0, 89.89], [179.9, 0.25]])
    assert reach.within(points).tolist() == [True, False, True, False, False]
    assert reach.within(points, slack_km=30.0).tolist() == [True] * 5


def test_the_box_holds_all_that_is_drawn() -> None:
    reach = Reach.of(LINE)
    west, south, east, north = reach.box()
    lon, lat = np.meshgrid(np.linspace(-3, 13, 200), np.linspace(-3, 3, 80))
    inside = reach.within(points := np.stack((lon, lat), -1).reshape(-1, 2))
    assert ((points[inside] > (west, south)) & (points[inside] < (east, north))).all()
