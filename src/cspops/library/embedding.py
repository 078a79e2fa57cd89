"""Location embeddings of places, of the rows of a table or of a grid over the world, written into a file."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from cspops.errors import DataError, ParamsError
from cspops.files import whole
from cspops.library.embedding_files import NpyWriter, NpzWriter, ParquetWriter, StoredPlaces
from cspops.library.inputs import NO_POSITION
from cspops.library.model import Model
from cspops.library.places import Grid, Points

SUFFIXES = (".parquet", ".npz", ".npy")
EXCHANGED = "are the columns lon and lat, in degrees, exchanged?"


def require_suffix(out: Path) -> None:
    """Raise a ParamsError unless ``out`` has one of `SUFFIXES`."""
    if out.suffix.lower() not in SUFFIXES:
        raise ParamsError(f"{out}: embeddings are written as {', '.join(SUFFIXES)}", hint="--out embeddings.parquet")


@dataclass
class Outcome:
    """What was written."""

    count: int = 0
    """Rows, those without an embedding included."""
    problems: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Why rows have no position: how many, and the first of them."""

    @property
    def lost(self) -> int:
        """How many rows have no embedding."""
        return sum(rows for rows, _ in self.problems.values())

    dated: int = 0
    """Rows with a date."""
    misdated: int = 0
    """Rows with a date that is not used."""
    first_misdated: str = ""

    def add(self, points: Points) -> None:
        """Count some rows."""
        self.count += len(points.where)
        self.dated += int((~np.isnan(points.shares())).sum())
        for row, fault in enumerate(points.date_problem or ()):
            if fault is not None:
                self.misdated += 1
                self.first_misdated = self.first_misdated or f"{points.where[row]}: {fault}"
        for row in np.flatnonzero(np.isnan(points.lonlat[:, 0])).tolist():
            why = points.problem[row] or NO_POSITION
            rows, first = self.problems.get(why, (0, points.where[row]))
            self.problems[why] = rows + 1, first

    def require_embeddings(self) -> None:
        """Raise a DataError where there is none."""
        if not self.count:
            raise DataError("there is no place to embed", hint="name a table with a row for each place")
        if self.lost == self.count:
            why, (_, first) = next(iter(self.problems.items()))
            raise DataError(f"no row has a position that can be used; the first, {first}: {why}", hint=EXCHANGED)


def embed(
    model: Model,
    points: Iterator[Points],
    out: Path,
    *,
    grid: Grid | None = None,
    step: Callable[[int], object] = lambda rows: None,
) -> Outcome:
    """Write the embeddings of all points to ``out``, whole or not at all, and return what became of them.

    The memory that this takes does not depend on how many there are.

    Args:
        points: consumed.
        out: `.parquet`; `.npz`, which holds no names of places; or `.npy`, which holds no positions either.
        grid: what the points are of, if of one.
        step: is told how many more rows are written.
    """
    require_suffix(out)
    outcome = Outcome()
    start = next(points, None)
    dated = start is not None and start.when is not None
    points = points if start is None else chain([start], points)
    with whole(out) as new:
        counted = _counted(points, outcome)
        suffix, dim = out.suffix.lower(), model.encoder.dim
        writer: ParquetWriter | NpyWriter | NpzWriter
        if suffix == ".parquet":
            writer = ParquetWriter(new, dim, grid, dated=dated)
        elif suffix == ".npy":
            writer = NpyWriter(new, dim, grid)
        else:
            stored = grid or StoredPlaces.of(counted, new.with_name("positions"), dated=dated)
            counted = stored.points() if isinstance(stored, StoredPlaces) else counted
            writer = NpzWriter(new, dim, stored, dated=dated)
        with closing(writer):
            for part in counted:
                when = None if part.when is None else torch.from_numpy(part.when)
                writer.add(part, model.encode_location(torch.from_numpy(part.lonlat), when).numpy())
                step(len(part.lonlat))
        outcome.require_embeddings()
    return outcome


def _counted(points: Iterator[Points], outcome: Outcome) -> Iterator[Points]:
    for part in points:
        outcome.add(part)
        yield part
