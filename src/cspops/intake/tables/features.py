"""Image features that a table comes with: embeddings by a network of your own, in its columns or in a matrix beside it.

`dataset.table.features` names an .npy matrix below the root whose row i belongs to row i of the table, a column of lists, or
by a star at the end all columns whose names begin so and end in digits (`A*` for A00 to A63), in the table's order. Without it,
and without a column for the image, a column with a usual name is taken, or the only numbered ones, or the only .npy file
beside the table. Features in columns are written as a matrix into the catalogue's folder.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cspops.data.given_features import IN_CATALOGUE, LARGEST, open_matrix
from cspops.errors import DataError
from cspops.intake.tables.columns import listed_columns, recognised_column
from cspops.intake.tables.records import Records
from cspops.pixels.reading import GIVEN_FEATURES

KEY = "dataset.table.features"
USUAL = ("features", "image_features", "embedding", "embeddings")
LEAST = 8
"""Numbered columns that are taken for features."""
FILE = "features.npy"
MISSING = "its features are missing, or some of them are no numbers"
WIDTH = "it has another number of features than the first row"
BEYOND = f"a feature of it is beyond {LARGEST:g}, the largest number of float16"
"""Why a row is set aside."""


@dataclass
class Matrix:
    """A matrix below the images' root."""

    file: Path
    path: str
    """Below the root."""
    matrix: np.ndarray
    columns: tuple[str, ...] = ()
    done: int = 0

    def read(self, records: Records) -> tuple[pa.StructArray, dict[int, tuple[str, str]]]:
        """Return where the features of a batch stand, as `GIVEN_FEATURES`, and which rows have none, and why."""
        rows = np.arange(self.done, self.done + len(records.number))
        self.done += len(rows)
        if self.done > len(self.matrix):
            return _where(self.path, rows), {}  # `finish` says it
        values = np.asarray(self.matrix[rows[0] : rows[-1] + 1], np.float64)
        return _where(self.path, rows), _faults(values)

    def finish(self) -> None:
        """Raise a DataError where the table has another number of rows."""
        if self.done != len(self.matrix):
            raise DataError(
                f"{self.file} has {len(self.matrix):,} rows, and the table has {self.done:,}: row i of both is the same one",
                hint=f"write one row of features for each row of the table, or name another matrix in {KEY}",
            )


@dataclass
class Columns:
    """Columns of the table: one of lists, or one for each feature."""

    columns: tuple[str, ...]
    out: Path | None
    """The catalogue's folder; None where only a look is taken."""
    width: int = 0
    done: int = 0

    @property
    def file(self) -> Path:
        """The matrix, there after `finish`."""
        return (self.out or Path()) / FILE

    _raw: BinaryIO | None = field(default=None, repr=False)

    def read(self, records: Records) -> tuple[pa.StructArray, dict[int, tuple[str, str]]]:
        """See `Matrix.read`."""
        given = [records.columns[name] for name in self.columns]
        values, faults = _lists(given[0], self.width) if _is_list(given[0]) else (_numbers(given, self.columns), {})
        self.width = self.width or values.shape[1]
        faults = _faults(values) | faults
        if self.out is not None:
            if self._raw is None:
                self._raw = (self.out / f".{FILE}").open("wb")
            self._raw.write(values.astype(np.float32).tobytes())
        rows = np.arange(self.done, self.done + len(values))
        self.done += len(values)
        return _where(IN_CATALOGUE + FILE, rows), faults

    def finish(self) -> None:
        """Write the matrix; DataError where no row has a number."""
        if self._raw is None:
            return
        self._raw.close()
        raw = Path(self._raw.name)
        if self.width == 0:
            raw.unlink()
            raise DataError(f"the column {self.columns[0]!r} ({KEY}) holds no list of numbers", hint="name another column")
        with self.file.open("wb") as out, raw.open("rb") as rows:
            about = {"descr": "<f4", "fortran_order": False, "shape": (self.done, self.width)}
            np.lib.format.write_array_header_1_0(out, about)
            shutil.copyfileobj(rows, out)
        raw.unlink()


Features = Matrix | Columns
"""What gives the features of a table's rows, batch by batch, in their order."""


