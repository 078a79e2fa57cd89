"""The ground that maps are drawn on: pixels of land and coastlines in the plane of the Equal Earth projection."""

import math

import numpy as np
import torch

from cspops import geo
from cspops.climate_raster import Box, LandCells, globe, land_of
from cspops.report.character_map import STEPS, WORLD_SPAN, bounding_box
from cspops.shapes import Bool, Float

PIXELS = 800
"""Pixels of the width of the whole world, and most along the longer side of a box."""
LEAST_SPAN = 0.1
"""Least degrees that a map of positions spans."""
LINES = 6
"""Most lines across the longer side of the map of a box, but for one."""
Extent = tuple[float, float, float, float]
"""Left, right, bottom and top in the plane."""


def equal_earth(lonlat: Float[np.ndarray, "*batch n 2"]) -> Float[np.ndarray, "*batch n 2"]:
    """Return `geo.equal_earth` of an array."""
    return geo.equal_earth(torch.from_numpy(lonlat)).numpy()


def from_equal_earth(xy: Float[np.ndarray, "*batch n 2"]) -> Float[np.ndarray, "*batch n 2"]:
    """Return `geo.from_equal_earth` of an array."""
    return geo.from_equal_earth(torch.from_numpy(xy)).numpy()


def coastlines(cells: LandCells) -> list[np.ndarray]:
    """Return coastlines (n, 2), degrees, without the smallest islands."""
    from matplotlib.figure import Figure  # half a second, which the commands that draw nothing do without

    west, south, east, north = cells.box
    height, width = cells.share.shape
    if not cells.share.min() < 0.5 < cells.share.max():
        return []
    lon = west + (east - west) * (np.arange(width) + 0.5) / width
    lat = north - (north - south) * (np.arange(height) + 0.5) / height
    lines = Figure().subplots().contour(lon, lat, cells.share, levels=[0.5]).allsegs[0]
    return [line for line in lines if len(line) > 8]


def across(box: Box) -> LandCells:
    """Return the land of a box; ``east`` may be above 180, across the antimeridian."""
    west, south, east, north = box
    if east <= 180:
        return land_of(box)
    span = max(180 - west, east - 180)  # the same on both sides, so that their cells are of one size
    parts = [land_of((180 - span, south, 180.0, north)), land_of((-180.0, south, span - 180, north))]
    share = np.concatenate([part.share for part in parts], 1)
    return LandCells(share, (parts[0].box[0], parts[0].box[1], parts[1].box[2] + 360, parts[0].box[3]))


def surroundings(lonlat: Float[np.ndarray, "n 2"], km: float) -> Box:
    """Return the box of positions (degrees) and ``km`` around it; all meridians where it is wide or holds a pole.

    ``east`` is above 180 where the box crosses the antimeridian. Without a position it is the whole Earth.
    """
    box = bounding_box(lonlat)
    if box is None:
        return -180.0, -90.0, 180.0, 90.0
    margin = max(km / geo.KM_PER_DEGREE, 0.05 * (box.north - box.south), (LEAST_SPAN - (box.north - box.south)) / 2)
    south, north = max(box.south - margin, -90.0), min(box.north + margin, 90.0)
    shrink = math.cos(math.radians(max(abs(south), abs(north))))
    wide = max(margin / max(shrink, 1e-6), 0.05 * (box.east - box.west))
    if box.east - box.west + 2 * wide > WORLD_SPAN:
        return -180.0, south, 180.0, north
    west, east = box.west - wide, box.east + wide
    turn = 360 if west < -180 else 0
    return west + turn, south, east + turn, north


