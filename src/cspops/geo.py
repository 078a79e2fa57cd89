"""Geometry on the sphere. Positions are degrees, longitude first; distances are kilometres on a sphere."""

import math

import torch

from cspops.kernels import asin, sqrt
from cspops.shapes import Bool, Float, Int, LonLat, Tensor

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the Earth (IUGG)."""

KM_PER_DEGREE = math.pi * EARTH_RADIUS_KM / 180
"""Length of a degree of latitude, and of a degree of longitude on the equator."""


def wrap_longitude(lon: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Bring longitudes into [-180, 180)."""
    wrapped = torch.remainder(lon + 180, 360) - 180
    return torch.where(wrapped >= 180, wrapped - 360, wrapped)  # remainder may round up to 360


def unit_vectors(lonlat: LonLat) -> Float[Tensor, "*batch 3"]:
    """Return the unit vectors (x to 0E 0N, y to 90E, z to the north pole) of positions in degrees."""
    lon, lat = torch.deg2rad(lonlat).unbind(-1)
    return torch.stack((lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()), -1)


def haversine(a: Float[Tensor, "*#batch 2"], b: Float[Tensor, "*#batch 2"]) -> Float[Tensor, "*#batch"]:
    """Return the great-circle distance in kilometres between positions (broadcast), stable for near points."""
    lon_a, lat_a = torch.deg2rad(a).unbind(-1)
    lon_b, lat_b = torch.deg2rad(b).unbind(-1)
    h = ((lat_b - lat_a) / 2).sin() ** 2 + lat_a.cos() * lat_b.cos() * ((lon_b - lon_a) / 2).sin() ** 2
    return 2 * EARTH_RADIUS_KM * asin(sqrt(h.clamp(0, 1)))


def destination(lonlat: Float[Tensor, "n 2"], *, km: Float[Tensor, "n"], bearing: Float[Tensor, "n"]) -> Float[Tensor, "n 2"]:
    """Return the ends of great circle arcs, ``km`` long, from positions off the poles; bearings in radians, north to east."""
    lat, way = torch.deg2rad(lonlat[:, 1]), km / EARTH_RADIUS_KM
    height = (lat.sin() * way.cos() + lat.cos() * way.sin() * bearing.cos()).clamp(-1, 1)
    turn = torch.atan2(bearing.sin() * way.sin() * lat.cos(), way.cos() - lat.sin() * height)
    return torch.stack((wrap_longitude(lonlat[:, 0] + torch.rad2deg(turn)), torch.rad2deg(asin(height))), -1)


def uniform_on_sphere(
    *shape: int, generator: torch.Generator, lat_min: float = -90, lat_max: float = 90
) -> Float[Tensor, "*shape 2"]:
    """Draw positions area-uniformly from the sphere, or from the belt between two latitudes.

    By Archimedes' hat-box theorem the sine of the latitude of a uniform point is uniform.

    Args:
        shape: leading axes of the result.
        generator: the stream; the positions are made on its device, in float64.
        lat_min: southern border, degrees.
        lat_max: northern border, degrees.
    """
    u = torch.rand(*shape, 2, generator=generator, device=generator.device, dtype=torch.float64)
    low, high = math.sin(math.radians(lat_min)), math.sin(math.radians(lat_max))
    lat = torch.rad2deg(asin((low + (high - low) * u[..., 1]).clamp(-1, 1)))
    return torch.stack((360 * u[..., 0] - 180, lat), -1)


def equirectangular_pixel(lonlat: LonLat, *, height: int, width: int) -> tuple[Int[Tensor, "*batch"], Int[Tensor, "*batch"]]:
    """Return row and column of the pixel that each position lies in, of a global raster, north up, from 180 W 90 N."""
    column = ((wrap_longitude(lonlat[..., 0]) + 180) * (width / 360)).long().clamp(0, width - 1)
    row = ((90 - lonlat[..., 1]) * (height / 180)).long().clamp(0, height - 1)
    return row, column


EQUAL_EARTH = (1.340264, -0.081106, 0.000893, 0.003796)
"""A1 to A4 of the Equal Earth projection."""


def equal_earth(lonlat: LonLat) -> LonLat:
    """Project positions in degrees by Equal Earth, in float64, on the unit sphere: equal areas stay equal.

    Savric, Patterson and Jenny (2018): sin(theta) = sqrt(3) / 2 sin(lat); y = A4 theta^9 + A3 theta^7 + A2 theta^3 +
    A1 theta; x = 2 sqrt(3) lambda cos(theta) / (3 dy/dtheta).
    """
    lam, phi = torch.deg2rad(lonlat.double()).unbind(-1)
    theta = asin(math.sqrt(3) / 2 * phi.sin())
    y, slope = _equal_earth_height(theta)
    return torch.stack((2 * math.sqrt(3) * lam * theta.cos() / (3 * slope), y), -1)


