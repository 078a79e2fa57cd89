"""Images, folders and tables that a user names, as rows with an image, a position and a date, or why one is missing."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from cspops.errors import DataError, NoImages
from cspops.intake.images import takeout
from cspops.intake.images.exif import DATE_FORM, DATE_NONE, DATE_ZEROS
from cspops.intake.images.metadata import Question, read_metadata
from cspops.intake.judging.positions import read_positions
from cspops.intake.rows import Source
from cspops.intake.sources.tree import printable, walk
from cspops.library.given_dates import NO_DAY, Day, Origin, days_of
from cspops.library.named_tables import ANY_TABLE, TableNames
from cspops.params.sections import Table
from cspops.pixels.formats import HEAD, READ, format_of
from cspops.pixels.unreadable import OTHER_FORMAT, below

log = logging.getLogger(__name__)

NO_POSITION = "no position is given"
"""The `position_problem` of a row that was to have no position."""
STDIN, EVERY_FILE = "-", "**/*"
NOT_THERE = "no such file"
DATE_FAULTS = (DATE_ZEROS, DATE_FORM, DATE_NONE)


@dataclass(frozen=True)
class Input:
    """One row that a user names."""

    where: str
    """Its path, bytes that are not UTF-8 as \\xNN, or its place in a table (`photos.csv:17`)."""
    image: bytes | Path | None
    lon: float
    lat: float
    """Degrees; nan where there is no position."""
    position: str
    """`given`, `table`, `file` (EXIF, XMP, GeoTIFF, the JSON of Takeout) or `none`."""
    problem: str | None = None
    """Why a position was not used."""
    error: str | None = None
    """Why the row's image cannot be used."""
    label: str | None = None
    """Name of the class: from a table's column, or of the folder that the image lies in."""
    obs_id: str | None = None
    """From the table's column for ids, or `TABLE:LINE`, or the path below the folder that was named."""
    day: Day = NO_DAY


def read_inputs(
    paths: Iterable[str],
    *,
    stdin: Iterable[str],
    position: tuple[float, float] | None,
    tables: TableNames = ANY_TABLE,
    day: Day | None = None,
    dated: bool = False,
) -> Iterator[Input]:
    """Yield the rows of each path in turn: an image, a folder of images, a table that names them, or `-`.

    Args:
        paths: `-` stands for the lines of ``stdin``, each a path.
        stdin: paths, taken only for `-`, one by one.
        position: (longitude, latitude) of every image, instead of its own.
        tables: what their columns are called.
        day: of every image, instead of its own.
        dated: whether an image of a table without a date is asked for its own, which opens each file.
    """
    dated = dated and day is None
    for path in paths:
        lines = (line.rstrip("\r\n") for line in stdin) if path == STDIN else (path,)
        for line in lines:
            if line:
                for row in _rows(Path(line), tables, dated=dated):
                    row = row if position is None else _placed(row, position)
                    yield row if day is None else replace(row, day=day)


def count_inputs(paths: Iterable[str], *, tables: TableNames = ANY_TABLE) -> int | None:
    """Return how many rows `read_inputs` yields; None where it would take reading a table or stdin to know."""
    total = 0
    for path in paths:
        in_folder = os.path.isdir(path)  # noqa: PTH112  (`Path.is_dir` raises for names that are too long)
        has_table = tables.table_of(Path(path)) is not None if in_folder else os.path.isfile(path) and _is_table(Path(path))  # noqa: PTH113
        if path == STDIN or has_table:
            return None
        total += len(walk(Path(path), EVERY_FILE).images) if in_folder else 1
    return total


def _placed(row: Input, position: tuple[float, float]) -> Input:
    lon, lat = position
    return replace(row, lon=lon, lat=lat, position="given", problem=None)


def _rows(path: Path, tables: TableNames, *, dated: bool) -> Iterator[Input]:
    if os.path.isdir(path):  # noqa: PTH112  (as above)
        yield from _folder_rows(path, tables, dated=dated)
    elif not os.path.isfile(path):  # noqa: PTH113  (as above)
        yield Input(printable(path.as_posix()), None, np.nan, np.nan, "none", error=NOT_THERE)
    elif _is_table(path):
        yield from _table_rows(path, tables, dated=dated)
    else:
        lon, lat, problem, day = _own(path)
        origin = "none" if np.isnan(lon) else "file"
        label = printable(path.absolute().parent.name)
        yield Input(printable(path.as_posix()), path, lon, lat, origin, problem, label=label, day=day)


