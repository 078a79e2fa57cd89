"""Image features that a data set comes with, instead of images: rows of .npy matrices."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cspops.errors import DataError
from cspops.pixels.unreadable import UnreadableImage, below

GIVEN = "given features"
"""The `model` of a config.json that stands for them."""


IN_CATALOGUE = "catalogue:"
"""With this before its path a matrix lies in the catalogue's folder, not below the images' root."""
LARGEST = 65504.0
"""Of float16."""


def save_config(folder: Path, width: int, **about: str) -> None:
    """Write the config.json that says that there is no image network, but features of so many numbers."""
    config = {"model": GIVEN, "dim": width, **about}
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


@dataclass(frozen=True)
class GivenFeatures:
    """Where the features of each observation lie."""

    files: list[Path]
    matrices: list[np.ndarray]
    """Memory-mapped, (rows, k) each."""
    file_of: np.ndarray
    row_of: np.ndarray

    @property
    def width(self) -> int:
        """k."""
        return int(self.matrices[0].shape[1])

    def block(self, rows: range) -> np.ndarray:
        """Return float16 (n, k) of consecutive observations, each matrix read from its front to its end.

        Raises:
            DataError: a value is not finite, or beyond `LARGEST`.
        """
        out = np.empty((len(rows), self.width), np.float16)
        file_of, row_of = self.file_of[rows.start : rows.stop], self.row_of[rows.start : rows.stop]
        for number in np.unique(file_of):
            here = np.flatnonzero(file_of == number)
            here = here[np.argsort(row_of[here], kind="stable")]
            values = self.matrices[number][row_of[here]]
            with np.errstate(over="ignore"):
                out[here] = values
            bad = ~np.isfinite(out[here]).all(1)
            if bad.any():
                first = int(np.flatnonzero(bad)[0])
                what = "leaves the range of float16" if np.isfinite(values[first]).all() else "is not finite"
                raise DataError(
                    f"{self.files[number]}: row {row_of[here][first]} {what}",
                    hint="fix the matrix, then dvc repro download",
                )
        return out


def read_given(folder: Path, root: Path) -> GivenFeatures | None:
    """Read the given features of the catalogue in ``folder``, None when it has images; matrices lie below ``root``.

    Raises:
        DataError: some observations have features and some have none, or a matrix is missing or does not fit.
    """
    file = folder / "observations.parquet"
    if "image_features" not in pq.read_schema(file).names:
        return None
    column: pa.StructArray = pq.read_table(file, columns=["image_features"])["image_features"].combine_chunks()
    paths, rows = column.flatten()
    without = max(paths.null_count, rows.null_count)
    if without == len(column):
        return None
    if without:
        raise DataError(
            f"{file}: {len(column) - without} observations come with image features and {without} without",
            hint="give the features of all observations or of none, then dvc repro download",
        )
    paths = paths.dictionary_encode()
    files = [_file(folder, root, path) for path in paths.dictionary.to_pylist()]
    matrices = [open_matrix(one) for one in files]
    given = GivenFeatures(files, matrices, paths.indices.to_numpy(), rows.to_numpy())
    for number, (one, matrix) in enumerate(zip(files, matrices, strict=True)):
        used = given.row_of[given.file_of == number]
        if matrix.shape[1] != given.width:
            raise DataError(f"{one} has {matrix.shape[1]} columns and {files[0]} {given.width}", hint="dvc repro -f download")
        if used.min() < 0 or used.max() >= len(matrix):
            wrong = used.min() if used.min() < 0 else used.max()
            raise DataError(f"{one} has {len(matrix)} rows, and row {wrong} is asked for", hint="dvc repro -f download")
    return given


def _file(folder: Path, root: Path, path: str) -> Path:
    try:
        if path.startswith(IN_CATALOGUE):
            return below(folder, path.removeprefix(IN_CATALOGUE))
        return below(root, path)
    except UnreadableImage:
        raise DataError(f"matrix of image features {path!r} lies outside {root}", hint="dvc repro -f download") from None


def open_matrix(file: Path, *, hint: str | None = None) -> np.ndarray:
    """Open an .npy matrix of numbers, memory-mapped; DataError, with ``hint``, where it is none."""
    try:
        matrix: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{file} is missing", hint=hint or "set CSPOPS_DATA_ROOT to the folder of the data set") from None
    except (ValueError, OSError, EOFError):
        raise DataError(f"{file} is not an .npy matrix, or not a whole one", hint=hint or AGAIN) from None
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or 0 in matrix.shape:
        about = f"{matrix.dtype} of shape {matrix.shape}" if isinstance(matrix, np.ndarray) else "an archive"
        raise DataError(f"{file} holds {about}, not a matrix of features", hint=hint or AGAIN)
    return matrix


AGAIN = "fetch it again: cspops download"
