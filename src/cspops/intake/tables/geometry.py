"""Positions of geometries: points as they are, centroids of the rest, any reference system to WGS84.

Points in WGS84 need numpy alone; shapely and pyproj, of the extra `geo`, are asked for where they are needed.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from cspops.errors import DataError, needed

UNREADABLE = "the geometry cannot be read"

ToDegrees = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""x, y to longitudes and latitudes; infinite where there are none."""

POINT = np.frombuffer(bytes.fromhex("0101000000"), np.uint8)
"""How a little-endian well-known-binary point in the plane begins; two float64 follow."""


def to_degrees(crs: str | dict[str, Any], name: str) -> ToDegrees | None:
    """Return the way from a reference system, a name or PROJJSON, to WGS84; None where it is WGS84. x is east."""
    if isinstance(crs, dict):
        code = "{authority}:{code}".format(**{"authority": "", "code": ""} | crs.get("id", {}))
    else:
        code = re.sub(r"^urn:ogc:def:crs:(\w+):[\d.]*:", r"\1:", crs.strip(), flags=re.IGNORECASE)
    if code.upper() in ("EPSG:4326", "OGC:CRS84", "CRS84"):
        return None
    pyproj = needed("pyproj", f"{name} is in the reference system {code if code != ':' else 'of its own'}, which")
    try:
        known = pyproj.CRS.from_json_dict(crs) if isinstance(crs, dict) else pyproj.CRS.from_user_input(code)
        transformer = pyproj.Transformer.from_crs(known, "OGC:CRS84", always_xy=True)
    except pyproj.exceptions.ProjError as error:
        raise DataError(f"{name}: its reference system is not known: {str(error)[:200]}") from None

    def degrees(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lon, lat = transformer.transform(x, y)
        return lon, lat

    return degrees


def wkb_positions(geometry: pa.Array, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return x, y, which rows cannot be read, and how many positions are centroids. nan for null and empty geometries."""
    n = len(geometry)
    x, y, broken = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, dtype=bool)
    geometry = geometry.cast(pa.large_binary())
    given = geometry.is_valid().to_numpy(zero_copy_only=False)
    _, offsets, data = geometry.buffers()
    ends = np.frombuffer(offsets, np.int64)[geometry.offset : geometry.offset + n + 1]
    data = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    points = np.flatnonzero(given & (np.diff(ends) == 21))
    bodies = data[ends[points, None] + np.arange(21)]
    plain = (bodies[:, :5] == POINT).all(1)
    points = points[plain]
    x[points], y[points] = np.ascontiguousarray(bodies[plain, 5:]).view("<f8").reshape(-1, 2).T
    given[points] = False
    others = np.flatnonzero(given)
    if not len(others):
        return x, y, broken, 0
    shapely = needed("shapely", f"{name} has other geometries than points, which")
    shapes = shapely.from_wkb(geometry.take(pa.array(others)).to_pylist(), on_invalid="ignore")
    broken[others] = shapely.is_missing(shapes)
    centres = shapely.centroid(shapes)
    x[others], y[others] = shapely.get_x(centres), shapely.get_y(centres)
    return x, y, broken, int((~broken[others] & (shapely.get_type_id(shapes) != 0)).sum())


def json_centre(geometry: Any, name: str) -> tuple[float, float] | None:
    """Return the centroid of a GeoJSON geometry, no point; None for an empty one, ValueError for a broken one."""
    shapely = needed("shapely", f"{name} has other geometries than points, which")
    try:
        centre = shapely.geometry.shape(geometry).centroid
    except Exception as error:  # shapely raises anything from KeyError to GEOSException at broken geometries
        raise ValueError(str(error)) from None
    return None if centre.is_empty else (centre.x, centre.y)


def centroid_remark(name: str, count: int) -> str:
    """Return the remark on geometries whose position is a centroid."""
    what = "1 geometry is not a point; its centroid is its position"
    return f"{name}: " + (what if count == 1 else f"{count} geometries are not points; their centroids are the positions")
