"""Where on Earth a GeoTIFF lies: its centre, from the georeference in the file itself, in WGS84."""

import math
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from cspops.errors import needed

GEO_KEYS = 34735

NO_CRS = "GeoTIFF without a coordinate reference system"
NO_TRANSFORM = "GeoTIFF with a coordinate reference system but no position"
ONLY_RPCS = "GeoTIFF with rational polynomial coefficients only, which are not read"
UNKNOWN_CRS = "GeoTIFF whose coordinate reference system cannot be brought to WGS84"
BROKEN = "GeoTIFF whose georeference cannot be read"


def is_geotiff(tags: Mapping[int, Any]) -> bool:
    """Return whether the tags of a TIFF file hold the GeoTIFF keys, without which no system of coordinates is named."""
    return GEO_KEYS in tags


def centre(file: Path) -> tuple[tuple[float, float] | None, list[str]]:
    """Return the middle of a GeoTIFF, as longitude and latitude in degrees WGS84, and notes.

    The middle is that of the pixel grid, in the file's own system of coordinates (any that PROJ knows; the grid may be
    rotated, or tied to the ground by control points), then brought to WGS84. None, with a note that says why, where the
    file does not say. Files beside the GeoTIFF (.tfw, .aux.xml) are not looked at.

    Raises:
        EnvironmentProblem: rasterio or pyproj is not installed.
    """
    rasterio = needed("rasterio", f"{file}: a GeoTIFF")
    needed("pyproj", f"{file}: a GeoTIFF")
    from rasterio.transform import from_gcps

    # Unless it is told that nothing else is there, GDAL lists the folder for every file, and a neighbour changes the answer.
    try:
        with (
            warnings.catch_warnings(action="ignore", category=rasterio.errors.NotGeoreferencedWarning),
            rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
            rasterio.open(file, driver="GTiff") as opened,
        ):
            crs, transform, (points, points_crs) = opened.crs, opened.transform, opened.gcps
            width, height, rpcs = opened.width, opened.height, opened.rpcs
            if transform.is_identity and points:
                crs, transform = points_crs, from_gcps(points)
            wkt = crs.to_wkt() if crs else None
    except (rasterio.errors.RasterioError, ValueError):
        return None, [BROKEN]
    if transform.is_identity:
        return None, [ONLY_RPCS if rpcs else NO_TRANSFORM if crs else NO_CRS]
    if wkt is None:
        return None, [NO_CRS]
    to_wgs84 = _transformer(wkt)
    if to_wgs84 is None:
        return None, [UNKNOWN_CRS]
    a, b, c, d, e, f = transform[:6]
    lon, lat = to_wgs84(a * width / 2 + b * height / 2 + c, d * width / 2 + e * height / 2 + f)
    return ((lon, lat), []) if math.isfinite(lon) and math.isfinite(lat) else (None, [UNKNOWN_CRS])


@lru_cache(maxsize=256)
def _transformer(wkt: str) -> Callable[[float, float], tuple[float, float]] | None:
    """Return the way from x (east), y (north) to longitude, latitude, made once per system, since that takes milliseconds."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    try:
        transformer = Transformer.from_crs(CRS.from_wkt(wkt), CRS.from_epsg(4326), always_xy=True)
    except ProjError:
        return None
    return lambda x, y: transformer.transform(x, y)
