"""The land masks of the globe and of a box say the same, and that of a small box more finely."""

import numpy as np
import pytest

from cspops.report.world import globe, is_land, land_of

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
