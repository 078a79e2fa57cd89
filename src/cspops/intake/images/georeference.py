"""Where on Earth a GeoTIFF lies: its centre and its edges, from the georeference in the file itself, in WGS84."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from cspops.pixels.gdal import gdal_alone

GEO_KEYS = 34735

NO_CRS = "GeoTIFF without a coordinate reference system"
NO_TRANSFORM = "GeoTIFF with a coordinate reference system but no position"
ONLY_RPCS = "GeoTIFF with rational polynomial coefficients only, which are not read"
UNKNOWN_CRS = "GeoTIFF whose coordinate reference system cannot be brought to WGS84"
BROKEN = "GeoTIFF whose georeference cannot be read"
NO_GEOTIFF = "image without a footprint: it is no GeoTIFF, and overhead_bbox gives none"
NOT_NORTH_UP = "GeoTIFF that is not north up in degrees, to within 5 % of its side: reproject it to EPSG:4326"

MOST_BESIDE = 0.05
"""Of a side. UTM within its zone comes to 0.026, and half of a cell of a 10 x 10 feature map is 0.05."""

ToWgs84 = Callable[[Any, Any], tuple[Any, Any]]
"""From x (east), y (north) to longitude, latitude."""


def is_geotiff(tags: Mapping[int, Any]) -> bool:
    """Return whether the tags of a TIFF file hold the GeoTIFF keys, without which no system of coordinates is named."""
    return GEO_KEYS in tags


Footprint = tuple[float, float, float, float]
"""West, south, east, north: the outer edges, in degrees WGS84, of an image that is north up in them. West in [-180, 180)."""


class _Grid(NamedTuple):
    """The pixel grid of a GeoTIFF, tied to the ground by an affine or by control points."""

    width: int
    height: int
    transform: Any
    points: Sequence[Any]
    """Control points, where they count."""
    to_wgs84: ToWgs84


def centre(file: Path) -> tuple[tuple[float, float] | None, list[str]]:
    """Return the middle of a GeoTIFF, as longitude and latitude in degrees WGS84, and notes.

    The middle is that of the pixel grid, in the file's own system of coordinates (any that PROJ knows; the grid may be
    rotated, or tied to the ground by control points), then brought to WGS84. None, with a note that says why, where the
    file does not say. Files beside the GeoTIFF (.tfw, .aux.xml) are not looked at.
    """
    grid = _read(file)
    if isinstance(grid, str):
        return None, [grid]
    middle = grid.width / 2, grid.height / 2
    lon, lat = _by_points(grid.points, middle, grid.to_wgs84) if grid.points else grid.to_wgs84(*_at(grid.transform, middle))
    return ((lon, lat), []) if math.isfinite(lon) and math.isfinite(lat) else (None, [UNKNOWN_CRS])


def footprint(file: Path | bytes) -> Footprint | str:
    """Return the footprint of a GeoTIFF, or a sentence that says why it has none; files beside it are not looked at.

    Each edge is where its middle lies. In degrees that is exact. A raster in UTM is turned against the meridians, by up to
    3 degrees within its zone, and others are bent: what a pixel shows may then lie beside the place that the footprint gives
    it, by at most `MOST_BESIDE` of the side. More is refused, and so is an image that is not north up.
    """
    import numpy as np

    if not _begins_as_tiff(file):
        return NO_GEOTIFF
    grid = _read(file)
    if isinstance(grid, str):
        return grid
    if grid.points:
        return NOT_NORTH_UP
    right, down = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 5))
    lon, lat = map(np.asarray, grid.to_wgs84(*_at(grid.transform, (right * grid.width, down * grid.height))))
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return UNKNOWN_CRS
    west, east, north, south = float(lon[2, 0]), float(lon[2, 4]), float(lat[0, 2]), float(lat[4, 2])
    east += 360 * (east <= west)
    expected = west + right * (east - west)
    beside_lon = ((lon - expected + 180) % 360 - 180) / (east - west)
    beside_lat = (lat - (north - down * (north - south))) / max(abs(north - south), 1e-12)
    if north <= south or max(np.abs(beside_lon).max(), np.abs(beside_lat).max()) > MOST_BESIDE:
        return NOT_NORTH_UP
    turns = 360 * math.floor((west + 180) / 360)
    return west - turns, south, east - turns, north


def _begins_as_tiff(file: Path | bytes) -> bool:
    try:
        with io.BytesIO(file) if isinstance(file, bytes) else file.open("rb") as opened:
            return opened.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    except OSError:
        return False


def _read(file: Path | bytes) -> _Grid | str:
    """Return the grid of a GeoTIFF, or a sentence that says why it has none."""
    import rasterio

    try:
        # GDAL wants names in UTF-8; of another file it gets the bytes
        content = file if isinstance(file, bytes) else None if str(file).isprintable() else file.read_bytes()
        source: Any = file if content is None else io.BytesIO(content)
        with gdal_alone(), rasterio.open(source, driver="GTiff") as opened:
            crs, transform, (points, points_crs) = opened.crs, opened.transform, opened.gcps
            width, height, rpcs = opened.width, opened.height, opened.rpcs
            if transform.is_identity and points:
                crs = points_crs
            wkt = crs.to_wkt() if crs else None
    except (rasterio.errors.RasterioError, ValueError):
        return BROKEN
    if transform.is_identity and not points:
        return ONLY_RPCS if rpcs else NO_TRANSFORM if crs else NO_CRS
    if wkt is None:
        return NO_CRS
    to_wgs84 = _transformer(wkt)
    if to_wgs84 is None:
        return UNKNOWN_CRS
    return _Grid(width, height, transform, points if transform.is_identity else (), to_wgs84)


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


def _at(transform: Any, pixel: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return where an affine sends a column and row, or arrays of them."""
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
