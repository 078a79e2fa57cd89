"""Land and sea of the embedded climate raster: the share of land in cells of the whole globe, or in finer ones of a box."""

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
