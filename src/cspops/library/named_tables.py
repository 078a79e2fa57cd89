"""Tables that a command names: what their columns are called, and which one is about the images of a folder."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cspops.errors import DataError, ParamsError, listed, nearest
from cspops.intake.tables.columns import USUAL
from cspops.params import load
from cspops.params.sections import Folder, Table

MOST_NAMES = 12
"""Most columns of a table that a message lists."""


@dataclass(frozen=True)
class TableNames:
    """How a project reads tables, and the column of labels that is asked for instead of its own."""

    file: Path | None = None
    """The project's params.yaml, read when there is a table."""
    label: str | None = None

    @cached_property
    def settings(self) -> Folder | Table | None:
        """Those of the project's source. A column of these that a table lacks is recognised by its usual names.

        None where there is no project, or where its source has columns of its own.
        """
        if self.file is None or not self.file.is_file():
            return None
        dataset = load(self.file).dataset
        settings = getattr(dataset, dataset.source)
        return settings if isinstance(settings, Folder | Table) else None

    def columns_of(self, table: Path) -> dict[str, str | None]:
        """Return the names of a table's columns by kind; raise a DataError where it lacks the one that is asked for."""
        from cspops.intake.tables.table_files import open_file

        columns: dict[str, str | None] = dict.fromkeys(USUAL)
        if self.settings is not None:
            names = open_file(table, key=None)[0].names
            columns |= {kind: name for kind, name in self.settings.columns.model_dump().items() if name in names}
        if self.label is not None:
            require_column(table, self.label)
            columns["label"] = self.label
        return columns

    def table_of(self, folder: Path) -> str | None:
        """Return the table that the images of a folder are labelled by; None: by their own folders.

        Raise a DataError where a column is asked for and no table, or more than one, could have it.
        """
        from cspops.intake.tables.table_files import table_format

        own = None
        if isinstance(self.settings, Table):
            own = self.settings.file
        elif isinstance(self.settings, Folder) and self.settings.label == "column":
            own = self.settings.sidecar
        if own is not None and (folder / own).is_file():
            return own
        if self.label is None and not isinstance(self.settings, Table):
            return None
        tables = sorted(file.name for file in folder.iterdir() if table_format(file) not in (None, "vector"))
        if self.label is not None and len(tables) != 1:
            has = f"{len(tables)} tables: {listed(tables)}" if tables else "no table at its top level"
            raise DataError(f"--label {self.label} is a column, and {folder} holds {has}", hint="name the table itself")
        return tables[0] if len(tables) == 1 else None


ANY_TABLE = TableNames()
"""Columns are recognised by their usual names."""


def require_column(table: Path, label: str) -> None:
    """Raise a ParamsError where the table has no such column."""
    from cspops.intake.tables.table_files import open_file

    names = open_file(table, key=None)[0].names
    if label not in names:
        near = nearest(label, names)
        guess = f"; the nearest is {near[0]!r}" if near else ""
        hint = f"--label with one of its columns: {listed(map(repr, names), MOST_NAMES)}"
        raise ParamsError(f"{table.name} has no column {label!r}{guess}", hint=hint)
