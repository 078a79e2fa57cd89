"""Coarser answers where a model is unsure: taxa above its classes, whose probability is the sum over the classes below.

A taxonomy is read from a table, class and parent or class and ranks, or from classes that are named like paths.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from cspops.errors import DataError, ParamsError, listed, nearest
from cspops.intake.tables.table_files import open_file
from cspops.library.labelled import ClassNames
from cspops.library.listed_names import Row, class_column, nearest_classes, require_list, rows_of
from cspops.shapes import Bool, Float, Int, Tensor

NONE = -1
"""Stands for no taxon."""
SLACK = 1e-9
"""What rounding may take from a sum of probabilities."""
TABLE = "a row for each taxon, with an empty parent at the top; or a column class and one for each rank, from coarse to fine"
Parents = Mapping[str, str | None]
"""The taxon above each taxon."""
Taxon = tuple[str, str]
"""A rank, or nothing where there are none, and a name; of one rank each name is one taxon."""


class Answers(NamedTuple):
    """What rows are rolled up to."""

    taxon: Int[Tensor, "n"]
    """`NONE` where no taxon above the best class is sure enough."""
    p: Float[Tensor, "n"]
    """Its probability."""
    steps: Int[Tensor, "n"]
    """How far it lies above the best class; 0 is the class itself."""


@dataclass(frozen=True)
class Taxonomy:
    """The taxa of a model's classes."""

    names: tuple[str, ...]
    chain: Int[Tensor, "q depth"]
    """The taxon of each class and those above it, upwards; then `NONE`."""

    @classmethod
    def of(cls, lineages: Sequence[Sequence[Taxon]]) -> "Taxonomy":
        """Return the taxonomy of classes by their lineages: the taxon of the class first."""
        numbers: dict[Taxon, int] = {}
        chains = [[numbers.setdefault(one, len(numbers)) for one in lineage] for lineage in lineages]
        depth = max(map(len, chains))
        return cls(
            tuple(name for _, name in numbers), torch.tensor([chain + [NONE] * (depth - len(chain)) for chain in chains])
        )

    def sums(self, p: Float[Tensor, "n q"]) -> Float[Tensor, "n t"]:
        """Return the probability of each taxon."""
        out = torch.zeros(len(p), len(self.names), dtype=p.dtype)
        for level in self.chain.T:
            there = level != NONE
            out.index_add_(1, level[there], p[:, there])
        return out

    def roll_up(self, p: Float[Tensor, "n q"], min_confidence: float) -> Answers:
        """Return the lowest taxon, from the best class upwards, whose probability is at least ``min_confidence``."""
        above = self.chain[p.nan_to_num().argmax(1)]
        sums = self.sums(p).gather(1, above.clamp(min=0)).where(above != NONE, -1.0)
        sure = sums >= min_confidence - SLACK
        steps = sure.long().argmax(1)
        taxon, share = (table.gather(1, steps[:, None])[:, 0] for table in (above, sums))
        found = sure.any(1)
        return Answers(taxon.where(found, NONE), share.where(found, torch.nan), steps.where(found, NONE))

    def holds(self, taxon: Int[Tensor, "n"], label: Int[Tensor, "n"]) -> Bool[Tensor, "n"]:
        """Return whether each class lies in the taxon, which may be `NONE`."""
        return ((self.chain[label] == taxon[:, None]) & (taxon != NONE)[:, None]).any(1)


@dataclass(frozen=True)
class RollUp:
    """A taxonomy, and how sure an answer must be."""

    taxonomy: Taxonomy
    min_confidence: float

    @classmethod
    def of(cls, classes: Sequence[str], min_confidence: float, file: Path | None) -> "RollUp":
        """Return what rolls up to ``min_confidence``, by a table or, without one, by classes that are named like paths."""
        if not 0 < min_confidence <= 1:
            raise ParamsError(f"--min-confidence {min_confidence:g} is no probability", hint="--min-confidence 0.8")
        return cls(read_taxonomy(file, classes) if file is not None else taxonomy_of_paths(classes), min_confidence)

    @property
    def facts(self) -> tuple[object, ...]:
        """All that answers depend on."""
        return self.min_confidence, self.taxonomy.names, self.taxonomy.chain.tolist()

    def __call__(self, p: Float[Tensor, "n q"]) -> Answers:
        return self.taxonomy.roll_up(p, self.min_confidence)


def taxonomy_of_paths(classes: Sequence[str]) -> Taxonomy:
    """Return the taxonomy of classes such as `Aves/Strigidae/Bubo bubo`; one without a slash has no taxon above it."""
    paths = [[part.strip() for part in name.split("/") if part.strip()] for name in classes]
    if not any(len(path) > 1 for path in paths):
        raise ParamsError(
            "--min-confidence needs --taxonomy FILE: no class is named like a path (Aves/Strigidae/Bubo bubo)",
            hint=f"a table with {TABLE}",
        )
    return Taxonomy.of(
        [
            [("", "/".join(path[:end])) for end in range(len(path), 0, -1)] or [("", name)]
            for name, path in zip(classes, paths, strict=True)
        ]
    )


