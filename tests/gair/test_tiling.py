"""Tiles that cover places: each place lies well inside its own, and no tile beyond the raster."""

import pytest
import torch

from cspops.data.overhead import Footprints
from cspops.errors import DataError
from cspops.gair.footprint import in_footprint
from cspops.gair.tiling import Side, tiling
from cspops.geo import KM_PER_DEGREE

WORLD = (-180.0, -90.0, 180.0, 90.0)
DEGREE = KM_PER_DEGREE


def spread(box: tuple[float, float, float, float], n: int = 400) -> torch.Tensor:
    """Places all over a box, its corners too."""
    u = torch.rand(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u[:4] = torch.cartesian_prod(torch.arange(2), torch.arange(2)).double()
    west, south, east, north = box
    return torch.stack((west + u[:, 0] * (east - west), south + u[:, 1] * (north - south)), 1)


@pytest.mark.parametrize(
    ("raster", "box", "is_ring"),
    [
        ((5.0, 40.0, 15.0, 48.0), (5.0, 40.0, 15.0, 48.0), False),
        ((5.0, 40.0, 15.0, 48.0), (7.0, 43.0, 7.2, 43.1), False),
        ((5.0, -1.0, 7.5, 1.2), (5.0, -1.0, 7.5, 1.2), False),  # hardly larger than a tile
        ((5.0, -0.8, 6.8, 0.8), (5.0, -0.8, 6.8, 0.8), False),  # smaller than a tile
        ((178.0, -20.0, 184.0, -15.0), (178.0, -20.0, 184.0, -15.0), False),
        (WORLD, WORLD, True),
        (WORLD, (170.0, -20.0, 190.0, -10.0), True),
        (WORLD, WORLD, False),
        (WORLD, (170.0, -20.0, 190.0, -10.0), False),
    ],
)
@pytest.mark.parametrize("turns", [0, -360])
def test_places_lie_in_the_inner_half_of_a_tile_but_at_the_raster_s_edge(raster, box, is_ring, turns) -> None:
    lonlat = spread(box) + torch.tensor([float(turns), 0.0])
    made = tiling(raster, Side(2 * DEGREE, 2 * DEGREE), lonlat, is_ring=is_ring)
    bbox = made.bbox[made.tile]
    at = in_footprint(bbox, lonlat).abs()  # refuses places outside of their tile
    west, south, east, north = raster
    high = bbox[:, 3] - bbox[:, 1]
    assert (high <= 2 + 1e-9).all() and torch.allclose(high, high[0])
    assert (bbox[:, 1] >= south - 1e-9).all() and (bbox[:, 3] <= north + 1e-9).all()
    near = (torch.minimum(north - lonlat[:, 1], lonlat[:, 1] - south)) < high / 4
    assert (at[~near, 1] <= 0.5 + 1e-9).all()
    wide = bbox[:, 2] - bbox[:, 0]
    if not is_ring:
        from_west = (lonlat[:, 0] - west) % 360 % 359.999999
        assert (bbox[:, 0] >= west - 1e-9).all() and (bbox[:, 2] <= east + 1e-9).all()
        inner = torch.minimum(from_west, east - west - from_west) >= wide / 4
    else:
        inner = torch.ones(len(lonlat), dtype=torch.bool)
    assert (at[inner, 0] <= 0.5 + 1e-9).all()
    full = wide < east - west - 1e-9
    shape = wide * torch.deg2rad((bbox[:, 1] + bbox[:, 3]) / 2).cos()
    torch.testing.assert_close(shape[full], torch.full_like(shape[full], 2.0))


def test_few_tiles_are_cut_for_many_places() -> None:
    made = tiling((5.0, 40.0, 15.0, 48.0), Side(2 * DEGREE, 2 * DEGREE), spread((7.0, 43.0, 7.1, 43.1)))
    assert len(made.bbox) <= 4


def test_a_raster_much_smaller_than_a_tile_is_refused() -> None:
    with pytest.raises(DataError, match=r"shows 55\.6 x 222 km.*222 x 222 km"):
        tiling((5.0, -1.0, 5.5, 1.0), Side(2 * DEGREE, 2 * DEGREE), torch.zeros(1, 2))


def test_the_side_is_the_median_of_the_catalogue_s_footprints() -> None:
    bbox = torch.tensor(
        [[10.0, 59.0, 14.0, 61.0], [179.0, -61.0, 183.0, -59.0], [0.0, 0.0, 50.0, 50.0], [torch.nan] * 4], dtype=torch.float64
    )
    there = torch.tensor([True, True, True, False])
    side = Side.of(Footprints(bbox, there, ~there & False))
    assert (side.wide, side.high) == pytest.approx((2 * DEGREE, 2 * DEGREE), rel=1e-9)
    with pytest.raises(DataError, match="no row of the catalogue"):
        Side.of(Footprints(bbox, there & False, there & False))
