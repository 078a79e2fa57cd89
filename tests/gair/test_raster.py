"""Rasters of which overhead images are cut: where they lie, and what they show."""

from pathlib import Path

import numpy as np
import pytest
import torch
from gair_run import write_raster

from cspops.errors import DataError
from cspops.gair.raster import BlueMarble, GeoTiff
from cspops.gair.tiling import Side, tiling
from cspops.intake.sources.blue_marble import tiles
from cspops.pixels.reading import Reading

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of rasterio's own arithmetic


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


def test_a_large_raster_in_metres_is_brought_to_degrees(tmp_path: Path) -> None:
    """Twenty degrees of web mercator, whose rows are parallels: 42 N lies in row 84.5 of 160, not at 80."""
    import rasterio
    from pyproj import Transformer
    from rasterio.transform import from_bounds

    to = Transformer.from_crs(4326, 3857, always_xy=True)
    (west, south), (east, north) = to.transform(0.0, 32.0), to.transform(20.0, 52.0)
    rows = np.arange(160, dtype=np.uint8)[:, None].repeat(160, 1)
    about = {"driver": "GTiff", "height": 160, "width": 160, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    with rasterio.open(
        tmp_path / "a.tif", "w", **about, crs="EPSG:3857", transform=from_bounds(west, south, east, north, 160, 160)
    ) as out:
        out.write(np.stack([rows] * 3))
    raster = GeoTiff(tmp_path / "a.tif", Reading())
    for lat in (35.0, 42.0, 50.0):
        part = raster.cut(torch.tensor([[9.0, lat - 0.5, 11.0, lat + 0.5]], dtype=torch.float64), 16).double()
        expected = (north - to.transform(10.0, lat)[1]) / (north - south) * 160 - 0.5
        assert float(part.mean()) == pytest.approx(expected, abs=0.6)


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
