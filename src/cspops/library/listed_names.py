"""Names of classes in a file that a user writes: a text with one per line, or columns of a table."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from cspops.errors import DataError, listed, nearest
from cspops.intake.tables.columns import USUAL, recognised_column
from cspops.intake.tables.records import shortened
from cspops.intake.tables.table_files import Format, Table, open_file, table_format
from cspops.intake.tables.text_lines import read_lines
from cspops.library.labelled import ClassNames

Row = tuple[str, tuple[str, ...]]
"""Where a record of a table stands, such as `line 3`, and its cells, without blanks around them."""


def require_list(file: Path, option: str) -> None:
    """Raise a DataError where there is no such file; ``option`` names it."""
    if not file.is_file():
        raise DataError(
            f"{option} {file}: {'it is a folder' if file.is_dir() else 'there is no such file'}", hint="name a file"
        )


def names_in(file: Path, known: ClassNames) -> list[tuple[str, str]]:
    """Return the names in a file, each with where it stands, such as `line 3`; DataError where it holds none.

    A table has them in its `class_column`; any other file has one name per line, and comments from a `#` on.
    A table of one column needs no header: a first line that is a class of ``known`` is none.
    """
    require_list(file, "--classes")
    if table_format(file) is None:
        parts = list(read_lines(file, []))
        if any(part.has_nul for part in parts):
            raise DataError(f"{file} is no text", hint="one name per line, or a table with a column class")
        lines = [_without_comment(line.strip(), known) for part in parts for line in part.text]
        found = [(f"line {number}", line) for number, line in enumerate(lines, 1) if line]
    else:
        table, kind = open_file(file, key=None)
        column = class_column(table.names, file)
        headless = [("line 1", column)] if len(table.names) == 1 and known.match(column) is not None else []
        found = [*headless, *((place, cell) for place, (cell,) in rows_of(table, kind, [column]) if cell)]
    if not found:
        raise DataError(f"{file} holds no name of a class", hint="one per line, or a table with a column class")
    return found


def _without_comment(line: str, known: ClassNames) -> str:
    return line if known.match(line) is not None else re.sub(r"(^|\s)#.*", "", line).strip()


def class_column(names: Sequence[str], file: Path) -> str:
    """Return the column that names classes: `class`, a usual name of labels, or the only one; DataError where none is."""
    usual = ("class", *(name for group in USUAL["label"] for name in group))
    found = (recognised_column(name, names) for name in usual)
    column = next((name for name in found if name is not None), names[0] if len(names) == 1 else None)
    if column is None:
        raise DataError(f"{file} has no column class", hint=f"its columns are {listed(map(repr, names))}: rename one to class")
    return column


def rows_of(table: Table, kind: Format, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a table, empty cells as empty texts; DataError, with its place, for a row that cannot be read."""
    row = "line" if kind in ("delimited", "geojson lines") else "row"
    for records in table.records(columns):
        places = [f"{row} {number}" for number in records.number.to_pylist()]
        for at, (reason, _) in records.reasons.items():
            raise DataError(f"{table.file}: {places[at]}: {reason}", hint="correct it there")
        cells = (records.columns[name].cast(pa.string()).fill_null("").to_pylist() for name in columns)
        for place, *texts in zip(places, *cells, strict=True):
            yield place, tuple(text.strip() for text in texts)


def class_numbers(file: Path, names: Iterable[tuple[str, str]], known: ClassNames) -> list[int]:
    """Return the numbers of the classes that are named in a file; DataError with the nearest spelling for an unknown one."""
    places = list(names)
    numbers = [known.match(name) for _, name in places]
    unknown = [place for place, number in zip(places, numbers, strict=True) if number is None]
    if unknown:
        (where, name), others = unknown[0], len(unknown) - 1
        more = f", and {others} more of its names are unknown" if others else ""
        raise DataError(f"{file}: {where}: the model has no class {shortened(name)!r}{more}", hint=nearest_classes(name, known))
    return [number for number in numbers if number is not None]


def nearest_classes(name: str, known: ClassNames) -> str:
    """Return a hint with the classes spelled most like a name."""
    near = nearest(name, known.classes, most=3, cutoff=0.4)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else f"its classes are {listed(map(repr, known.classes))}"
