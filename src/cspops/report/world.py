"""The ground that maps are drawn on: the Equal Earth projection, and pixels of land in its plane."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cspops.shapes import Bool, Float

OCEAN = 32
PER_DEGREE = 36
"""Pixels of the raster a degree."""
CELL = 12
"""Pixels of the raster a cell of the globe's land mask: a third of a degree."""
CELLS = 360
"""Cells that a box is cut into at least, along its longer side, as far as the raster has as many pixels."""

Box = tuple[float, float, float, float]
"""West, south, east and north, degrees."""


@dataclass(frozen=True)
class LandMask:
    """The share of land in each cell between two meridians and two parallels, from the north-west."""

    share: Float[np.ndarray, "h w"]
    box: Box

    def is_land(self, lonlat: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, "n"]:
        """Whether the cell that each position (degrees) lies in is land for the most part; nan is not land."""
        west, south, east, north = self.box
        height, width = self.share.shape
        around = round(width * 360 / (east - west))
        lon, lat = np.nan_to_num(lonlat, nan=-180.0).T
        column = (((lon - west) / (east - west) * width).astype(int) % around).clip(0, width - 1)
        row = ((north - lat) / (north - south) * height).astype(int).clip(0, height - 1)
        land: np.ndarray = (self.share[row, column] > 0.5) & ~np.isnan(lonlat).any(1)
        return land

    def coasts(self) -> list[np.ndarray]:
        """Coastlines (n, 2), degrees, without the smallest islands."""
        west, south, east, north = self.box
        height, width = self.share.shape
        if not self.share.min() < 0.5 < self.share.max():
            return []
        lon = west + (east - west) * (np.arange(width) + 0.5) / width
        lat = north - (north - south) * (np.arange(height) + 0.5) / height
        lines = Figure().subplots().contour(lon, lat, self.share, levels=[0.5]).allsegs[0]
        return [line for line in lines if len(line) > 8]


@functools.cache
def globe() -> LandMask:
    """Of the whole Earth, in cells of ``CELL`` x ``CELL`` pixels."""
    with _raster() as image:
        return LandMask(_share(np.asarray(image), CELL), (-180.0, -90.0, 180.0, 90.0))


def land_of(box: Box) -> LandMask:
    """Of a box and a little around it, in finer cells the smaller it is; no more of the raster is held than that."""
    west, south, east, north = box
    pixels = PER_DEGREE * max(east - west, north - south)
    cell = next((side for side in (12, 6, 4, 3, 2) if pixels / side >= CELLS), 1)
    left, right = (int(np.floor((lon + 180) * PER_DEGREE / cell)) for lon in (west, east))
    top, bottom = (int(np.floor((90 - lat) * PER_DEGREE / cell)) for lat in (north, south))
    columns, rows = 360 * PER_DEGREE // cell, 180 * PER_DEGREE // cell
    left, right = max(left - 2, 0), min(right + 3, columns)
    top, bottom = max(top - 2, 0), min(bottom + 3, rows)
    with _raster() as image:
        share = _share(np.asarray(image.crop((left * cell, top * cell, right * cell, bottom * cell))), cell)
    side = cell / PER_DEGREE
    return LandMask(share, (left * side - 180, 90 - bottom * side, right * side - 180, 90 - top * side))


def is_land(lonlat: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, "n"]:
    """Whether each position (degrees) is land, by the globe's mask; nan is not land."""
    return globe().is_land(lonlat)


@contextmanager
def _raster() -> Iterator[Image.Image]:
    with files("cspops").joinpath("sample/climate_zones.png").open("rb") as opened, Image.open(opened) as image:
        yield image


def _share(zones: np.ndarray, cell: int) -> Float[np.ndarray, "h w"]:
    """The share of land in each cell of ``cell`` x ``cell`` pixels."""
    land = (zones != OCEAN).astype(np.uint8)
    height, width = land.shape[0] // cell, land.shape[1] // cell
    share: np.ndarray = land.reshape(height, cell, width, cell).mean((1, 3))
    share.setflags(write=False)
    return share


Extent = tuple[float, float, float, float]
"""Left, right, bottom and top in the plane."""


def equal_earth(lonlat: Float[np.ndarray, "*batch n 2"]) -> Float[np.ndarray, "*batch n 2"]:
    """Positions in degrees to the plane, on a sphere of radius 1: equal areas stay equal (Savric, Patterson, Jenny 2018)."""
    lon, lat = np.radians(lonlat[..., 0]), np.radians(lonlat[..., 1])
    angle = np.arcsin(np.sqrt(3) / 2 * np.sin(lat))
    return np.stack((2 * lon * np.cos(angle) / (np.sqrt(3) * _slope(angle)), _height(angle)), -1)


