"""The centre of shapes on the globe, where longitudes go round in a circle and a pole is a place like any other."""

import numpy as np
import pyproj
import shapely

HALF = 180.0
"""Degrees of longitude. What spans more is taken to have been cut, or written, at the date line."""

FRAMES = (0.0, -180.0)
"""Where a turn of longitudes may begin. What fits into half a turn at all does so in one of the two."""

NO_AREA = 1e-9
"""On the unit sphere."""


def centroids(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return longitudes and latitudes of the centroids of shapes in degrees; nan for missing and empty ones.

    A centroid is that in the plane of longitude and latitude. A shape that spans more than 180 degrees is taken the short
    way round: joined at the date line, its centroid in [-180, 180). One that spans more than 180 degrees in either way,
    because it lies round a pole or in pieces all over the Earth, has the centroid of the equal-area azimuthal plane around
    it; nan where it covers the whole Earth, so that no point is its centre.
    """
    with np.errstate(all="ignore"):  # shapes with nan, or of 1e300
        lon, lat = _in_plane(shapes)
        west, south, east, north = shapely.bounds(shapes).T
        degrees = (west >= -360) & (east <= 540) & (south >= -90.001) & (north <= 90.001)  # else a fault to be found later
        wide = np.flatnonzero(degrees & (east - west > HALF))
        if len(wide):
            lon[wide], lat[wide] = _of_wide(shapes[wide])
    return lon, lat


def continued(lon: np.ndarray) -> np.ndarray | None:
    """Return longitudes moved by whole turns so that they span at most 180 degrees, as they are if they do; else None."""
    for moved in (lon, *(_from(start, lon) for start in FRAMES)):
        if np.ptp(moved) <= HALF:
            return moved
    return None


def plane_around(lon: np.ndarray, lat: np.ndarray) -> pyproj.Proj | None:
    """Return the equal-area azimuthal projection of the unit sphere, centred on the mean of unit vectors; None without one."""
    lam, phi = np.radians(lon), np.radians(lat)
    x, y, z = np.mean((np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)), axis=1)
    if not np.hypot(np.hypot(x, y), z) > 1e-9:
        return None
    middle = np.degrees((np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))))
    return pyproj.Proj(proj="laea", lon_0=middle[0], lat_0=middle[1], R=1)


def _from(start: float, lon: np.ndarray) -> np.ndarray:
    return (lon - start) % 360 + start


def _in_plane(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centres = _centroid(shapes)
    x, y = np.full(len(centres), np.nan), np.full(len(centres), np.nan)
    there = ~(shapely.is_empty(centres) | shapely.is_missing(centres))
    x[there], y[there] = shapely.get_x(centres[there]), shapely.get_y(centres[there])
    return x, y


def _centroid(shapes: np.ndarray) -> np.ndarray:
    """Return points, None for a shape that GEOS does not take, such as one with an infinite vertex."""
    try:
        return np.asarray(shapely.centroid(shapes), object)
    except shapely.errors.GEOSException:
        return (
            np.array([None]) if len(shapes) == 1 else np.concatenate([_centroid(shapes[i : i + 1]) for i in range(len(shapes))])
        )


def _of_wide(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lon, lat = np.full(len(shapes), np.nan), np.full(len(shapes), np.nan)
    left = np.ones(len(shapes), bool)
    for start in FRAMES:
        moved = shapely.transform(shapes, lambda at, start=start: np.column_stack((_from(start, at[:, 0]), at[:, 1])))
        west, south, east, north = shapely.bounds(moved).T
        belt = (east == west) & (shapely.area(shapes) > 0)  # from 180 W to 180 E, one meridian: all round the Earth
        fits = left & (east - west < HALF) & ~belt
        lon[fits], lat[fits] = _in_plane(moved[fits])
        pole = belt & (south * north >= 0)
        lon[pole], lat[pole] = 0, np.copysign(90, south + north)[pole]
        left &= ~(fits | belt)
    for i in np.flatnonzero(left):
        lon[i], lat[i] = _on_sphere(shapes[i])
    return _from(-180.0, lon), lat


def _on_sphere(shape: shapely.Geometry) -> tuple[float, float]:
    lon, lat = shapely.get_coordinates(shape).T
    for _ in range(10):  # the first centre leans to where the vertices are dense
        plane = plane_around(lon, lat)
        if plane is None:
            return np.nan, np.nan
        flat = shapely.transform(shape, lambda at, plane=plane: np.column_stack(plane(at[:, 0], at[:, 1])))
        if shapely.area(shape) > 0 and not shapely.area(flat) > NO_AREA:  # the whole Earth, of whose borders nothing is left
            return np.nan, np.nan
        lon, lat = plane(*_in_plane(np.array([flat])), inverse=True)
    return float(lon[0]), float(lat[0])
