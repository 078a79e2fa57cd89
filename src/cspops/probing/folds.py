"""Folds for cross-validation: rows at random, or whole blocks of the map with a buffer around them.

Each row is tested once. Rows at the same position share a fold, of either kind, or the same place would be learned and tested.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from cspops.errors import DataError
from cspops.geo import blocks, near_blocks
from cspops.seeds import numpy_stream
from cspops.shapes import Bool, Float, Int, Tensor

FOLDS, INNER, DEGREES, BUFFER_KM, FOLD_SEED = 5, 3, 10.0, 100.0, 0
"""What the command takes where it is told nothing, and the report."""
LEAST_TRAINING = 10
"""Rows that must be left to train on, in the inner folds too."""


@dataclass(frozen=True)
class Part:
    """The numbers of the rows that train and of those that are tested."""

    train: Int[Tensor, "a"]
    test: Int[Tensor, "b"]


@dataclass(frozen=True)
class Nested:
    """An outer fold, and the inner folds of its training rows, which choose settings; all number the target's rows."""

    outer: Part
    inner: tuple[Part, ...]


@dataclass(frozen=True)
class Scheme:
    """How rows are divided.

    Attributes:
        name: `random` or `blocks`.
        folds: of the outer division.
        inner: folds of each outer training part.
        degrees: side of the blocks.
        buffer_km: rows nearer than that to a tested block, by great circle, are not trained on.
    """

    name: Literal["random", "blocks"]
    folds: int
    inner: int
    degrees: float
    buffer_km: float

    @property
    def title(self) -> str:
        """Return what a table is called by."""
        if self.name == "random":
            return "random folds"
        return f"blocks of {self.degrees:g} degrees with a buffer of {self.buffer_km:g} km"

    def nested(self, lonlat: Float[Tensor, "n 2"], *, seed: int) -> list[Nested]:
        """Return the outer folds, each with inner ones of the same kind; DataError where there are too few rows or blocks."""
        out = []
        for number, part in enumerate(self._parts(lonlat, self.folds, (seed, "outer"))):
            within = self._parts(lonlat[part.train], self.inner, (seed, "inner", number))
            inner = tuple(Part(part.train[one.train], part.train[one.test]) for one in within)
            out.append(Nested(part, inner))
        return out

    def _parts(self, lonlat: Float[Tensor, "n 2"], k: int, purpose: tuple[str | int, ...]) -> list[Part]:
        seed, *words = purpose
        unit = self._units(lonlat)
        if len(np.unique(unit)) < k:
            raise self._too_few("blocks" if self.name == "blocks" else "rows at different positions", len(lonlat))
        fold = _balanced(unit, k, numpy_stream(int(seed), "probe", self.name, *words))
        return [self._part(lonlat, fold == number) for number in range(k)]

    def _units(self, lonlat: Float[Tensor, "n 2"]) -> Int[np.ndarray, "n"]:
        """Return the number of what stays together: a block, or a position."""
        if self.name == "blocks":
            return np.unique(blocks(lonlat, self.degrees).numpy(), return_inverse=True)[1]
        return np.unique(lonlat.numpy(), axis=0, return_inverse=True)[1].reshape(-1)

    def _part(self, lonlat: Float[Tensor, "n 2"], tested: Bool[np.ndarray, "n"]) -> Part:
        test = torch.from_numpy(tested)
        train = ~test
        if self.name == "blocks":
            cells = blocks(lonlat[test], self.degrees).unique()
            train &= ~near_blocks(lonlat, cells, self.degrees, km=self.buffer_km)
        if int(train.sum()) < LEAST_TRAINING:
            raise self._too_few("rows to train on", len(lonlat))
        return Part(train.nonzero()[:, 0], test.nonzero()[:, 0])

    def _too_few(self, what: str, n: int) -> DataError:
        of = f"{self.folds} folds"
        hint = "fewer --folds, or more rows"
        if self.name == "blocks":
            of += f" of {self.title}"
            hint = "a smaller --block-degrees and --buffer-km; --block-degrees 0 leaves the blocks out"
        return DataError(f"too few {what} among {n:,} rows for {of} and {self.inner} inside each", hint=hint)


def _balanced(unit: Int[np.ndarray, "n"], k: int, stream: np.random.Generator) -> Int[np.ndarray, "n"]:
    """Return the fold of each row: the largest units first, equals in random order, each to the fold with the fewest rows."""
    sizes = np.bincount(unit)
    order = stream.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    rows, fold = np.zeros(k, dtype=np.int64), np.empty(len(sizes), dtype=np.int64)
    for one in order.tolist():
        fold[one] = at = int(rows.argmin())
        rows[at] += sizes[one]
    of_row: np.ndarray = fold[unit]
    return of_row
