"""Positions of geometries: points as they are, centroids of the rest, any reference system to WGS84."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyproj
import shapely

from cspops.errors import DataError
from cspops.intake.centres import centroids

UNREADABLE = "the geometry cannot be read"
NO_CENTRE = "the geometry has no centre: a coordinate is not a number, or it covers the whole Earth"

ToDegrees = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""x, y to longitudes and latitudes; infinite where there are none."""

POINT = np.frombuffer(bytes.fromhex("0101000000"), np.uint8)
"""How a little-endian well-known-binary point in the plane begins; two float64 follow."""

DEPTH = 1000
"""Geometries within geometries, at most: GEOS reads them by recursion, and thousands end the process."""

NESTED_BINARY = re.compile(rb"(?:\x01[\x04-\x0c\xec-\xf4].\0.{5}|\0.\0.[\x04-\x0c\xec-\xf4].{4}){%d}" % DEPTH, re.DOTALL)
SRID = re.compile(r"^\s*SRID\s*=\s*4326\s*;", re.IGNORECASE)
NESTED_TEXT = re.compile("COLLECTION", re.IGNORECASE)


class Positions(NamedTuple):
    """The positions of a batch of geometries, one item per row."""

    lon: np.ndarray
    """Degrees WGS84; nan for null and empty geometries and those with a reason, infinite outside the reference system."""
    lat: np.ndarray
    reasons: dict[int, str]
    """Why a row has no position, by its index; nothing for null and empty geometries."""
    centroids: int
    """How many positions are centroids."""


def to_degrees(crs: str | dict[str, Any], name: str) -> ToDegrees | None:
    """Return the way from a reference system, a name or PROJJSON, to WGS84; None where it is WGS84. x is east."""
    if isinstance(crs, dict):
        code = "{authority}:{code}".format(**{"authority": "", "code": ""} | crs.get("id", {}))
    else:
        code = re.sub(r"^urn:ogc:def:crs:(\w+):[\d.]*:", r"\1:", crs.strip(), flags=re.IGNORECASE)
    if code.upper() in ("EPSG:4326", "OGC:CRS84", "CRS84"):
        return None
    try:
        known = pyproj.CRS.from_json_dict(crs) if isinstance(crs, dict) else pyproj.CRS.from_user_input(code)
        transformer = pyproj.Transformer.from_crs(known, "OGC:CRS84", always_xy=True)
    except pyproj.exceptions.ProjError as error:
        raise DataError(f"{name}: its reference system is not known: {str(error)[:200]}") from None

    def degrees(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lon, lat = transformer.transform(x, y)
        return lon, lat

    return degrees


def positions_of_wkb(geometry: pa.Array, degrees: ToDegrees | None = None) -> Positions:
    """Return the positions of well-known binary; points in the plane, most files' only kind, are read without shapely."""
    n = len(geometry)
    x, y = np.full(n, np.nan), np.full(n, np.nan)
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
    reasons = dict.fromkeys(np.flatnonzero(np.isnan(x) ^ np.isnan(y)).tolist(), NO_CENTRE)
    there = ~(np.isnan(x) | np.isnan(y))
    if degrees and there.any():
        x[there], y[there] = degrees(x[there], y[there])
    x[~there] = y[~there] = np.nan
    others = np.flatnonzero(given)
    values = [None if NESTED_BINARY.search(value) else value for value in geometry.take(pa.array(others)).to_pylist()]
    return _with_shapes(Positions(x, y, reasons, 0), others, _read(shapely.from_wkb, values), degrees)


def positions_of_wkt(texts: pa.Array, degrees: ToDegrees | None = None) -> Positions:
    """Return the positions of well-known text; null and blank texts are no geometries."""
    given = [(i, text) for i, text in enumerate(texts.to_pylist()) if text is not None and text.strip()]
    values = [None if len(NESTED_TEXT.findall(text)) > DEPTH else SRID.sub("", text) for _, text in given]
    nowhere = np.full(len(texts), np.nan)
    rows = np.array([i for i, _ in given], np.int64)
    return _with_shapes(Positions(nowhere, nowhere.copy(), {}, 0), rows, _read(shapely.from_wkt, values), degrees)


def positions_of_shapes(shapes: Sequence[shapely.Geometry], degrees: ToDegrees | None = None) -> Positions:
    """Return the positions of shapes; a missing one is one that cannot be read."""
    nowhere = np.full(len(shapes), np.nan)
    return _with_shapes(Positions(nowhere, nowhere.copy(), {}, 0), np.arange(len(shapes)), np.array(shapes, object), degrees)


def json_shape(geometry: Any) -> shapely.Geometry:
    """Return the shape of a GeoJSON geometry; ValueError for a broken one."""
    try:
        return shapely.geometry.shape(geometry)
    except Exception as error:  # shapely raises anything from KeyError to GEOSException at broken geometries
        raise ValueError(str(error)) from None


def unknown_system_remark(name: str) -> str:
    return f"{name}: its reference system is unknown; positions are taken as degrees WGS84"


def centroid_remark(name: str, count: int) -> str:
    """Return the remark on geometries whose position is a centroid."""
    what = "1 geometry is not a point; its centroid is its position"
    return f"{name}: " + (what if count == 1 else f"{count} geometries are not points; their centroids are the positions")


def _read(read: Callable[..., Any], values: list[Any]) -> np.ndarray:
    """Return shapes, None for what cannot be read: all at once, or one by one where one raises, as curved ones do."""
    if not values:
        return np.array([], object)
    with np.errstate(all="ignore"):  # coordinates of nan, or of 1e300
        try:
            return np.asarray(read(values, on_invalid="ignore"), object)
        except Exception:  # GEOSException, NotImplementedError, UnicodeError ...
            return np.array([None]) if len(values) == 1 else np.concatenate([_read(read, [value]) for value in values])


def _with_shapes(positions: Positions, rows: np.ndarray, shapes: np.ndarray, degrees: ToDegrees | None) -> Positions:
    """Put the centroids of the shapes of some rows among the positions of all."""
    if not len(rows):
        return positions
    missing = shapely.is_missing(shapes)
    if degrees:  # each vertex: a plane may be cut at the date line too
        shapes = shapely.transform(shapes, lambda at: np.column_stack(degrees(at[:, 0], at[:, 1])))
    lon, lat = centroids(shapes)
    empty = shapely.is_empty(shapes)
    nowhere = ~missing & ~empty & (np.isnan(lon) | np.isnan(lat))
    if degrees:
        outside = nowhere & ~np.isfinite(shapely.bounds(shapes)).all(1)
        lon[outside] = lat[outside] = np.inf
        nowhere &= ~outside
    reasons = (
        positions.reasons | dict.fromkeys(rows[missing].tolist(), UNREADABLE) | dict.fromkeys(rows[nowhere].tolist(), NO_CENTRE)
    )
    lon[nowhere] = lat[nowhere] = np.nan
    positions.lon[rows], positions.lat[rows] = lon, lat
    count = int((~missing & ~empty & ~nowhere & (shapely.get_type_id(shapes) != 0)).sum())
    return positions._replace(reasons=reasons, centroids=count)
