"""The column of a table that holds the labels: refused where it is none, asked for where none is known."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cspops.errors import DataError, nearest

MOST_NAMES = 12


@dataclass(frozen=True)
class Question:
    """Which column holds the labels."""

    text: str
    option: str
    """`--label` with the column where only one is of unknown meaning, else with a word in its place."""


def require(table: Path, label: str) -> None:
    """Raise a DataError where the table has no such column."""
    from cspops.intake.tables.table_files import open_file

    names = open_file(table, key=None)[0].names
    if label not in names:
        near = nearest(label, names)
        guess = f"; the nearest is {near[0]!r}" if near else ""
        hint = f"--label with one of its columns: {_listed(map(repr, names))}"
        raise DataError(f"{table.name} has no column {label!r}{guess}", hint=hint)


def question(table: Path, columns: Mapping[str, str | None]) -> Question | None:
    """Return what to ask about a table of images; None where the label is known, or every column is something else."""
    from cspops.intake.tables.columns import pick_columns
    from cspops.intake.tables.table_files import open_file

    names, has_geometry = (opened := open_file(table, key=None)[0]).names, opened.has_geometry
    picked = pick_columns(names, columns, table=table.name, key=None, has_geometry=has_geometry, remarks=[])
    unknown = [name for name in names if name not in picked.values()]
    if "label" in picked or not unknown:
        return None
    option = f"--label {shlex.quote(unknown[0]) if len(unknown) == 1 else 'COLUMN'}"
    return Question(f"{table.name} has the columns {_listed(names)}: which one holds the labels? {option}", option)


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:MOST_NAMES]) + (f" and {len(every) - MOST_NAMES} more" if len(every) > MOST_NAMES else "")