def from_equal_earth(xy: LonLat) -> LonLat:
    """Return the degrees of projected positions, the inverse of :func:`equal_earth`; nan outside the globe."""
    x, y = xy.double().unbind(-1)
    theta = y
    for _ in range(8):  # Newton; the height rises with the angle, nearly in proportion
        height, slope = _equal_earth_height(theta)
        theta = theta - (height - y) / slope
    lam = 3 * x * _equal_earth_height(theta)[1] / (2 * math.sqrt(3) * theta.cos())
    phi = asin((2 / math.sqrt(3) * theta.sin()).clamp(-1, 1))
    inside = (lam.abs() <= math.pi) & (theta.abs() <= math.pi / 3)
    return torch.rad2deg(torch.stack((lam, phi), -1)).where(inside[..., None], torch.nan)


def _equal_earth_height(theta: Float[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Return y of an auxiliary angle, and its derivative."""
    a1, a2, a3, a4 = EQUAL_EARTH
    height = a4 * theta**9 + a3 * theta**7 + a2 * theta**3 + a1 * theta
    return height, 9 * a4 * theta**8 + 7 * a3 * theta**6 + 3 * a2 * theta**2 + a1


def tile_grid(lonlat: Float[Tensor, "n 2"], *, km: float, px: int) -> Float[Tensor, "n px px 2"]:
    """Return the positions of the pixel centres of square tiles, first row in the north.

    Latitude steps are equal; longitude steps are stretched by 1 / cos(latitude of the centre), so that a tile is
    as wide as it is high in kilometres. Longitudes may leave [-180, 180).
    """
    offset = ((torch.arange(px, dtype=torch.float64) + 0.5) / px - 0.5) * (km / KM_PER_DEGREE)
    lon = lonlat[:, 0, None, None] + offset / torch.deg2rad(lonlat[:, 1]).cos()[:, None, None]
    lat = lonlat[:, 1, None, None] - offset[:, None]
    return torch.stack(torch.broadcast_tensors(lon, lat), -1)


def blocks(lonlat: LonLat, degrees: float) -> Int[Tensor, "*batch"]:
    """Return the number of the ``degrees`` x ``degrees`` longitude-latitude cell that each position lies in.

    Cells are counted west to east, then south to north, from 180 W 90 S.
    """
    columns = math.ceil(360 / degrees)
    column = torch.floor((wrap_longitude(lonlat[..., 0]) + 180) / degrees).long().clamp(0, columns - 1)
    row = torch.floor((lonlat[..., 1] + 90) / degrees).long().clamp(0, math.ceil(180 / degrees) - 1)
    return row * columns + column


def along_a_curve(lonlat: Float[Tensor, "n 2"]) -> Int[Tensor, "n"]:
    """Return an order in which positions that follow one another are mostly close: a Z-order curve over the map."""
    column, row = ((lonlat.nan_to_num() + 180) / 360 * 2**12).long().unbind(1)
    code = torch.zeros_like(column)
    for bit in range(12):
        code |= ((column >> bit & 1) << 2 * bit) | ((row >> bit & 1) << 2 * bit + 1)
    return code.argsort(stable=True)


def near_blocks(lonlat: Float[Tensor, "n 2"], cells: Int[Tensor, "m"], degrees: float, *, km: float) -> Bool[Tensor, "n"]:
    """Return which positions lie in one of the ``degrees`` x ``degrees`` cells, or nearer than ``km`` to one.

    The distance is the great circle's, to the nearest point of the cell, exact but for rounding. On a parallel it
    grows with the difference of longitude, so of a row of cells only the nearest meridian side counts. Along a side
    at difference d the cosine of the distance from latitude p to latitude t is

        sin p sin t + cos p cos t cos d = R cos(t - foot),    foot = atan2(sin p, cos p cos d),

    largest at the latitude of the side that is nearest to the foot of the perpendicular.

    Args:
        lonlat: positions, degrees.
        cells: numbers of cells, as :func:`blocks` counts them.
        degrees: side of the cells.
        km: width of the belt around the cells, less than 10,000 (a quarter of the circumference); 0 asks for the
            cells alone.
    """
    near = torch.isin(blocks(lonlat, degrees), cells)
    if km <= 0:
        return near
    columns = math.ceil(360 / degrees)
    lon, lat = wrap_longitude(lonlat[:, 0].double()), lonlat[:, 1].double()
    row_of_cell = cells.div(columns, rounding_mode="floor")
    for row in row_of_cell.unique().tolist():
        south, north = -90 + row * degrees, min(-90 + (row + 1) * degrees, 90.0)
        reach = km / KM_PER_DEGREE + 1e-9  # no farther in latitude; the hair keeps rounding from deciding here
        some = torch.nonzero(~near & (lat > south - reach) & (lat < north + reach))[:, 0]
        west = -180 + (cells[row_of_cell == row] % columns).unique().double() * degrees
        east = (west + degrees).clamp(max=180)
        x, p = lon[some], lat[some]
        after = torch.searchsorted(west, x, right=True)
        before = (after - 1) % len(west)
        beside = torch.minimum((west[after % len(west)] - x) % 360, (x - east[before]) % 360)
        d = torch.where((x >= west[before]) & (x <= east[before]), 0.0, beside)
        angle, height = torch.deg2rad(d), torch.deg2rad(p)
        foot = torch.rad2deg(torch.atan2(height.sin(), height.cos() * angle.cos()))
        side = torch.stack((torch.zeros_like(d), foot.clamp(south, north)), 1)
        near[some] = haversine(torch.stack((d, p), 1), side) < km
    return near
