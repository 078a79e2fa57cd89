"""The embedded climate raster, read without torch: its codes, and the share of land in cells of it."""

import functools
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from PIL import Image

SEA = 32
"""The code that is no climate zone."""
PER_DEGREE = 36
"""Pixels per degree: each has 100 arc seconds."""
HEIGHT, WIDTH = 180 * PER_DEGREE, 360 * PER_DEGREE

CELL = 12
"""Pixels along a cell of the globe's land: a third of a degree."""
CELLS = 360
"""Cells that a box is cut into at least, along its longer side, as far as the raster has as many pixels."""

Box = tuple[float, float, float, float]
"""West, south, east and north, degrees."""

Pixels = tuple[int, int, int, int]
"""Left, top, right and bottom."""


def codes(pixels: Pixels | None = None) -> np.ndarray:
    """Return the codes (h, w), north up, first pixel at 180 W 90 N; or those of a part.

    Takes a third of a second and, for the whole, 84 MB. Nothing keeps it here: callers take what they need and let it go.
    """
    with files("cspops").joinpath("sample/climate_zones.png").open("rb") as opened, Image.open(opened) as image:
        return np.array(image if pixels is None else image.crop(pixels))


@dataclass(frozen=True)
class LandCells:
    """The share of land in each cell between two meridians and two parallels, from the north-west."""

    share: np.ndarray
    box: Box

    def is_land(self, lonlat: np.ndarray) -> np.ndarray:
        """Return whether the cell that each position (degrees) lies in is land for the most part; nan is not land."""
        west, south, east, north = self.box
        height, width = self.share.shape
        around = round(width * 360 / (east - west))
        lon, lat = np.nan_to_num(lonlat, nan=-180.0).T
        column = (((lon - west) / (east - west) * width).astype(int) % around).clip(0, width - 1)
        row = ((north - lat) / (north - south) * height).astype(int).clip(0, height - 1)
        land: np.ndarray = (self.share[row, column] > 0.5) & ~np.isnan(lonlat).any(1)
        return land


@functools.cache
def globe() -> LandCells:
    """Return the land of the whole Earth, in cells of ``CELL`` x ``CELL`` pixels."""
    return LandCells(_share(codes(), CELL), (-180.0, -90.0, 180.0, 90.0))


def land_of(box: Box) -> LandCells:
    """Return the land of a box and a little around it, in finer cells the smaller it is; no more of the raster is held."""
    west, south, east, north = box
    pixels = PER_DEGREE * max(east - west, north - south)
    cell = next((side for side in (12, 6, 4, 3, 2) if pixels / side >= CELLS), 1)
    left, right = (int(np.floor((lon + 180) * PER_DEGREE / cell)) for lon in (west, east))
    top, bottom = (int(np.floor((90 - lat) * PER_DEGREE / cell)) for lat in (north, south))
    left, right = max(left - 2, 0), min(right + 3, WIDTH // cell)
    top, bottom = max(top - 2, 0), min(bottom + 3, HEIGHT // cell)
    share = _share(codes((left * cell, top * cell, right * cell, bottom * cell)), cell)
    side = cell / PER_DEGREE
    return LandCells(share, (left * side - 180, 90 - bottom * side, right * side - 180, 90 - top * side))


def is_land(lonlat: np.ndarray) -> np.ndarray:
    """Return whether each position (degrees) is land, by the globe's cells; nan is not land."""
    return globe().is_land(lonlat)


def _share(zones: np.ndarray, cell: int) -> np.ndarray:
    """Return the share of land in each cell of ``cell`` x ``cell`` pixels."""
    land = (zones != SEA).view(np.uint8)
    height, width = land.shape[0] // cell, land.shape[1] // cell
    share: np.ndarray = land.reshape(height, cell, width, cell).mean((1, 3))
    share.setflags(write=False)
    return share
