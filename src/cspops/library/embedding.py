"""Location embeddings of places, of the rows of a table or of a grid over the world, written into a file."""

import logging
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cspops.errors import DataError, ParamsError
from cspops.files import whole
from cspops.intake.judging.positions import read_positions
from cspops.intake.sources.tree import printable
from cspops.intake.tables.points import PositionReader, position_columns
from cspops.intake.tables.table_files import open_file
from cspops.library.inputs import NO_POSITION
from cspops.library.model import Model
from cspops.shapes import Float

log = logging.getLogger(__name__)

ROWS = 8192
SUFFIXES = (".parquet", ".npz", ".npy")
NO_BOX = "west south east north, in degrees; west is above east only where the box crosses the antimeridian: 170 -20 -170 -10"
EXCHANGED = "are the columns lon and lat, in degrees, exchanged?"
Box = tuple[float, float, float, float]
"""West, south, east and north, degrees; east is above 180 where the box crosses the antimeridian."""
WORLD: Box = (-180.0, -90.0, 180.0, 90.0)


@dataclass(frozen=True)
class Points:
    """Places: their names, positions (n, 2) in degrees with nan where there is none, and why there is none."""

    where: list[str]
    lonlat: Float[np.ndarray, "n 2"]
    problem: list[str | None]


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


def points_of_table(file: Path) -> Iterator[Points]:
    """Yield the rows of a table with longitudes and latitudes, or geometries; log what is odd about it after the last row.

    DataError where it has no positions.
    """
    table, _ = open_file(file, key=None)
    names, file_name = position_columns(table), printable(file.name)
    reader = PositionReader(file.name, names)
    for records in table.records(sorted(set(names))):
        lonlat = reader.read(records)
        assert lonlat is not None
        positions = read_positions(*lonlat)
        problem = [
            reason if reason is not None else NO_POSITION if np.isnan(x) else None
            for reason, x in zip(positions.fault.to_pylist(), positions.lon, strict=True)
        ]
        yield Points(
            [f"{file_name}:{number}" for number in records.number.to_pylist()],
            np.stack((positions.lon, positions.lat), 1),
            problem,
        )
    for remark in [*table.remarks, *reader.remarks()]:
        log.info(remark)


class ParquetWriter:
    """Columns where, lon, lat, problem and embedding (a list of d float32; null without a position).

    Of a grid the metadata of the schema hold `order` and `shape`.
    """

    def __init__(self, file: Path, dim: int, grid: Grid | None) -> None:
        self.dim = dim
        kinds = [("where", pa.string()), ("lon", pa.float64()), ("lat", pa.float64()), ("problem", pa.string())]
        about = {} if grid is None else {"order": grid.order, "shape": f"{grid.shape[0]} rows x {grid.shape[1]} columns"}
        self.schema = pa.schema([*kinds, ("embedding", pa.list_(pa.float32(), dim))], metadata=about)
        self.writer = pq.ParquetWriter(file, self.schema, compression="zstd")

    def add(self, points: Points, embeddings: Float[np.ndarray, "n d"]) -> None:
        """Write one row group."""
        lost = np.isnan(points.lonlat[:, 0])
        rows = pa.FixedSizeListArray.from_arrays(
            pa.array(np.ascontiguousarray(embeddings).reshape(-1)), self.dim, mask=pa.array(lost)
        )
        lon, lat = (pa.array(column, mask=lost) for column in points.lonlat.T)
        arrays = [pa.array(points.where), lon, lat, pa.array(points.problem, pa.string()), rows]
        self.writer.write_table(pa.Table.from_arrays(arrays, schema=self.schema))

    def close(self) -> None:
        """Write the footer."""
        self.writer.close()


class NpyWriter:
    """A float32 matrix (n, d), nan without a position; of a grid (rows, columns, d), from north to south and west to east."""

    def __init__(self, file: Path, shape: tuple[int, ...]) -> None:
        self.matrix = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
        self.flat, self.at = self.matrix.reshape(-1, shape[-1]), 0

    def add(self, points: Points, embeddings: Float[np.ndarray, "n d"]) -> None:
        """Write the next rows."""
        self.flat[self.at : self.at + len(embeddings)] = embeddings
        self.at += len(embeddings)

    def close(self) -> None:
        """Flush the matrix to disk."""
        self.matrix.flush()


class NpzWriter:
    """The matrix of `NpyWriter` as `embeddings`, with `lon` and `lat` of its rows, or of a grid's columns and rows."""

    def __init__(self, file: Path, shape: tuple[int, ...], grid: Grid | None) -> None:
        self.grid, self.lonlat = grid, [np.zeros((0, 2))]
        self.archive = zipfile.ZipFile(file, "w")
        self.matrix = self.archive.open("embeddings.npy", "w", force_zip64=True)
        about = {"descr": np.lib.format.dtype_to_descr(np.dtype("<f4")), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self.matrix, about)

    def add(self, points: Points, embeddings: Float[np.ndarray, "n d"]) -> None:
        """Write the next rows."""
        self.matrix.write(embeddings.astype("<f4").tobytes())
        if self.grid is None:
            self.lonlat.append(points.lonlat)

    def close(self) -> None:
        """Write the positions, and the table of contents."""
        self.matrix.close()
        lon, lat = np.concatenate(self.lonlat).T if self.grid is None else self.grid.axes()
        for name, values in (("lon", lon), ("lat", lat)):
            with self.archive.open(f"{name}.npy", "w") as opened:
                np.lib.format.write_array(opened, values)
        self.archive.close()


def require_suffix(out: Path) -> None:
    """Raise a ParamsError unless ``out`` has one of `SUFFIXES`."""
    if out.suffix.lower() not in SUFFIXES:
        raise ParamsError(f"{out}: embeddings are written as {', '.join(SUFFIXES)}", hint="--out embeddings.parquet")


def embed(model: Model, points: Iterator[Points], out: Path, *, grid: Grid | None = None) -> tuple[int, int]:
    """Write the embeddings of all points to ``out``, whole or not at all; return how many, and how many without a position.

    Args:
        points: consumed.
        out: `.parquet`; `.npz`, which holds no names of places; or `.npy`, which holds no positions either.
        grid: what the points are of, if of one.
    """
    require_suffix(out)
    count = lost = 0
    first: str | None = None
    with whole(out) as new:
        writer, points = _writer(new, points, grid, model.encoder.dim)
        with closing(writer):
            for part in points:
                first = first or next((problem for problem in part.problem if problem is not None), None)
                embeddings = model.encode_location(torch.from_numpy(part.lonlat)).numpy()
                writer.add(part, embeddings)
                count, lost = count + len(embeddings), lost + int(np.isnan(part.lonlat[:, 0]).sum())
        if not count:
            raise DataError("there is no place to embed")
        if lost == count:
            raise DataError(f"no row has a position that can be used; the first: {first}", hint=EXCHANGED)
    return count, lost


def _writer(
    file: Path, points: Iterator[Points], grid: Grid | None, dim: int
) -> tuple[ParquetWriter | NpyWriter | NpzWriter, Iterator[Points]]:
    """Return what writes a file, and the points, which were counted before where it must know how many."""
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        return ParquetWriter(file, dim, grid), points
    shape: tuple[int, ...] = () if grid is None else grid.shape
    if grid is None:
        parts = list(points)  # only names and positions, no embedding yet
        shape, points = (sum(len(part.where) for part in parts),), iter(parts)
    return (NpzWriter(file, (*shape, dim), grid) if suffix == ".npz" else NpyWriter(file, (*shape, dim))), points
