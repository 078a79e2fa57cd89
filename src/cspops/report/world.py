"""The ground that maps are drawn on: the Equal Earth projection, land and coastlines of the embedded climate raster."""

import functools
from importlib.resources import files

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cspops.shapes import Bool, Float

OCEAN = 32
CELL = 12
"""Pixels of the raster a cell of the land mask: a third of a degree."""


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


def is_land(lonlat: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, "n"]:
    """Whether the cell of the land mask that each position lies in is land for the most part; nan is not land."""
    share = _land_share()
    lon, lat = np.nan_to_num(lonlat, nan=-180.0).T
    column = ((lon + 180) / 360 * share.shape[1]).astype(int) % share.shape[1]
    row = ((90 - lat) / 180 * share.shape[0]).astype(int).clip(0, share.shape[0] - 1)
    land: np.ndarray = (share[row, column] > 0.5) & ~np.isnan(lonlat).any(1)
    return land


class World:
    """A map between two latitudes: its pixels, its outline and its coastlines, in the plane of the projection.

    Args:
        south: degrees.
        north: degrees.
        width: pixels, of the whole globe's width.
    """

    def __init__(self, south: float, north: float, *, width: int = 800) -> None:
        self.south, self.north = south, north
        right = float(equal_earth(np.array([[180.0, 0.0]]))[0, 0])
        bottom, top = equal_earth(np.array([[0.0, south], [0.0, north]]))[:, 1].tolist()
        side = 2 * right / width
        rows = round((top - bottom) / side)
        self.extent = (-right, right, top - rows * side, top)
        x, y = -right + side * (np.arange(width) + 0.5), top - side * (np.arange(rows) + 0.5)
        positions = from_equal_earth(np.stack(np.meshgrid(x, y), -1))
        self.land: Bool[np.ndarray, "h w"] = is_land(positions.reshape(-1, 2)).reshape(rows, width)
        self.lonlat: Float[np.ndarray, "n 2"] = positions[self.land]
        """The positions of the land pixels, degrees, row by row."""

    def outline(self) -> Float[np.ndarray, "m 2"]:
        """The border of the map, in the plane."""
        lat = np.linspace(self.south, self.north, 100)
        lon = np.linspace(-180, 180, 100)
        ends = ((np.full(100, -180.0), lat), (lon, np.full(100, self.north)), (np.full(100, 180.0), lat[::-1]))
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
        share = _land_share()
        height, width = share.shape
        lon, lat = -180 + 360 * (np.arange(width) + 0.5) / width, 90 - 180 * (np.arange(height) + 0.5) / height
        lines = [line for line in Figure().subplots().contour(lon, lat, share, levels=[0.5]).allsegs[0] if len(line) > 8]
        inside = [(line[:, 1:] >= self.south) & (line[:, 1:] <= self.north) for line in lines]
        return [equal_earth(np.where(keep, line, np.nan)) for line, keep in zip(lines, inside, strict=True) if keep.any()]


@functools.cache
def _land_share() -> Float[np.ndarray, "h w"]:
    """The share of land in each cell of ``CELL`` x ``CELL`` pixels of the climate raster."""
    with files("cspops").joinpath("sample/climate_zones.png").open("rb") as opened, Image.open(opened) as image:
        land = (np.asarray(image) != OCEAN).astype(np.uint8)
    height, width = land.shape[0] // CELL, land.shape[1] // CELL
    share: np.ndarray = land.reshape(height, CELL, width, CELL).mean((1, 3))
    share.setflags(write=False)
    return share


def _height(angle: np.ndarray) -> np.ndarray:
    return angle * (1.340264 - 0.081106 * angle**2 + angle**6 * (0.000893 + 0.003796 * angle**2))


def _slope(angle: np.ndarray) -> np.ndarray:
    """The derivative of :func:`_height`."""
    return 1.340264 - 3 * 0.081106 * angle**2 + angle**6 * (7 * 0.000893 + 9 * 0.003796 * angle**2)
