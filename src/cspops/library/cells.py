"""The places of a box that are looked at."""

import math
from dataclasses import dataclass

import torch

from cspops.climate_raster import Box
from cspops.errors import ParamsError
from cspops.geo import KM_PER_DEGREE
from cspops.library.places import checked_box
from cspops.shapes import Float, Tensor

MOST = 2**20
"""Most places."""
BOX_FORM = "west,south,east,north in degrees: --within 5,45,10,48; west above east: across the antimeridian"


def parsed_box(text: str) -> Box:
    """Return a box from four numbers between commas; a ParamsError says what is wrong with others."""
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise ParamsError(f"--within {text} is not four numbers between commas", hint=BOX_FORM) from None
    try:
        return checked_box((west, south, east, north))
    except ParamsError as error:
        raise ParamsError(f"--within {text} is no box{_why(west, south, east, north)}", hint=BOX_FORM) from error


def _why(west: float, south: float, east: float, north: float) -> str:
    """Return what is wrong with a box, where it is one of the common faults."""
    if south > north:
        return ": its south is above its north"
    if south < -90 or north > 90:
        return ": its latitudes leave [-90, 90]"
    if west == east or south == north:
        return ": it has no width or no height"
    if 0 < west - east < 180:
        return ": its west is above its east, and across the antimeridian it would be wider than 180 degrees"
    return ""


@dataclass(frozen=True)
class Cells:
    """The places of a box: the middles of cells of the same size in degrees."""

    box: Box
    rows: int
    columns: int

    @classmethod
    def of(cls, box: Box, km: float) -> "Cells":
        """Return cells about so wide and so high, in the middle of the box; a ParamsError says that they are too many."""
        if not km > 0:
            raise ParamsError(f"--step {km:g} is no distance in kilometres", hint="--step 10")
        west, south, east, north = box
        wide = KM_PER_DEGREE * (east - west) * math.cos(math.radians((south + north) / 2))
        rows, columns = (max(1, round(side / km)) for side in (KM_PER_DEGREE * (north - south), wide))
        if rows * columns > MOST:
            least = km * math.sqrt(rows * columns / MOST)
            raise ParamsError(
                f"--step {km:g} makes {rows * columns:,} places of the box, and {MOST:,} are the most",
                hint=f"--step {float(f'{least:.2g}') * 1.1:.2g}, or a smaller box",
            )
        return cls(box, rows, columns)

    def lonlat(self) -> Float[Tensor, "n 2"]:
        """Return the places, row by row from north to south, each from west to east; longitudes are those of the box."""
        west, south, east, north = self.box
        lon = west + (torch.arange(self.columns, dtype=torch.float64) + 0.5) * ((east - west) / self.columns)
        lat = north - (torch.arange(self.rows, dtype=torch.float64) + 0.5) * ((north - south) / self.rows)
        return torch.stack((lon.expand(self.rows, -1), lat[:, None].expand(-1, self.columns)), -1).reshape(-1, 2)

    def index(self, lon: float, lat: float) -> int | None:
        """Return the number of the cell that holds a place; None where the box does not."""
        west, south, east, north = self.box
        right, down = (lon - west) % 360, north - lat
        if right > east - west or not 0 <= down <= north - south:
            return None
        row, column = int(down / (north - south) * self.rows), int(right / (east - west) * self.columns)
        return min(row, self.rows - 1) * self.columns + min(column, self.columns - 1)