def _folder_rows(folder: Path, tables: TableNames, *, dated: bool) -> Iterator[Input]:
    """Yield the images of a folder, with the values of the table beside them, or the rows of that table if it is their list."""
    from cspops.intake.sources.folder import open_folder

    table = tables.table_of(folder)
    if table is not None and isinstance(tables.settings, Table):
        yield from _table_rows(folder / table, tables, dated=dated)
        return
    columns = tables.columns_of(folder / table) if table is not None else {}
    how: Literal["folder", "column"] = "folder" if table is None else "column"
    try:
        source = open_folder(folder, pattern=EVERY_FILE, label=how, sidecar=table, columns=columns)
    except NoImages:
        if table is not None:
            yield from _table_rows(folder / table, tables, dated=dated)
            return
        raise DataError(f"{folder} holds no image", hint=f"name images ({READ}), folders or tables") from None
    prefix = printable(f"{folder.as_posix()}/")
    for part in source.batches:
        own = printable(folder.absolute().name) if table is None else None
        yield from _batch_rows(part, root=folder, origin="file", prefix=prefix, label=own)
    _log_remarks(source, f"{printable(folder.as_posix())}: ")


def _table_rows(table: Path, tables: TableNames, *, dated: bool) -> Iterator[Input]:
    from cspops.intake.sources.table import open_table

    source = open_table(Path(table.name), root=table.parent, columns=tables.columns_of(table), key=None)
    for part in source.batches:
        yield from _batch_rows(part, root=table.parent, origin="table", prefix="", dated=dated)
    _log_remarks(source, "")


def _is_table(path: Path) -> bool:
    """Return whether a file is a table, without loading what tables need (shapely, pyproj) where it begins as an image."""
    with suppress(OSError), path.open("rb") as opened:
        if format_of(opened.read(HEAD)) is not None:
            return False
    from cspops.intake.sources.table import table_format

    return table_format(path) is not None


def _log_remarks(source: Source, prefix: str) -> None:
    for remark in source.remarks:
        log.info(f"{prefix}{remark}")


def _batch_rows(
    part: pa.RecordBatch, *, root: Path, origin: Origin, prefix: str, label: str | None = None, dated: bool = False
) -> Iterator[Input]:
    """Yield the rows of a `rows.ROWS` batch; ``label`` is that of images directly in ``root`` which have no other.

    Where a table has no positions, or no date that is wanted, they are read from the image files.
    """
    positions, days = read_positions(part["lon"], part["lat"]), days_of(part["captured_at"], origin)
    columns = (part[name].to_pylist() for name in ("where", "obs_id", "image", "label", "reason", "detail", "notes"))
    for number, (where, obs_id, image, own_label, reason, detail, notes, fault) in enumerate(
        zip(*columns, positions.fault.to_pylist(), strict=True)
    ):
        data, path = (image or {}).get("bytes"), (image or {}).get("path")
        content = data if data is not None else below(root, path) if path is not None else None
        lon, lat, source, day = (
            float(positions.lon[number]),
            float(positions.lat[number]),
            str(origin),
            _noted(days[number], notes),
        )
        unplaced = fault is None and np.isnan(lon)
        if origin == "table" and isinstance(content, Path) and (unplaced or (dated and day is NO_DAY)):
            own_lon, own_lat, own_fault, own_day = _own(content)
            day = own_day if day is NO_DAY else day
            if unplaced:
                lon, lat, fault, source = own_lon, own_lat, own_fault, "file"
        problem = fault or (NO_POSITION if np.isnan(lon) else None)
        yield Input(
            f"{prefix}{where}",
            content,
            lon,
            lat,
            "none" if np.isnan(lon) else source,
            problem,
            f"{reason} ({detail})" if reason == OTHER_FORMAT else reason,
            label if own_label is None and "/" not in where else own_label,
            obs_id,
            day,
        )


def _own(file: Path) -> tuple[float, float, str | None, Day]:
    """Return the position that an image file has, degrees or nan, why it has none, and its date."""
    about = read_metadata(Question(file, position=True, takeout=takeout.beside_file(file)))
    (day,) = days_of(pa.array([about.captured_at], pa.string()), "file")
    day = _noted(day, about.notes)
    if about.lonlat is None:
        return np.nan, np.nan, NO_POSITION, day
    positions = read_positions(*(pa.array([value], pa.float64()) for value in about.lonlat))
    return float(positions.lon[0]), float(positions.lat[0]), positions.fault[0].as_py(), day


def _noted(day: Day, notes: Sequence[str] | None) -> Day:
    """Return the day with the reason why an image file has none, where it says one that cannot be."""
    faults = [] if day is not NO_DAY else [note for note in notes or () if note in DATE_FAULTS]
    return Day(problem=faults[0]) if faults else day
