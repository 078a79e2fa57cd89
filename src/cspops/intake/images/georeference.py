"""Where on Earth a GeoTIFF lies: its centre, from the georeference in the file itself, in WGS84."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from cspops.pixels.gdal import gdal_alone

GEO_KEYS = 34735

NO_CRS = "GeoTIFF without a coordinate reference system"
NO_TRANSFORM = "GeoTIFF with a coordinate reference system but no position"
ONLY_RPCS = "GeoTIFF with rational polynomial coefficients only, which are not read"
UNKNOWN_CRS = "GeoTIFF whose coordinate reference system cannot be brought to WGS84"
BROKEN = "GeoTIFF whose georeference cannot be read"

ToWgs84 = Callable[[Any, Any], tuple[Any, Any]]
"""From x (east), y (north) to longitude, latitude."""


def is_geotiff(tags: Mapping[int, Any]) -> bool:
    """Return whether the tags of a TIFF file hold the GeoTIFF keys, without which no system of coordinates is named."""
    return GEO_KEYS in tags


def centre(file: Path) -> tuple[tuple[float, float] | None, list[str]]:
    """Return the middle of a GeoTIFF, as longitude and latitude in degrees WGS84, and notes.

    The middle is that of the pixel grid, in the file's own system of coordinates (any that PROJ knows; the grid may be
    rotated, or tied to the ground by control points), then brought to WGS84. None, with a note that says why, where the
    file does not say. Files beside the GeoTIFF (.tfw, .aux.xml) are not looked at.
    """
    import rasterio

    try:
        # GDAL wants names in UTF-8; of another file it gets the bytes
        source: Any = file if str(file).isprintable() else io.BytesIO(file.read_bytes())
        with gdal_alone(), rasterio.open(source, driver="GTiff") as opened:
            crs, transform, (points, points_crs) = opened.crs, opened.transform, opened.gcps
            middle, rpcs = (opened.width / 2, opened.height / 2), opened.rpcs
            if transform.is_identity and points:
                crs = points_crs
            wkt = crs.to_wkt() if crs else None
    except (rasterio.errors.RasterioError, ValueError):
        return None, [BROKEN]
    if transform.is_identity and not points:
        return None, [ONLY_RPCS if rpcs else NO_TRANSFORM if crs else NO_CRS]
    if wkt is None:
        return None, [NO_CRS]
    to_wgs84 = _transformer(wkt)
    if to_wgs84 is None:
        return None, [UNKNOWN_CRS]
    lon, lat = _by_points(points, middle, to_wgs84) if transform.is_identity else to_wgs84(*_at(transform, middle))
    return ((lon, lat), []) if math.isfinite(lon) and math.isfinite(lat) else (None, [UNKNOWN_CRS])


def _by_points(points: Sequence[Any], middle: tuple[float, float], to_wgs84: ToWgs84) -> tuple[float, float]:
    """Return where the grid's middle lies by the affine through ground control points.

    It is fitted in their own system; where that is cut between them, at the date line or a pole, in longitudes continued
    over the date line or, round a pole, in the plane around them.
    """
    import numpy as np
    from rasterio.control import GroundControlPoint
    from rasterio.transform import from_gcps

    from cspops.intake.centres import HALF, continued, plane_around

    x, y = np.array([point.x for point in points]), np.array([point.y for point in points])
    back = to_wgs84
    lon, lat = to_wgs84(x, y)
    if np.ptp(lon) > HALF:
        around, plane = continued(lon), plane_around(lon, lat)
        if around is not None:
            x, y, back = around, lat, lambda x, y: ((x + 180) % 360 - 180, y)
        elif plane is not None:
            (x, y), back = plane(lon, lat), lambda x, y: plane(x, y, inverse=True)
    tied = [GroundControlPoint(point.row, point.col, *at) for point, *at in zip(points, x.tolist(), y.tolist(), strict=True)]
    return back(*_at(from_gcps(tied), middle))


def _at(transform: Any, pixel: tuple[float, float]) -> tuple[float, float]:
    """Return where an affine sends a column and row."""
    (a, b, c, d, e, f), (column, row) = transform[:6], pixel
    return a * column + b * row + c, d * column + e * row + f


@lru_cache(maxsize=256)
def _transformer(wkt: str) -> ToWgs84 | None:
    """Return the way from x (east), y (north) to longitude, latitude, made once per system, since that takes milliseconds."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    try:
        transformer = Transformer.from_crs(CRS.from_wkt(wkt), CRS.from_epsg(4326), always_xy=True)
    except ProjError:
        return None
    return lambda x, y: transformer.transform(x, y)
