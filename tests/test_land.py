"""Cells of the globe and of a box say the same, those of a small box more finely; runs hold the land and its area."""

import math

import numpy as np
import pytest
import torch

from cspops.climate_raster import HEIGHT, SEA, WIDTH, codes, globe, is_land, land_of
from cspops.land import LandRuns, climate_zones, read_land_runs, zones_at

RIVIERA = (7.0, 43.2, 8.0, 44.2)


@pytest.mark.parametrize(
    "box",
    [RIVIERA, (-10.0, 35.0, 30.0, 60.0), (170.0, -50.0, 180.0, -30.0), (-180.0, 60.0, -150.0, 90.0)],
)
def test_a_box_agrees_with_the_globe_where_no_coast_is_near(box):
    """Within a cell of the globe whose neighbours are all land or all sea, so is each finer cell."""
    west, south, east, north = box
    cells = land_of(box)
    assert cells.box[0] <= west and cells.box[1] <= south and cells.box[2] >= east and cells.box[3] >= north
    points = np.random.default_rng(0).uniform((west, south), (east, north), (3000, 2))
    share = globe().share
    row, column = ((90 - points[:, 1]) * 3).astype(int), ((points[:, 0] + 180) * 3).astype(int)
    clear = np.isin(share[row.clip(0, 539), column.clip(0, 1079)], (0, 1))
    assert clear.any()
    assert (cells.is_land(points) == is_land(points))[clear].all()


def test_a_small_box_has_the_cells_of_the_raster():
    cells = land_of(RIVIERA)
    west, _, east, _ = cells.box
    assert cells.share.shape[1] / (east - west) == pytest.approx(36)
    assert cells.share.size < 2000


def test_pixels_are_those_of_the_raster():
    """100 arc seconds each, 12960 in a row: the first, that south-east of 0 E 0 N, the last, the first of the second row."""
    zones = climate_zones()
    assert zones.shape == (HEIGHT, WIDTH) == (6480, 12960)
    lonlat = torch.tensor([[-180.0, 90.0], [0.0, 0.0], [179.99, -90.0], [-180.0, 90 - 1.5 / 36]], dtype=torch.float64)
    expected = zones.flatten()[[0, 3240 * 12960 + 6480, 6480 * 12960 - 1, 12960]]
    assert zones_at(zones, lonlat).tolist() == expected.tolist()
    assert np.array_equal(codes((7000, 1000, 7020, 1010)), zones[1000:1010, 7000:7020])


def test_the_raster_knows_deserts_and_the_sea():
    """The middle of the Sahara is hot desert (BWh, 7), the Pacific is sea."""
    assert zones_at(climate_zones(), torch.tensor([[10.0, 24.0], [-140.0, 10.0]])).tolist() == [7, SEA]


def test_the_area_of_the_runs_is_that_of_the_land_pixels():
    """4 pi steradians in all; the runs' sum is the pixels' sum but for rounding of 5 x 10^4 additions."""
    zones, runs = climate_zones().numpy(), read_land_runs()
    edge = np.sin(np.radians(np.linspace(90, -90, 6481)))
    expected = float(((zones != SEA).sum(1) * (edge[:-1] - edge[1:])).sum() * 2 * np.pi / 12960)
    assert float(runs.upto[-1]) == pytest.approx(expected, rel=1e-10)
    assert 0.29 < expected / (4 * math.pi) < 0.31  # the textbook's 29 %
    assert len(runs.upto) < 100_000


PATTERN = np.array(
    [
        [1, 1, 1, 1, 1, 1],  # a whole row
        [0, 0, 0, 0, 0, 0],  # none
        [1, 0, 1, 1, 0, 1],  # at both ends and in the middle
        [0, 0, 0, 0, 1, 0],
    ],
    dtype=bool,
)


def test_runs_are_what_counting_pixels_finds():
    runs = LandRuns.of(PATTERN)
    assert runs.lon.tolist() == [[-180, 180], [-180, -120], [-60, 60], [120, 180], [60, 120]]
    s = math.sqrt(0.5)
    # Area: radians of longitude times the difference of the sines.
    areas = [2 * math.pi * (1 - s), math.pi / 3 * s, 2 * math.pi / 3 * s, math.pi / 3 * s, math.pi / 3 * (1 - s)]
    torch.testing.assert_close(runs.upto, torch.tensor(areas, dtype=torch.float64).cumsum(0))
    assert float(LandRuns.of(np.ones((9, 18), dtype=bool)).upto[-1]) == pytest.approx(4 * math.pi, rel=1e-12)


def test_no_land_is_refused():
    with pytest.raises(ValueError, match="no land"):
        LandRuns.of(np.zeros((4, 8), dtype=bool))
