"""Rasters cut into overhead images: where they lie, what they show, and that places lie well inside."""

from pathlib import Path

import numpy as np
import pytest
import torch
from gair_run import write_raster

from cspops.data.overhead import Footprints
from cspops.errors import DataError
from cspops.gair.footprint import in_footprint
from cspops.gair.raster import BlueMarble, GeoTiff, Side, tiling
from cspops.geo import KM_PER_DEGREE
from cspops.intake.sources.blue_marble import tiles
from cspops.pixels.reading import Reading

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of rasterio's own arithmetic
WORLD = (-180.0, -90.0, 180.0, 90.0)
DEGREE = KM_PER_DEGREE


def spread(box: tuple[float, float, float, float], n: int = 400) -> torch.Tensor:
    """Places all over a box, its corners too."""
    u = torch.rand(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u[:4] = torch.cartesian_prod(torch.arange(2), torch.arange(2)).double()
    west, south, east, north = box
    return torch.stack((west + u[:, 0] * (east - west), south + u[:, 1] * (north - south)), 1)


@pytest.mark.parametrize(
    ("raster", "box"),
    [
        ((5.0, 40.0, 15.0, 48.0), (5.0, 40.0, 15.0, 48.0)),
        ((5.0, 40.0, 15.0, 48.0), (7.0, 43.0, 7.2, 43.1)),
        ((5.0, -1.0, 7.5, 1.2), (5.0, -1.0, 7.5, 1.2)),  # hardly larger than a tile
        ((5.0, -0.8, 6.8, 0.8), (5.0, -0.8, 6.8, 0.8)),  # smaller than a tile
        ((178.0, -20.0, 184.0, -15.0), (178.0, -20.0, 184.0, -15.0)),
        (WORLD, WORLD),
        (WORLD, (170.0, -20.0, 190.0, -10.0)),
    ],
)
@pytest.mark.parametrize("turns", [0, -360])
def test_places_lie_in_the_inner_half_of_a_tile_but_at_the_raster_s_edge(raster, box, turns) -> None:
    lonlat = spread(box) + torch.tensor([float(turns), 0.0])
    made = tiling(raster, Side(2 * DEGREE, 2 * DEGREE), lonlat)
    bbox = made.bbox[made.tile]
    at = in_footprint(bbox, lonlat).abs()  # refuses places outside of their tile
    west, south, east, north = raster
    high = bbox[:, 3] - bbox[:, 1]
    assert (high <= 2 + 1e-9).all() and torch.allclose(high, high[0])
    assert (bbox[:, 1] >= south - 1e-9).all() and (bbox[:, 3] <= north + 1e-9).all()
    near = (torch.minimum(north - lonlat[:, 1], lonlat[:, 1] - south)) < high / 4
    assert (at[~near, 1] <= 0.5 + 1e-9).all()
    wide = bbox[:, 2] - bbox[:, 0]
    if east - west < 360:
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


def test_a_part_of_a_geotiff_shows_its_pixels(tmp_path: Path) -> None:
    """96 pixels over 6 degrees: parts of whole pixels, taken at their own size, are those pixels."""
    pixels = write_raster(tmp_path / "a.tif", (10.0, 40.0, 16.0, 46.0))
    raster = GeoTiff(tmp_path / "a.tif", Reading())
    assert raster.box == pytest.approx((10.0, 40.0, 16.0, 46.0))
    part = torch.tensor([[11.0, 42.0, 13.0, 44.0], [371.0, 42.0, 373.0, 44.0], [14.0, 40.0, 16.0, 42.0]], dtype=torch.float64)
    first, turned, corner = raster.cut(part, 32).numpy()
    np.testing.assert_array_equal(first, pixels[32:64, 16:48])
    np.testing.assert_array_equal(turned, first)
    np.testing.assert_array_equal(corner, pixels[64:, 64:])
    assert raster.cut(part, 8).shape == (3, 8, 8, 3)


def test_a_geotiff_in_metres_lies_where_it_lies(tmp_path: Path) -> None:
    write_raster(tmp_path / "utm.tif", (450_000.0, 5_200_000.0, 470_000.0, 5_220_000.0), crs="EPSG:32632")
    west, south, east, north = GeoTiff(tmp_path / "utm.tif", Reading()).box
    assert 8.3 < west < 8.4 < 8.6 < east < 8.62 and 46.9 < south < 47.0 < 47.1 < north < 47.2


@pytest.mark.parametrize(
    ("content", "says"), [(None, "is missing"), (b"no raster", "it is no GeoTIFF"), (b"II*\0 and nothing", "cannot be read")]
)
def test_what_is_no_raster_is_said_with_its_name(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(DataError, match=says) as refused:
        GeoTiff(tmp_path / "a.tif", Reading())
    assert "a.tif" in refused.value.message


def test_the_embedded_raster_is_cut_as_its_observations_are() -> None:
    raster = BlueMarble()
    made = tiling(raster.box, Side(240.0, 240.0), torch.tensor([[8.5, 47.4], [179.9, -16.5]], dtype=torch.float64))
    centre = (made.bbox[:, :2] + made.bbox[:, 2:]) / 2
    torch.testing.assert_close(raster.cut(made.bbox, 16), tiles(raster.image, centre, km=240.0, px=16))