def from_equal_earth(xy: Float[np.ndarray, "*batch n 2"]) -> Float[np.ndarray, "*batch n 2"]:
    """The inverse of :func:`equal_earth`; nan outside the globe."""
    x, y = xy[..., 0], xy[..., 1]
    angle = y
    for _ in range(8):  # Newton; the height rises with the angle, nearly in proportion
        angle = angle - (_height(angle) - y) / _slope(angle)
    lon = x * np.sqrt(3) * _slope(angle) / (2 * np.cos(angle))
    lat = np.arcsin(np.clip(2 / np.sqrt(3) * np.sin(angle), -1, 1))
    inside = (np.abs(lon) <= np.pi) & (np.abs(angle) <= np.pi / 3)
    return np.where(inside[..., None], np.degrees(np.stack((lon, lat), -1)), np.nan)


def extent_of(box: Box) -> Extent:
    """The part of the plane that holds a box, degrees."""
    west, south, east, north = box
    lat = np.linspace(south, north, 20)
    border = equal_earth(np.concatenate([np.stack((np.full(20, lon), lat), 1) for lon in (west, east)]))
    (left, bottom), (right, top) = border.min(0).tolist(), border.max(0).tolist()
    return left, right, bottom, top


class World:
    """A map between two latitudes, or of a box: its pixels, its outline and its coastlines, in the plane of the projection.

    Args:
        south: degrees.
        north: degrees.
        west: degrees; with ``east`` less than the whole globe a box is drawn, on land of finer cells.
        east: degrees.
        width: pixels of the map's width.
    """

    def __init__(self, south: float, north: float, *, west: float = -180.0, east: float = 180.0, width: int = 800) -> None:
        self.south, self.north, self.west, self.east = south, north, west, east
        if (west, east) == (-180.0, 180.0):
            right = float(equal_earth(np.array([[180.0, 0.0]]))[0, 0])
            left, (bottom, top) = -right, equal_earth(np.array([[0.0, south], [0.0, north]]))[:, 1].tolist()
            self.mask = globe()
        else:
            left, right, bottom, top = extent_of((west, south, east, north))
            self.mask = land_of((west, south, east, north))
        side = (right - left) / width
        rows = max(1, round((top - bottom) / side))
        self.extent: Extent = (left, right, top - rows * side, top)
        x, y = left + side * (np.arange(width) + 0.5), top - side * (np.arange(rows) + 0.5)
        positions = from_equal_earth(np.stack(np.meshgrid(x, y), -1))
        land = self.mask.is_land(positions.reshape(-1, 2)).reshape(rows, width)
        if self.mask is not globe():
            land &= ((positions >= (west, south)) & (positions <= (east, north))).all(-1)
        self.land: Bool[np.ndarray, "h w"] = land
        self.lonlat: Float[np.ndarray, "n 2"] = positions[self.land]
        """The positions of the land pixels, degrees, row by row."""

    def outline(self) -> Float[np.ndarray, "m 2"]:
        """The border of the map, in the plane."""
        lat = np.linspace(self.south, self.north, 100)
        lon = np.linspace(self.west, self.east, 100)
        ends = ((np.full(100, self.west), lat), (lon, np.full(100, self.north)), (np.full(100, self.east), lat[::-1]))
        ring = np.concatenate([np.stack(side, 1) for side in (*ends, (lon[::-1], np.full(100, self.south)))])
        return equal_earth(ring)

    def graticule(self, step: int = 30) -> list[np.ndarray]:
        """Meridians twice as far apart as parallels, in the plane."""
        lat = np.linspace(self.south, self.north, 60)
        meridians = [np.stack((np.full(60, float(lon)), lat), 1) for lon in range(-180 + 2 * step, 180, 2 * step)]
        inside = [float(one) for one in range(-90 + step, 90, step) if self.south < one < self.north]
        parallels = [np.array([[-180.0, one], [180.0, one]]) for one in inside]
        return [equal_earth(line) for line in meridians + parallels]

    def coasts(self) -> list[np.ndarray]:
        """Coastlines in the plane, without the smallest islands."""
        lines = self.mask.coasts()
        inside = [(line[:, 1:] >= self.south) & (line[:, 1:] <= self.north) for line in lines]
        return [equal_earth(np.where(keep, line, np.nan)) for line, keep in zip(lines, inside, strict=True) if keep.any()]


def _height(angle: np.ndarray) -> np.ndarray:
    return angle * (1.340264 - 0.081106 * angle**2 + angle**6 * (0.000893 + 0.003796 * angle**2))


def _slope(angle: np.ndarray) -> np.ndarray:
    """The derivative of :func:`_height`."""
    return 1.340264 - 3 * 0.081106 * angle**2 + angle**6 * (7 * 0.000893 + 9 * 0.003796 * angle**2)
