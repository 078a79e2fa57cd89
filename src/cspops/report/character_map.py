"""A map of positions in characters for the terminal, and the box and cells that it is drawn from."""

import math
from typing import NamedTuple

import numpy as np

from cspops.climate_raster import is_land

LEAST_SPAN = 0.02
"""Least degrees that a map spans, also around a single place."""
WORLD_SPAN = 180.0
"""Degrees of longitude above which the whole globe is drawn."""
LAND_FROM = 0.2
"""Least degrees per character at which land is drawn: its mask has cells of a third of a degree."""
TALL = 2.0
"""Height of a character over its width."""
STEPS = (30.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
MOST_CELLS = 40
"""Most cells along the longer side of the box."""
LEGEND = "o 1 to 9 rows, O 10 to 99, @ 100 and more; . land"


class Box(NamedTuple):
    """Bounds in degrees; ``east`` is above 180 when the box crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float


def bounding_box(lonlat: np.ndarray) -> Box | None:
    """Return the smallest box around positions (longitudes in [-180, 180)), across the antimeridian where that is narrower."""
    if not len(lonlat):
        return None
    lon, lat = np.unique(lonlat[:, 0]), lonlat[:, 1]
    gaps = np.diff(lon, append=lon[0] + 360)
    widest = int(gaps.argmax())
    west = lon[(widest + 1) % len(lon)]
    east = lon[widest] + (360 if lon[widest] < west else 0)
    return Box(float(west), float(lat.min()), float(east), float(lat.max()))


def cells(lonlat: np.ndarray) -> tuple[float, list[tuple[float, float, int]]]:
    """Return the side of a cell in degrees, and west, south and count of each cell with positions.

    The side is the smallest of `STEPS` with which no more than `MOST_CELLS` span the box.
    """
    box = bounding_box(lonlat)
    if box is None:
        return STEPS[-1], []
    span = max(box.east - box.west, box.north - box.south)
    side = min((step for step in STEPS if span / step <= MOST_CELLS), default=STEPS[0])
    corner, count = np.unique(np.floor(lonlat / side).astype(np.int64), axis=0, return_counts=True)
    digits = max(0, -math.floor(math.log10(side)))
    return side, [
        (round(west * side, digits), round(south * side, digits), rows)
        for (west, south), rows in zip(corner.tolist(), count.tolist(), strict=True)
    ]


def character_map(lonlat: np.ndarray, *, width: int, height: int = 24) -> list[str]:
    """Return the lines of a map of positions (degrees), drawn to scale at its middle latitude.

    Args:
        lonlat: longitudes in [-180, 180).
        width: characters per line, at least 30.
        height: most lines without the frame.
    """
    box = bounding_box(lonlat)
    if box is None:
        return ["no positions"]
    box = _framed(box)
    columns = max(30, width) - 10
    stretch = TALL * math.cos(math.radians((box.south + box.north) / 2))
    side = max((box.east - box.west) / columns, (box.north - box.south) / (stretch * height), 1e-6)
    columns, rows = math.ceil((box.east - box.west) / side - 1e-9), math.ceil((box.north - box.south) / (side * stretch) - 1e-9)
    counts = _counted(lonlat, box, side, stretch, rows, columns)
    grid = np.full((rows, columns), " ")
    lon = box.west + side * (np.arange(columns) + 0.5)
    lat = box.north - side * stretch * (np.arange(rows) + 0.5)
    middles = np.stack(np.meshgrid((lon + 180) % 360 - 180, lat.clip(-90, 90)), -1).reshape(-1, 2)
    if side >= LAND_FROM:
        grid[is_land(middles).reshape(rows, columns)] = "."
    for least, glyph in ((1, "o"), (10, "O"), (100, "@")):
        grid[counts >= least] = glyph
    bar = "+" + "-" * columns + "+"
    labels = [""] * rows
    labels[-1], labels[0] = _degrees(lat[-1] - side * stretch / 2, "NS"), _degrees(box.north, "NS")
    west, east = _degrees(box.west, "EW"), _degrees((box.east + 180) % 360 - 180 if box.east > 180 else box.east, "EW")
    body = [f"{label:>8}|{''.join(line)}|" for label, line in zip(labels, grid, strict=True)]
    foot = " " * 9 + west + east.rjust(max(columns - len(west), len(east) + 1))
    return [" " * 8 + bar, *body, " " * 8 + bar, foot, LEGEND]


def _framed(box: Box) -> Box:
    """Return the whole globe, or the box with a margin."""
    if box.east - box.west > WORLD_SPAN:
        return Box(-180.0, min(-60.0, box.south), 180.0, max(84.0, box.north))
    wide, high = max(box.east - box.west, LEAST_SPAN), max(box.north - box.south, LEAST_SPAN)
    lon, lat = (box.west + box.east) / 2, (box.south + box.north) / 2
    south, north = lat - 0.55 * high, lat + 0.55 * high
    return Box(lon - 0.55 * wide, max(south, -90.0), lon + 0.55 * wide, min(north, 90.0))


def _counted(lonlat: np.ndarray, box: Box, side: float, stretch: float, rows: int, columns: int) -> np.ndarray:
    column = np.floor((lonlat[:, 0] - box.west) % 360 / side).astype(int).clip(0, columns - 1)
    row = np.floor((box.north - lonlat[:, 1]) / (side * stretch)).astype(int).clip(0, rows - 1)
    return np.bincount(row * columns + column, minlength=rows * columns).reshape(rows, columns)


def _degrees(value: float, letters: str) -> str:
    """Return for example `7.4E`."""
    return f"{abs(value):.4g}{letters[int(value < 0)]}"
