"""The codes of a georeferenced categorical raster, such as a land-cover map, at positions in WGS84."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cspops.errors import DataError
from cspops.intake.images.georeference import NO_CRS, NO_TRANSFORM, UNKNOWN_CRS
from cspops.pixels.gdal import gdal_silent

WINDOW = 2048
"""Side of the parts, in pixels, that a raster is read in: it may be larger than the memory."""

NOTHING = -1

Codes = Callable[[np.ndarray], np.ndarray]
"""From longitude and latitude in degrees (..., 2) to codes (...), `NOTHING` outside the raster and where it has no data."""


def open_categorical_raster(file: Path) -> Codes:
    """Open the first band of any raster that GDAL knows, to be asked for the pixel that each position lies in.

    Raises:
        DataError: the raster cannot be opened, has no coordinate reference system, or no whole numbers.
    """
    import rasterio
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError
    from rasterio.windows import Window

    def refused(why: str) -> DataError:
        return DataError(f"{file}: {why}", hint="set pretrain_img.methods.geokr.raster in params.yaml to another file")

    if not file.is_file():
        raise refused("raster is not there")
    try:
        with gdal_silent(), rasterio.open(file) as opened:
            crs, transform, kind = opened.crs, opened.transform, np.dtype(opened.dtypes[0])
            width, height = opened.width, opened.height
    except rasterio.errors.RasterioError:
        raise refused("raster cannot be opened") from None
    if crs is None:
        raise refused(NO_CRS.replace("GeoTIFF", "raster"))
    if transform.is_identity:
        raise refused(NO_TRANSFORM.replace("GeoTIFF", "raster"))
    if kind.kind not in "iu":
        raise refused(f"classes are whole numbers, and this raster holds {kind}")
    try:
        transformer = Transformer.from_crs(CRS.from_epsg(4326), CRS.from_wkt(crs.to_wkt()), always_xy=True)
    except ProjError:
        raise refused(UNKNOWN_CRS.replace("GeoTIFF", "raster").replace("to", "from", 1)) from None
    inverse = ~transform
    west = transform.c + min(0, transform.a * width) if crs.is_geographic else None

    def codes(lonlat: np.ndarray) -> np.ndarray:
        shape = lonlat.shape[:-1]
        lon = (lonlat[..., 0].ravel() + 180) % 360 - 180
        x, y = transformer.transform(lon, lonlat[..., 1].ravel())
        if west is not None:
            x = (x - west) % 360 + west  # a raster of degrees may go on over 180, or begin at 0
        with np.errstate(invalid="ignore"):  # infinite where the system of coordinates does not reach
            column = np.floor(inverse.a * x + inverse.b * y + inverse.c)
            row = np.floor(inverse.d * x + inverse.e * y + inverse.f)
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        out = np.full(len(x), NOTHING, np.int64)
        points = np.flatnonzero(inside)
        at_row, at_column = row[points].astype(np.int64), column[points].astype(np.int64)
        window = (at_row // WINDOW) * (width // WINDOW + 1) + at_column // WINDOW
        with gdal_silent(), rasterio.open(file) as opened:
            for number in np.unique(window):
                top, left = (part * WINDOW for part in divmod(int(number), width // WINDOW + 1))
                some = window == number
                part = Window(left, top, min(WINDOW, width - left), min(WINDOW, height - top))
                values = opened.read(1, window=part, masked=True).astype(np.int64).filled(NOTHING)
                out[points[some]] = values[at_row[some] - top, at_column[some] - left]
        return out.reshape(shape)

    return codes