def open_features(given: str, names: list[str], *, root: Path, out: Path | None, table: str) -> Features:
    """Return what ``given``, the value of `dataset.table.features`, names.

    Args:
        names: the table's columns.
        root: where the path of a matrix starts.
        out: the catalogue's folder, where columns are written; None: they are not.
        table: its name, for messages.

    Raises:
        DataError: there is no such matrix or column.
    """
    if given.lower().endswith(".npy"):
        file = root / given
        return Matrix(file, given, open_matrix(file, hint=f"{KEY} names a matrix below {root}"))
    columns = tuple(_numbered(given[:-1], names) if given.endswith("*") else [name for name in names if name == given])
    if not columns:
        raise DataError(f"{table} has no column {given!r} ({KEY})", hint=f"{listed_columns(names)}; or name an .npy matrix")
    return Columns(columns, out)


def recognised_features(names: Sequence[str]) -> str | None:
    """Return what `open_features` takes for a table of these columns; None where nothing looks like features."""
    for usual in USUAL:
        if (name := recognised_column(usual, names)) is not None:
            return name
    prefixes = dict.fromkeys(name.rstrip("0123456789") for name in names if name[-1:].isdigit())
    many = [prefix for prefix in prefixes if prefix and len(_numbered(prefix, names)) >= LEAST]
    return f"{many[0]}*" if len(many) == 1 else None


def matrix_beside(table: Path, root: Path) -> str | None:
    """Return the path below the root of the only .npy file beside a table; None where there is none, or are several."""
    found = sorted(table.parent.glob("*.npy"))
    return found[0].relative_to(root).as_posix() if len(found) == 1 and found[0].is_relative_to(root) else None


def _numbered(prefix: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if name.startswith(prefix) and name[len(prefix) :].isdigit()]


def _where(path: str, rows: np.ndarray) -> pa.StructArray:
    return pa.StructArray.from_arrays([pa.array([path] * len(rows), pa.string()), pa.array(rows)], fields=list(GIVEN_FEATURES))


def _is_list(column: pa.Array) -> bool:
    kind = column.type
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _lists(column: pa.Array, width: int) -> tuple[np.ndarray, dict[int, tuple[str, str]]]:
    """Return numbers (n, width), nan where a row has none or another number of them, and such rows."""
    lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    width = width or int(next(iter(lengths[lengths > 0]), 0))
    values = np.full((len(column), width), np.nan)
    fits = lengths == width
    if width and fits.any():
        flat = pc.list_flatten(column.filter(pa.array(fits)))
        values[fits] = pc.cast(flat, pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False).reshape(-1, width)
    other = np.flatnonzero(~fits & (lengths > 0))
    return values, {int(i): (WIDTH, f"{lengths[i]}, not {width}") for i in other}


def _numbers(columns: list[pa.Array], names: tuple[str, ...]) -> np.ndarray:
    """Return numbers (n, k) of k columns, nan where there is none."""
    out = np.full((len(columns[0]), len(columns)), np.nan)
    for k, (column, name) in enumerate(zip(columns, names, strict=True)):
        text = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
        if pa.types.is_string(text.type) or pa.types.is_large_string(text.type):
            text = pc.utf8_trim_whitespace(text)
            text = pc.if_else(pc.match_substring_regex(text, NUMBER), text, pa.scalar(None, text.type))
        elif not (pa.types.is_integer(text.type) or pa.types.is_floating(text.type) or pa.types.is_null(text.type)):
            raise DataError(
                f"the column {name!r} ({KEY}) holds {text.type}, not numbers or lists of them", hint="name another column"
            )
        out[:, k] = pc.cast(text, pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return out


NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def _faults(values: np.ndarray) -> dict[int, tuple[str, str]]:
    """Return which rows of numbers cannot be features, and why."""
    missing, beyond = ~np.isfinite(values).all(1), (np.abs(values) > LARGEST).any(1)
    faults: dict[int, tuple[str, Any]] = {
        int(i): (BEYOND, f"{np.abs(values[i]).max():g}") for i in np.flatnonzero(beyond & ~missing)
    }
    for i in np.flatnonzero(missing).tolist():
        bad = np.flatnonzero(~np.isfinite(values[i]))
        faults[i] = (MISSING, f"{len(bad)} of {values.shape[1]}")
    return faults
