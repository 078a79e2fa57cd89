"""The files that hold embeddings, each written from the first row to the last: their memory does not grow with the rows."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cspops.library.places import ROWS, Grid, Points
from cspops.shapes import Float


class ParquetWriter:
    """Columns where, lon, lat, problem and embedding (a list of d float32; null without a position).

    ``dated`` ones have when (a share of the year; null without a date) and date_problem before the embedding. Of a grid the
    metadata of the schema hold `order` and `shape`.
    """

    def __init__(self, file: Path, dim: int, grid: Grid | None, *, dated: bool = False) -> None:
        self.dim, self.dated = dim, dated
        kinds = [("where", pa.string()), ("lon", pa.float64()), ("lat", pa.float64()), ("problem", pa.string())]
        kinds += [("when", pa.float64()), ("date_problem", pa.string())] if dated else []
        about = {} if grid is None else {"order": grid.order, "shape": f"{grid.shape[0]} rows x {grid.shape[1]} columns"}
        self.schema = pa.schema([*kinds, ("embedding", pa.list_(pa.float32(), dim))], metadata=about)
        self.writer = pq.ParquetWriter(file, self.schema, compression="zstd", use_dictionary=["problem"])

    def add(self, points: Points, embeddings: Float[np.ndarray, "n d"]) -> None:
        """Write one row group."""
        lost = np.isnan(points.lonlat[:, 0])
        rows = pa.FixedSizeListArray.from_arrays(
            pa.array(np.ascontiguousarray(embeddings).reshape(-1)), self.dim, mask=pa.array(lost)
        )
        lon, lat = (pa.array(column, mask=lost) for column in points.lonlat.T)
        arrays = [pa.array(points.where), lon, lat, pa.array(points.problem, pa.string())]
        if self.dated:
            when = points.shares()
            why = points.date_problem or [None] * len(when)
            arrays += [pa.array(when, mask=np.isnan(when)), pa.array(why, pa.string())]
        self.writer.write_table(pa.Table.from_arrays([*arrays, rows], schema=self.schema))

    def close(self) -> None:
        """Write the footer."""
        self.writer.close()


class NpyWriter:
    """A float32 matrix (n, d), nan without a position; of a grid (rows, columns, d), from north to south and west to east.

    Written, not mapped: pages of a mapped file count as memory until the system has written them.
    """

    def __init__(self, file: Path, dim: int, grid: Grid | None) -> None:
        self.opened = file.open("wb")
        self.count, self.dim, self.grid = 0, dim, grid
        self._header()

    def _header(self) -> None:
        """Write the shape; numpy leaves room in a header for the first axis to grow."""
        _write_header(self.opened, (self.count, self.dim) if self.grid is None else (*self.grid.shape, self.dim))

    def add(self, points: Points, embeddings: Float[np.ndarray, "n d"]) -> None:
        """Write the next rows."""
        self.opened.write(embeddings.astype("<f4", copy=False).tobytes())
        self.count += len(embeddings)

    def close(self) -> None:
        """Write how many rows there are."""
        with self.opened:
            self.opened.seek(0)
            self._header()


@dataclass(frozen=True)
class StoredPlaces:
    """Positions in a file, so that their number is known before they are embedded, and they need no memory."""

    file: Path
    count: int
    dated: bool

    @classmethod
    def of(cls, points: Iterator[Points], file: Path, *, dated: bool) -> "StoredPlaces":
        """Write the positions of all points, and their shares of the year."""
        count = 0
        with file.open("wb") as opened:
            for part in points:
                opened.write(np.column_stack((part.lonlat, part.shares())).astype("<f8", copy=False).tobytes())
                count += len(part.lonlat)
        return cls(file, count, dated)

    def points(self) -> Iterator[Points]:
        """Yield them in their order, without names."""
        with self.file.open("rb") as opened:
            while len(numbers := np.fromfile(opened, "<f8", 3 * ROWS).reshape(-1, 3)):
                yield Points([], numbers[:, :2], [], numbers[:, 2] if self.dated else None)


class NpzWriter:
    """The matrix of `NpyWriter` as `embeddings`, with `lon` and `lat` of its rows, or of a grid's columns and rows.

    ``dated`` ones have `when` too, of a grid one number.
    """

    def __init__(self, file: Path, dim: int, places: Grid | StoredPlaces, *, dated: bool = False) -> None:
        self.places, self.dated, self.when = places, dated, np.nan
        self.archive = zipfile.ZipFile(file, "w")
        self.matrix = self.archive.open("embeddings.npy", "w", force_zip64=True)
        shape = places.shape if isinstance(places, Grid) else (places.count,)
        _write_header(self.matrix, (*shape, dim))

    def add(self, points: Points, embeddings: Float[np.ndarray, "n d"]) -> None:
        """Write the next rows."""
        self.matrix.write(embeddings.astype("<f4", copy=False).tobytes())
        self.when = float(points.shares()[0]) if len(points.lonlat) else self.when

    def close(self) -> None:
        """Write the positions, and the table of contents."""
        self.matrix.close()
        for axis, name in enumerate(("lon", "lat", "when") if self.dated else ("lon", "lat")):
            with self.archive.open(f"{name}.npy", "w", force_zip64=True) as opened:
                if isinstance(self.places, Grid):
                    values = np.array(self.when) if name == "when" else self.places.axes()[axis]
                    np.lib.format.write_array(opened, values)
                else:
                    _write_header(opened, (self.places.count,), "<f8")
                    for part in self.places.points():
                        column = part.shares() if name == "when" else part.lonlat[:, axis]
                        opened.write(column.tobytes())
        self.archive.close()


def _write_header(opened: IO[bytes] | BufferedIOBase, shape: tuple[int, ...], kind: str = "<f4") -> None:
    about = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(opened, about)
