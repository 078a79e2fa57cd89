"""Places, some thousands at a time: the rows of a table, or the cells of a grid over a box."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cspops.errors import DataError, ParamsError
from cspops.intake.judging.positions import read_positions
from cspops.intake.sources.tree import printable
from cspops.intake.tables.columns import date_column
from cspops.intake.tables.points import PositionReader, position_columns
from cspops.intake.tables.table_files import open_file
from cspops.intake.tables.values import as_text, given
from cspops.library.given_dates import days_of
from cspops.library.inputs import NO_POSITION
from cspops.shapes import Float

log = logging.getLogger(__name__)

ROWS = 8192
"""Places that are worked on at once."""
NO_BOX = "west south east north, in degrees; west is above east only where the box crosses the antimeridian: 170 -20 -170 -10"
Box = tuple[float, float, float, float]
"""West, south, east and north, degrees; east is above 180 where the box crosses the antimeridian."""
WORLD: Box = (-180.0, -90.0, 180.0, 90.0)


@dataclass(frozen=True)
class Points:
    """Places: their names, positions (n, 2) in degrees with nan where there is none, and why there is none."""

    where: list[str]
    lonlat: Float[np.ndarray, "n 2"]
    problem: list[str | None]
    when: Float[np.ndarray, "n"] | None = None
    """Shares of the year, nan without a date; None: no row has one."""
    date_problem: list[str | None] | None = None
    """Why a row's date is not used."""

    def shares(self) -> Float[np.ndarray, "n"]:
        """Return the shares of the year, nan for all where no row has one."""
        return np.full(len(self.lonlat), np.nan) if self.when is None else self.when


def checked_box(box: Box) -> Box:
    """Return a box whose east is above its west: 170 to -170 becomes 170 to 190; raise a ParamsError for what is no box.

    Longitudes may be counted from -180 to 180 or from 0 to 360.
    """
    west, south, east, north = box
    across = west > east
    if across:
        east += 360
    if not (-180 <= west < east <= west + 360 and east <= 540 and -90 <= south < north <= 90) or (across and east - west > 180):
        raise ParamsError(" ".join(f"{edge:g}" for edge in box) + " is no box", hint=NO_BOX)
    turn = 360 if west >= 180 else 0
    return west - turn, south, east - turn, north


class Grid:
    """Centres of ``degrees`` x ``degrees`` cells over a box, from the north-west, row by row."""

    order = "row by row from north to south, each row from west to east"

    def __init__(self, degrees: float, box: Box = WORLD) -> None:
        west, south, east, north = box = checked_box(box)
        if not 0 < degrees <= min(east - west, north - south):
            raise ParamsError(f"cells of {degrees:g} degrees do not fit into the box", hint="a smaller --grid")
        self.degrees, self.box = degrees, box
        self.shape = (round((north - south) / degrees), round((east - west) / degrees))

    def __len__(self) -> int:
        return self.shape[0] * self.shape[1]

    def lonlat(self, start: int, stop: int) -> Float[np.ndarray, "n 2"]:
        """Return the centres of the cells numbered from ``start`` to ``stop``."""
        row, column = np.divmod(np.arange(start, stop), self.shape[1])
        lon, lat = self.axes()
        return np.stack((lon[column], lat[row]), 1)

    def axes(self) -> tuple[Float[np.ndarray, "columns"], Float[np.ndarray, "rows"]]:
        """Return the longitudes of the columns, from west to east, and the latitudes of the rows, from north to south."""
        west, south, east, north = self.box
        lon = west + (np.arange(self.shape[1]) + 0.5) * ((east - west) / self.shape[1])
        lat = north - (np.arange(self.shape[0]) + 0.5) * ((north - south) / self.shape[0])
        return np.where(lon >= 180, lon - 360, lon), lat

    def points(self) -> Iterator[Points]:
        """Yield all cells, `ROWS` at a time."""
        for start in range(0, len(self), ROWS):
            stop = min(start + ROWS, len(self))
            yield Points([str(number) for number in range(start, stop)], self.lonlat(start, stop), [None] * (stop - start))


def on_day(points: Iterator[Points], when: float) -> Iterator[Points]:
    """Yield the same places, all at one share of the year."""
    for part in points:
        yield replace(part, when=np.full(len(part.lonlat), when), date_problem=None)


def points_of_table(file: Path, *, dated: bool = False) -> Iterator[Points]:
    """Yield the rows of a table with longitudes and latitudes, or geometries; log what is odd about it after the last row.

    ``dated`` reads its column of dates too, where it has one. DataError where it has no positions, or no row.
    """
    table, _ = open_file(file, key=None)
    names, file_name = position_columns(table), printable(file.name)
    reader, empty = PositionReader(file.name, names), True
    date_name = date_column(table.names, table=file.name, remarks=table.remarks) if dated else None
    for records in table.records(sorted({*names, *([] if date_name is None else [date_name])})):
        empty = empty and not len(records.number)
        lonlat = reader.read(records)
        assert lonlat is not None
        positions = read_positions(*lonlat)
        problem = [
            reason if reason is not None else NO_POSITION if np.isnan(x) else None
            for reason, x in zip(positions.fault.to_pylist(), positions.lon, strict=True)
        ]
        for row, (why, _) in records.reasons.items():
            problem[row] = why
        where = [f"{file_name}:{number}" for number in records.number.to_pylist()]
        found = np.stack((positions.lon, positions.lat), 1)
        found[list(records.reasons)] = np.nan
        days = None
        if date_name is not None:
            days = days_of(given(as_text(records.columns[date_name], f"{file.name}: column {date_name!r}")), "table")
        for start in range(0, len(where), ROWS):
            here = slice(start, start + ROWS)
            if days is None:
                yield Points(where[here], found[here], problem[here])
                continue
            when = np.array([day.when for day in days[here]])
            yield Points(where[here], found[here], problem[here], when, [day.problem for day in days[here]])
    if empty:
        raise DataError(f"{file_name} has no row", hint="name a table with a row for each place")
    for remark in [*table.remarks, *reader.remarks()]:
        log.info(remark)
