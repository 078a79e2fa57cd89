"""Image features F*(I) in shards 00000.npy, 00001.npy ... of float16, listed in index.json; row i is observation i."""

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cspops.artefacts import json_as
from cspops.errors import DataError
from cspops.files import write_whole

DTYPE = np.dtype("float16")
SHARD_BYTES = 10**9
"""About so large is a shard, and none is larger unless a block of rows is."""
INDEX = "index.json"
REMAKE = "dvc repro featurize"


def fingerprint(obs_id: Sequence[str]) -> str:
    """Return sha256 of the observation ids in their order."""
    return hashlib.sha256("\n".join(obs_id).encode()).hexdigest()


@dataclass(frozen=True)
class Shard:
    """What index.json says of a shard."""

    rows: int
    sha256: str
    """Of the file."""


@dataclass(frozen=True)
class Index:
    """index.json."""

    rows: int
    width: int
    dtype: Literal["float16"]
    rows_per_shard: int
    """Of each shard but the last, which may have fewer."""
    fingerprint: str
    shards: list[Shard]


@dataclass(frozen=True)
class Features:
    """The features of all observations, (n, k), mapped into memory shard by shard: what is not asked for is not read."""

    width: int
    rows_per_shard: int
    shards: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return sum(len(shard) for shard in self.shards)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k)."""
        return len(self), self.width

    def __getitem__(self, rows: "np.ndarray | slice") -> np.ndarray:
        """Return a float16 matrix of the rows with these numbers, or of those where a mask is true."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        if len(self.shards) == 1:
            return np.asarray(self.shards[0][rows])
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        out = np.empty((len(rows), self.width), DTYPE)
        shard_of = rows // self.rows_per_shard
        for number in np.unique(shard_of):
            here = np.flatnonzero(shard_of == number)
            out[here] = self.shards[number][rows[here] - number * self.rows_per_shard]
        return out


def read_features(folder: Path, obs_id: Sequence[str]) -> Features:
    """Open the features in a folder after checking that their rows are these observations, and each shard's size.

    Hashes are compared where a stage requires its inputs (`pipeline.paths.require`), not here.

    Raises:
        DataError: a file is missing, cut or of another shape, or the features are those of other observations.
    """
    index: Index = json_as(folder / INDEX, Index, remake=REMAKE)
    if (index.rows, index.fingerprint) != (len(obs_id), fingerprint(obs_id)):
        raise DataError(f"{folder} holds the features of other observations", hint=REMAKE)
    sizes = shard_sizes(index.rows, index.rows_per_shard)
    if [shard.rows for shard in index.shards] != sizes:
        raise DataError(f"{folder / INDEX} is broken: its shards do not hold {index.rows} rows", hint=REMAKE)
    shards = (opened(folder / name_of(number), (rows, index.width)) for number, rows in enumerate(sizes))
    return Features(index.width, index.rows_per_shard, tuple(shards))


def shard_sizes(rows: int, rows_per_shard: int) -> list[int]:
    """Return the number of rows of each shard."""
    return [min(rows_per_shard, rows - start) for start in range(0, rows, rows_per_shard)] if rows_per_shard > 0 else []


def name_of(shard: int) -> str:
    """Return the name of a shard's file."""
    return f"{shard:05}.npy"


def opened(file: Path, shape: tuple[int, int]) -> np.ndarray:
    """Map a matrix of features into memory, read-only; DataError where it is missing, cut or of another shape or type."""
    try:
        matrix = np.lib.format.open_memmap(file, mode="r")
        content = file.stat().st_size - matrix.offset
    except FileNotFoundError:
        raise DataError(f"{file} is missing", hint=REMAKE) from None
    except Exception as error:  # numpy parses the header as Python, and may raise anything at other bytes
        raise DataError(f"{file} is broken: {str(error) or type(error).__name__}", hint=REMAKE) from None
    if (matrix.shape, matrix.dtype) != (shape, DTYPE):
        raise DataError(f"{file} is broken: {matrix.dtype} {matrix.shape}, not {DTYPE} {shape}", hint=REMAKE)
    if content != matrix.nbytes:
        raise DataError(f"{file} is broken: {content} bytes of features, not {matrix.nbytes}", hint=REMAKE)
    return matrix


def write_matrix(file: Path, shape: tuple[int, int], blocks: Iterable[np.ndarray]) -> str:
    """Write blocks of rows as one new .npy file, and return its sha256."""
    header = io.BytesIO()
    about = {"shape": shape, "fortran_order": False, "descr": np.lib.format.dtype_to_descr(DTYPE)}
    np.lib.format.write_array_header_1_0(header, about)
    digest = hashlib.sha256(header.getvalue())
    with file.open("xb") as out:
        out.write(header.getvalue())
        for block in blocks:
            content = np.ascontiguousarray(block, DTYPE).data.cast("B")
            digest.update(content)
            out.write(content)
    return digest.hexdigest()


def write_index(folder: Path, obs_id: Sequence[str], width: int, rows_per_shard: int, hashes: Sequence[str]) -> None:
    """Write index.json beside shards with these hashes."""
    sizes = shard_sizes(len(obs_id), rows_per_shard)
    shards = [Shard(rows, sha256) for rows, sha256 in zip(sizes, hashes, strict=True)]
    index = Index(len(obs_id), width, "float16", rows_per_shard, fingerprint(obs_id), shards)
    write_whole(folder / INDEX, json.dumps(asdict(index), indent=1) + "\n")
