"""The column of a table that holds the labels, asked for where none is known."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cspops.errors import listed
from cspops.library.named_tables import MOST_NAMES


@dataclass(frozen=True)
class Question:
    """Which column holds the labels."""

    text: str
    option: str
    """`--label` with the column where only one is of unknown meaning, else with a word in its place."""


def question(table: Path, columns: Mapping[str, str | None]) -> Question | None:
    """Return what to ask about a table of images; None where the label is known, or every column is something else."""
    from cspops.intake.tables.columns import pick_columns
    from cspops.intake.tables.table_files import open_file

    names, has_geometry = (opened := open_file(table, key=None)[0]).names, opened.has_geometry
    picked = pick_columns(names, columns, table=table.name, key=None, has_geometry=has_geometry, remarks=[], needs_image=False)
    unknown = [name for name in names if name not in picked.values()]
    if "label" in picked or not unknown:
        return None
    option = f"--label {shlex.quote(unknown[0]) if len(unknown) == 1 else 'COLUMN'}"
    return Question(f"{table.name} has the columns {listed(names, MOST_NAMES)}: which one holds the labels? {option}", option)
