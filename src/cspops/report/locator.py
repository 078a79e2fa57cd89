"""A little map that shows where one observation is: the land once, as a path, and a dot for each place."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from cspops.report.world import Extent, World, equal_earth
from cspops.shapes import Float

WIDTH = 1000
"""Units of the picture's width."""
COLUMNS = 220
"""Of the mask that the path is drawn around, at most."""


@dataclass(frozen=True)
class Locator:
    """Land and border as SVG paths in a box of `WIDTH` x ``height`` units."""

    land: str
    border: str
    height: int
    extent: Extent

    def at(self, lonlat: Float[np.ndarray, "n 2"]) -> list[tuple[int, int]]:
        """Where positions (degrees) are in the picture."""
        return [(round(x), round(y)) for x, y in _units(equal_earth(lonlat), self.extent).tolist()]


def locator(world: World, part: Extent) -> Locator:
    """The ground of little maps that show ``part`` of ``world``."""
    left, right, bottom, top = part
    rows, columns = world.land.shape
    west, east, _, north = world.extent
    side = (east - west) / columns
    first, last = (int(np.clip(round((x - west) / side), 0, columns)) for x in (left, right))
    upper, lower = (int(np.clip(round((north - y) / side), 0, rows)) for y in (top, bottom))
    step = -(-(last - first) // COLUMNS)
    mask = np.pad(world.land[upper:lower:step, first:last:step].astype(float), 1)
    x = west + side * (first + step * (np.arange(mask.shape[1]) - 1 + 0.5))
    y = north - side * (upper + step * (np.arange(mask.shape[0]) - 1 + 0.5))
    lines = Figure().subplots().contour(x, y, mask, levels=[0.5]).allsegs[0] if mask.any() else []
    whole = part == world.extent
    corners = np.array([[left, bottom], [right, bottom], [right, top], [left, top]])
    return Locator(
        "".join(_path(_units(line, part)) for line in lines if len(line) > 6),
        _path(_units(world.outline()[::8] if whole else corners, part)),
        round(WIDTH * (top - bottom) / (right - left)),
        part,
    )


def _units(xy: Float[np.ndarray, "n 2"], part: Extent) -> Float[np.ndarray, "n 2"]:
    left, right, _, top = part
    units: np.ndarray = np.stack((xy[:, 0] - left, top - xy[:, 1]), 1) * WIDTH / (right - left)
    return units


def _path(points: Float[np.ndarray, "n 2"]) -> str:
    """A closed path of whole units."""
    whole = np.round(points).astype(int)
    kept = whole[np.r_[True, (np.diff(whole, axis=0) != 0).any(1)]]
    steps = np.diff(kept, axis=0)
    return f"M{kept[0, 0]} {kept[0, 1]}l" + " ".join(f"{x} {y}" for x, y in steps.tolist()) + "z"