def read_taxonomy(file: Path, classes: Sequence[str]) -> Taxonomy:
    """Read the taxonomy of a model's classes; DataError names file and row of what is wrong with it."""
    require_list(file, "--taxonomy")
    table, kind = open_file(file, key=None)
    names = [name for name in table.names if name]
    known = ClassNames(classes)
    parent = next((name for name in names if name.casefold() == "parent"), None)
    if len(names) < 2:
        raise DataError(f"{file} has no column parent and no ranks", hint=TABLE)
    if parent is not None:
        lineages = _by_parents(list(rows_of(table, kind, [class_column(names, file), parent])), known, file)
    else:
        lineages = _by_ranks(*_classes_first(list(rows_of(table, kind, names)), names, known, file), known, file)
    if lacking := [name for name in classes if name not in lineages]:
        raise DataError(f"{file} has no row for the class {listed(map(repr, lacking), 3)}", hint=TABLE)
    return Taxonomy.of([lineages[name] for name in classes])


def _by_parents(rows: Sequence[Row], known: ClassNames, file: Path) -> dict[str, list[Taxon]]:
    """Return the lineage of each class from rows of taxon and parent."""
    at: dict[str, str] = {}
    parents: dict[str, str | None] = {}
    for place, (child, above) in rows:
        child, parent = _spelled(child, known), _spelled(above, known) or None
        if not child:
            raise DataError(f"{file}: {place} names no class", hint=TABLE)
        if child in at and parents[child] != parent:
            raise DataError(
                f"{file}: {place}: {child!r} lies in {parent!r} here and in {parents[child]!r} in {at[child]}",
                hint="a taxon has one parent",
            )
        at.setdefault(child, place)
        parents[child] = parent
    for child, parent in parents.items():
        if parent is not None and parent not in parents:
            near = nearest(parent, parents)
            guess = f"did you mean {near[0]!r}? Else " if near else ""
            raise DataError(
                f"{file}: {at[child]}: the parent {parent!r} of {child!r} has no row of its own",
                hint=f"{guess}add the row {parent}, with its parent or none",
            )
    lineages = {name: [("", one) for one in _upwards(name, parents, at, file)] for name in parents}
    inner, classes = set(parents.values()), set(known.classes)
    for name in parents:
        if name not in inner and name not in classes:
            raise DataError(f"{file}: {at[name]}: the model has no class {name!r}", hint=nearest_classes(name, known))
    return {name: lineage for name, lineage in lineages.items() if name in classes}


def _spelled(name: str, known: ClassNames) -> str:
    """Return the class that a name means, as the model spells it, or else the name."""
    number = known.match(name) if name else None
    return name if number is None else known.classes[number]


def _upwards(name: str, parents: Parents, at: Mapping[str, str], file: Path) -> Iterator[str]:
    """Yield a taxon and those above it; DataError where they go in a circle."""
    seen: dict[str, None] = {}
    one: str | None = name
    while one is not None:
        if one in seen:
            circle = [*list(seen)[list(seen).index(one) :], one]
            raise DataError(f"{file}: {at[one]}: a circle of parents: {' in '.join(map(repr, circle))}", hint=TABLE)
        seen[one] = None
        yield one
        one = parents[one]


def _classes_first(rows: list[Row], names: list[str], known: ClassNames, file: Path) -> tuple[list[Row], list[str]]:
    """Return rows with the cell of the class first, and the names of the others, the ranks.

    The column that is called so has the classes, unless it names none and another one does: of kingdom, phylum, class ...
    species the third is a rank.
    """
    counts = [sum(known.match(cells[at]) is not None for _, cells in rows) for at in range(len(names))]
    at = counts.index(max(counts))
    named = names.index(class_column(names, file))
    if not counts[at] or counts[named]:
        at = named
    order = [at, *(other for other in range(len(names)) if other != at)]
    return [(place, tuple(cells[one] for one in order)) for place, cells in rows], [names[one] for one in order[1:]]


def _by_ranks(rows: Sequence[Row], ranks: Sequence[str], known: ClassNames, file: Path) -> dict[str, list[Taxon]]:
    """Return the lineage of each class from rows of class and ranks, which stand from coarse to fine or the other way."""
    numbers = [known.match(cells[0]) for _, cells in rows]
    for number, (place, cells) in zip(numbers, rows, strict=True):
        if number is None:
            what = f"the model has no class {cells[0]!r}" if cells[0] else "the cell of the class is empty"
            raise DataError(f"{file}: {place}: {what}", hint=nearest_classes(cells[0], known))
    names = [known.classes[number] for number in numbers if number is not None]
    try:
        return _nested(names, rows, file, ranks, range(len(ranks)))
    except DataError as error:
        try:
            return _nested(names, rows, file, ranks, range(len(ranks))[::-1])
        except DataError:
            raise error from None


def _nested(
    names: Sequence[str], rows: Sequence[Row], file: Path, ranks: Sequence[str], order: range
) -> dict[str, list[Taxon]]:
    """Return lineages with the ranks in an order from coarse to fine; DataError where a taxon lies in two."""
    lies_in: dict[Taxon, tuple[str, str]] = {}
    out: dict[str, list[Taxon]] = {}
    for name, (place, cells) in zip(names, rows, strict=True):
        path = [(ranks[at], cells[1 + at]) for at in order if cells[1 + at] and cells[1 + at] != name]
        above = ""
        for rank, value in [*path, ("class", name)]:
            before, where = lies_in.setdefault((rank, value), (above, place))
            if before != above:
                raise DataError(
                    f"{file}: {place}: {rank} {value!r} lies in {above!r} here and in {before!r} in {where}",
                    hint="a taxon lies in one other; keep the columns of ranks alone, from coarse to fine",
                )
            above = value
        out[name] = [("class", name), *path[::-1]]
    return out
