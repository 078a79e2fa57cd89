"""The ground that maps are drawn on: pixels of land and coastlines in the plane of the Equal Earth projection."""

import numpy as np
import torch
from matplotlib.figure import Figure

from cspops import geo
from cspops.land import Box, LandCells, globe, land_of
from cspops.shapes import Bool, Float

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
    west, south, east, north = cells.box
    height, width = cells.share.shape
    if not cells.share.min() < 0.5 < cells.share.max():
        return []
    lon = west + (east - west) * (np.arange(width) + 0.5) / width
    lat = north - (north - south) * (np.arange(height) + 0.5) / height
    lines = Figure().subplots().contour(lon, lat, cells.share, levels=[0.5]).allsegs[0]
    return [line for line in lines if len(line) > 8]


def extent_of(box: Box) -> Extent:
    """Return the part of the plane that holds a box in degrees."""
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
            self.cells = globe()
        else:
            left, right, bottom, top = extent_of((west, south, east, north))
            self.cells = land_of((west, south, east, north))
        side = (right - left) / width
        rows = max(1, round((top - bottom) / side))
        self.extent: Extent = (left, right, top - rows * side, top)
        x, y = left + side * (np.arange(width) + 0.5), top - side * (np.arange(rows) + 0.5)
        positions = from_equal_earth(np.stack(np.meshgrid(x, y), -1))
        land = self.cells.is_land(positions.reshape(-1, 2)).reshape(rows, width)
        if self.cells is not globe():
            land &= ((positions >= (west, south)) & (positions <= (east, north))).all(-1)
        self.land: Bool[np.ndarray, "h w"] = land
        self.lonlat: Float[np.ndarray, "n 2"] = positions[self.land]
        """The positions of the land pixels, degrees, row by row."""

    def outline(self) -> Float[np.ndarray, "m 2"]:
        """Return the border of the map, in the plane."""
        lat = np.linspace(self.south, self.north, 100)
        lon = np.linspace(self.west, self.east, 100)
        ends = ((np.full(100, self.west), lat), (lon, np.full(100, self.north)), (np.full(100, self.east), lat[::-1]))
        ring = np.concatenate([np.stack(side, 1) for side in (*ends, (lon[::-1], np.full(100, self.south)))])
        return equal_earth(ring)

    def graticule(self, step: int = 30) -> list[np.ndarray]:
        """Return meridians, twice as far apart as parallels, and parallels, in the plane."""
        lat = np.linspace(self.south, self.north, 60)
        meridians = [np.stack((np.full(60, float(lon)), lat), 1) for lon in range(-180 + 2 * step, 180, 2 * step)]
        inside = [float(one) for one in range(-90 + step, 90, step) if self.south < one < self.north]
        parallels = [np.array([[-180.0, one], [180.0, one]]) for one in inside]
        return [equal_earth(line) for line in meridians + parallels]

    def coasts(self) -> list[np.ndarray]:
        """Return coastlines in the plane, without the smallest islands."""
        lines = coastlines(self.cells)
        inside = [(line[:, 1:] >= self.south) & (line[:, 1:] <= self.north) for line in lines]
        return [equal_earth(np.where(keep, line, np.nan)) for line, keep in zip(lines, inside, strict=True) if keep.any()]
