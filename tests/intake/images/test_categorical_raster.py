"""Codes of a GeoTIFF at positions: in degrees and in metres, without data, and what is refused."""

import image_files
import numpy as np
import pytest
from affine import Affine
from rasterio.warp import transform as warp

from cspops.errors import DataError
from cspops.intake.images import categorical_raster
from cspops.intake.images.categorical_raster import NOTHING, open_categorical_raster

H, W = 6, 9
CODES = (np.arange(H * W).reshape(H, W) % 50 + 100).astype(np.uint8)
NORTH_UP = Affine(0.5, 0, 20.0, 0, -0.5, 50.0)
"""From 20 E 50 N, half a degree a pixel."""


def geotiff(file, values=CODES, *, crs="EPSG:4326", transform=NORTH_UP, **more):
    return image_files.geotiff(file, values, crs=crs, transform=transform, **more)


def middles() -> np.ndarray:
    """Longitude and latitude of the middle of every pixel."""
    row, column = np.mgrid[:H, :W]
    return np.stack((20 + (column + 0.5) / 2, 50 - (row + 0.5) / 2), -1)


@pytest.mark.parametrize("window", [2, 3, 4, 9, 2048])
def test_every_pixel_is_found_whatever_the_windows(tmp_path, window, monkeypatch):
    monkeypatch.setattr(categorical_raster, "WINDOW", window)
    codes = open_categorical_raster(geotiff(tmp_path / "a.tif"))
    assert np.array_equal(codes(middles()), CODES)
    assert np.array_equal(codes(middles() + np.array((360.0, 0.0))), CODES)
    assert codes(middles()[:2, :3, None]).shape == (2, 3, 1)


@pytest.mark.parametrize("west", [0.0, 179.0, -182.5, 358.0])
def test_rasters_over_the_date_line_and_from_0_to_360(tmp_path, west):
    """From 0 with pixels of 40 degrees: all round the Earth."""
    side = 40.0 if west == 0 else 0.5
    codes = open_categorical_raster(geotiff(tmp_path / "a.tif", transform=Affine(side, 0, west, 0, -0.5, 50)))
    row, column = np.mgrid[:H, :W]
    lon = (west + (column + 0.5) * side + 180) % 360 - 180
    assert np.array_equal(codes(np.stack((lon, 50 - (row + 0.5) / 2), -1)), CODES)


def test_outside_there_is_nothing(tmp_path):
    codes = open_categorical_raster(geotiff(tmp_path / "a.tif"))
    at = np.array([[19.99, 49.0], [24.51, 49.0], [21.0, 50.01], [21.0, 46.99], [-160.0, -49.0], [20.01, 49.99]])
    assert codes(at).tolist() == [NOTHING] * 5 + [CODES[0, 0]]


def test_no_data_is_nothing(tmp_path):
    codes = open_categorical_raster(geotiff(tmp_path / "a.tif", nodata=107))
    assert np.array_equal(codes(middles()), np.where(CODES == 107, NOTHING, CODES.astype(int)))


@pytest.mark.parametrize("epsg", ["EPSG:32634", "EPSG:3857", "EPSG:3035"])
def test_other_systems_are_brought_to_degrees(tmp_path, epsg):
    """A raster of kilometres around 21 E 48 N: positions of its pixels by rasterio's own transformation."""
    (x,), (y,) = warp("EPSG:4326", epsg, [21.0], [48.0])
    codes = open_categorical_raster(geotiff(tmp_path / "a.tif", crs=epsg, transform=Affine(1000, 0, x, 0, -1000, y)))
    row, column = np.mgrid[:H, :W]
    lon, lat = warp(epsg, "EPSG:4326", (x + (column.ravel() + 0.5) * 1000).tolist(), (y - (row.ravel() + 0.5) * 1000).tolist())
    assert np.array_equal(codes(np.stack((lon, lat), -1)), CODES.ravel())


def test_where_a_system_does_not_reach_there_is_nothing(tmp_path):
    """Mercator has no pole."""
    codes = open_categorical_raster(geotiff(tmp_path / "a.tif", crs="EPSG:3395", transform=Affine(1e6, 0, -4e6, 0, -1e6, 3e6)))
    assert codes(np.array([[0.0, 90.0], [0.0, 0.0]])).tolist() == [NOTHING, CODES[3, 4]]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"crs": None}, "a.tif: raster without a coordinate reference system"),
        ({"transform": None}, "a.tif: raster with a coordinate reference system but no position"),
        ({"values": CODES.astype(np.float32)}, "a.tif: classes are whole numbers, and this raster holds float32"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_raster_that_is_of_no_use_is_refused(tmp_path, changes, says):
    with pytest.raises(DataError, match=says):
        open_categorical_raster(geotiff(tmp_path / "a.tif", **changes))


def test_no_file_and_no_raster(tmp_path):
    with pytest.raises(DataError, match=r"b\.tif: raster is not there"):
        open_categorical_raster(tmp_path / "b.tif")
    (tmp_path / "b.tif").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"b\.tif: raster cannot be opened"):
        open_categorical_raster(tmp_path / "b.tif")
