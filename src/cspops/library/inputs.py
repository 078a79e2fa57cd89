"""Images, folders and tables that a user names, as rows with an image and a position, or why one is missing."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from cspops.errors import DataError, NoImages
from cspops.intake.images import takeout
from cspops.intake.images.metadata import Question, read_metadata
from cspops.intake.judging.positions import read_positions
from cspops.intake.rows import Source, batch
from cspops.intake.sources.folder import open_folder
from cspops.intake.sources.table import open_table, table_format
from cspops.intake.tables.columns import USUAL
from cspops.pixels.formats import READ
from cspops.pixels.reading import IMAGE, Reading
from cspops.pixels.unreadable import OTHER_FORMAT, below

log = logging.getLogger(__name__)

NO_POSITION = "no position is given"
"""The `position_problem` of a row that was to have no position."""
STDIN = "-"
COLUMNS = "rename a column: `image`, `lon`, `lat` and `label` are known, and other usual names of these"
NOT_THERE = "no such file"


@dataclass(frozen=True)
class Input:
    """One row that a user names."""

    where: str
    """Its path, or its place in a table (`photos.csv:17`)."""
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
    """Name of the class: from the table's column, or of the folder that the image lies in."""


def read_inputs(
    paths: Iterable[str],
    *,
    stdin: Iterable[str],
    position: tuple[float, float] | None,
    reading: Reading,
) -> Iterator[Input]:
    """Yield the rows of each path in turn: an image, a folder of images, a table that names them, or `-`.

    Args:
        paths: `-` stands for the lines of ``stdin``, each a path.
        stdin: read only for `-`, line by line.
        position: (longitude, latitude) of every image, instead of its own.
        reading: how images become RGB.
    """
    for path in paths:
        lines = (line.rstrip("\r\n") for line in stdin) if path == STDIN else (path,)
        for line in lines:
            if line:
                for row in _rows(Path(line), reading):
                    yield row if position is None else _placed(row, position)


def _placed(row: Input, position: tuple[float, float]) -> Input:
    lon, lat = position
    return replace(row, lon=lon, lat=lat, position="given", problem=None)


def _rows(path: Path, reading: Reading) -> Iterator[Input]:
    if path.is_dir():
        columns = dict.fromkeys(USUAL)
        try:
            source = open_folder(path, pattern="**/*", label="folder", sidecar=None, columns=columns)
        except NoImages:
            raise DataError(f"{path} holds no image", hint=f"name images ({READ}), folders or tables") from None
        for part in source.batches:
            yield from _batch_rows(part, root=path, origin="file", prefix=f"{path.as_posix()}/", label=path.absolute().name)
        _log_remarks(source, path)
    elif path.is_file() and table_format(path):
        columns = dict.fromkeys(USUAL)
        try:
            source = open_table(path, root=path.parent, columns=columns)
        except DataError as error:
            raise DataError(error.message, hint=COLUMNS if "params.yaml" in (error.hint or "") else error.hint) from None
        for part in source.batches:
            yield from _batch_rows(part, root=path.parent, origin="table", prefix="")
        _log_remarks(source, path)
    elif path.is_file():
        question = Question(path, position=True, takeout=takeout.beside_file(path))
        lon, lat = read_metadata(question).lonlat or (None, None)
        columns = {"where": [path.name], "lon": pa.array([lon], pa.float64()), "lat": pa.array([lat], pa.float64())}
        image = pa.array([{"bytes": None, "path": path.name}], IMAGE)
        part, folder = batch(columns | {"image": image}), path.parent
        yield from _batch_rows(part, root=folder, origin="file", prefix=f"{folder.as_posix()}/", label=folder.absolute().name)
    else:
        yield Input(path.as_posix(), None, np.nan, np.nan, "none", error=NOT_THERE)


def _log_remarks(source: Source, path: Path) -> None:
    for remark in source.remarks:
        log.info(f"{path}: {remark}")


def _batch_rows(part: pa.RecordBatch, *, root: Path, origin: str, prefix: str, label: str | None = None) -> Iterator[Input]:
    """Yield the rows of a `rows.ROWS` batch; ``label`` is that of images directly in ``root`` which have no other.

    Where a table has no positions, they are read from the image files.
    """
    positions = read_positions(part["lon"], part["lat"])
    columns = (part[name].to_pylist() for name in ("where", "image", "label", "reason", "detail"))
    for number, (where, image, own_label, reason, detail, fault) in enumerate(
        zip(*columns, positions.fault.to_pylist(), strict=True)
    ):
        data, path = (image or {}).get("bytes"), (image or {}).get("path")
        content = data if data is not None else below(root, path) if path is not None else None
        lon, lat, source = float(positions.lon[number]), float(positions.lat[number]), origin
        if fault is None and np.isnan(lon) and origin == "table" and isinstance(content, Path):
            lon, lat = _own_position(content)
            source = "file"
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
        )


def _own_position(file: Path) -> tuple[float, float]:
    lonlat = read_metadata(Question(file, position=True, takeout=takeout.beside_file(file))).lonlat
    if lonlat is None:
        return np.nan, np.nan
    positions = read_positions(*(pa.array([value], pa.float64()) for value in lonlat))
    return float(positions.lon[0]), float(positions.lat[0])