class World:
    """A map between two latitudes, or of a box: its pixels, its outline and its coastlines, in the plane of the projection.

    The middle meridian of a box is upright.

    Args:
        south: degrees.
        north: degrees.
        west: degrees; with ``east`` less than the whole globe a box is drawn, on land of finer cells.
        east: degrees, above 180 where the box crosses the antimeridian.
        width: pixels of the map's width.
    """

    def __init__(self, south: float, north: float, *, west: float = -180.0, east: float = 180.0, width: int = PIXELS) -> None:
        self.south, self.north, self.west, self.east = south, north, west, east
        self.is_box = (west, east) != (-180.0, 180.0)
        self.cells = across((west, south, east, north)) if self.is_box else globe()
        left, right, bottom, top = _extent_of((west, south, east, north))
        side = (right - left) / width
        rows = max(1, round((top - bottom) / side))
        self.extent: Extent = (left, right, top - rows * side, top)
        x, y = left + side * (np.arange(width) + 0.5), top - side * (np.arange(rows) + 0.5)
        positions = from_equal_earth(np.stack(np.meshgrid(x, y), -1))
        positions[..., 0] += self._middle
        land = self.cells.is_land(positions.reshape(-1, 2)).reshape(rows, width)
        if self.is_box:
            land &= ((positions >= (west, south)) & (positions <= (east, north))).all(-1)
        self.land: Bool[np.ndarray, "h w"] = land
        self.lonlat: Float[np.ndarray, "n 2"] = positions[self.land]
        """The positions of the land pixels, degrees, row by row."""
        self.lonlat[:, 0] -= 360 * (self.lonlat[:, 0] >= 180)

    @property
    def is_part(self) -> bool:
        """Whether it is a box or a narrow belt, whose edges have degrees."""
        return self.is_box or self.north - self.south < 90

    @property
    def _middle(self) -> float:
        return (self.west + self.east) / 2

    @property
    def half_pixel_km(self) -> float:
        """Half the diagonal of a pixel."""
        side = float(self.extent[1] - self.extent[0]) / self.land.shape[1]
        return float(geo.EARTH_RADIUS_KM * side / math.sqrt(2))

    def project(self, lonlat: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Return where positions (degrees) are in the plane."""
        lon = lonlat[:, 0] - self._middle
        return equal_earth(np.stack(((lon + 180) % 360 - 180, lonlat[:, 1]), 1))

    def line(self, lonlat: Float[np.ndarray, "*batch n 2"]) -> Float[np.ndarray, "*batch n 2"]:
        """Project lines whose longitudes do not jump at the antimeridian."""
        return equal_earth(lonlat - (self._middle, 0.0))

    def outline(self) -> Float[np.ndarray, "m 2"]:
        """Return the border of the map, in the plane."""
        lat = np.linspace(self.south, self.north, 100)
        lon = np.linspace(self.west, self.east, 100)
        ends = ((np.full(100, self.west), lat), (lon, np.full(100, self.north)), (np.full(100, self.east), lat[::-1]))
        ring = np.concatenate([np.stack(side, 1) for side in (*ends, (lon[::-1], np.full(100, self.south)))])
        return self.line(ring)

    def meridians(self) -> list[float]:
        """Return the longitudes that are drawn as lines; those east of the antimeridian are above 180."""
        if not self.is_part:
            return [-120.0, -60.0, 0.0, 60.0, 120.0]
        left, right, bottom, top = self.extent
        return _round_values(self.west, self.east, most=LINES * min(1.0, (right - left) / (top - bottom)))

    def parallels(self) -> list[float]:
        """Return the latitudes that are drawn as lines."""
        if not self.is_part:
            return [float(lat) for lat in range(-60, 90, 30) if self.south < lat < self.north]
        left, right, bottom, top = self.extent
        return _round_values(self.south, self.north, most=LINES * min(1.0, (top - bottom) / (right - left)))

    def graticule(self) -> list[np.ndarray]:
        """Return meridians and parallels, in the plane."""
        lat, lon = np.linspace(self.south, self.north, 60), np.array([self.west, self.east])
        lines = [np.stack((np.full(60, one), lat), 1) for one in self.meridians()]
        return [self.line(line) for line in lines + [np.stack((lon, np.full(2, one)), 1) for one in self.parallels()]]

    def degrees(self) -> tuple[list[tuple[float, float, str]], list[tuple[float, float, str]]]:
        """Return the degrees at the lower and at the left edge: x, y and the text of each."""
        below = [
            (*self.line(np.array([[lon, self.south]]))[0].tolist(), degree_text(lon, "E", "W")) for lon in self.meridians()
        ]
        left = [(*self.line(np.array([[self.west, lat]]))[0].tolist(), degree_text(lat, "N", "S")) for lat in self.parallels()]
        return below, left

    def coasts(self) -> list[np.ndarray]:
        """Return coastlines in the plane, without the smallest islands."""
        lines = coastlines(self.cells)
        low, high = (self.west, self.south), (self.east, self.north)
        inside = [((line >= low) & (line <= high)).all(1, keepdims=True) for line in lines]
        return [self.line(np.where(keep, line, np.nan)) for line, keep in zip(lines, inside, strict=True) if keep.any()]


def world_of(box: Box, *, pixels: int = PIXELS) -> World:
    """Return the map of a box, with half as many pixels as the whole world has, most of which are sea.

    ``pixels`` is the width of the whole world, and at most the longer side of a box.
    """
    west, south, east, north = box
    if east - west >= 360:
        return World(south, north, width=pixels)
    left, right, bottom, top = _extent_of(box)
    ratio = (right - left) / (top - bottom)
    longer = min(pixels, math.sqrt(pixels**2 / 4 * max(ratio, 1 / ratio)))
    return World(south, north, west=west, east=east, width=max(1, int(longer * min(1.0, ratio))))


def _extent_of(box: Box) -> Extent:
    """Return the part of the plane that holds a box around its middle meridian; it is widest nearest the equator."""
    west, south, east, north = box
    widest = np.array([[(east - west) / 2, np.clip(0.0, south, north)], [0.0, south], [0.0, north]])
    (right, _), (_, bottom), (_, top) = equal_earth(widest).tolist()
    return -right, right, bottom, top


def _round_values(low: float, high: float, *, most: float) -> list[float]:
    """Return multiples of the least round step that fits at most ``most`` times between two numbers."""
    step = min((step for step in STEPS if (high - low) / step <= max(most, 1.5)), default=90.0)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 6) for number in range(first, last + 1)]


def degree_text(value: float, positive: str, negative: str) -> str:
    """Return for example `7.5°E`; degrees east of the antimeridian are counted from the west."""
    value = value - 360 if value > 180 else value
    letter = "" if value in (0, 180, -180) else positive if value > 0 else negative
    return f"{abs(value):g}°{letter}"
