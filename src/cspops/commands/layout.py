"""Tables on the terminal: what names a row is kept, numbers stay on one line, and no word is broken where there is room."""

import math
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cspops.terminal import Output, visible

Cell = str | list[str]
"""A text, or its lines."""
GAP = 2
"""Blanks between two columns."""
LEAST_NAME, LEAST_TEXT = 36, 20
"""A longer word, of the column that names a row and of other texts, may be broken where there is no room."""
WIDE = 60
JOINED = "\u00a0"
"""A blank at which no line ends."""


@dataclass(frozen=True)
class _Column:
    """The cells of a column, the header first, each as its lines."""

    cells: list[list[str]]
    is_text: bool
    is_path: bool
    wide: int
    """Of its longest line."""
    least: int
    """The width below which it would lose something."""

    @classmethod
    def of(cls, cells: Sequence[Cell], *, is_text: bool, is_path: bool, is_name: bool) -> "_Column":
        from rich.cells import cell_len

        def split(line: str) -> list[str]:
            return [ending(line, wide=0)] if is_path else line.split(" ")

        lines = [[visible(cell)] if isinstance(cell, str) else list(map(visible, cell)) for cell in cells]
        header, *body = ([*map(cell_len, cell)] for cell in lines)
        widest = max((size for cell in body for size in cell), default=0)
        wide = max(*header, widest)
        words = [cell_len(part) for cell in (lines if is_text else lines[:1]) for line in cell for part in split(line)]
        least = max(widest, *words) if not is_text else min(max(words), LEAST_NAME if is_name else LEAST_TEXT)
        return cls(lines, is_text, is_path, wide, least)

    @property
    def header(self) -> str:
        return " ".join(self.cells[0])

    def wrapped(self, wide: int) -> Iterator[str]:
        """Yield each cell as a text at most so wide; ends of lines are its only control characters."""
        for number, lines in enumerate(self.cells):
            if self.is_path and number:
                parts = [ending(line, wide=wide) for line in lines]  # a name that is too long is folded
            else:
                parts = [part for line in lines for part in textwrap.wrap(line, wide, break_on_hyphens=False) or [""]]
            yield "\n".join(parts).replace(JOINED, " ")


def show(
    title: str, rows: Sequence[Sequence[Cell]], *, text_columns: int, paths: int | None = None, optional: Sequence[str] = ()
) -> list[str]:
    """Print a table whose first row is the header; the first ``text_columns`` columns are aligned left, the others right.

    Where it is wider than the terminal, the ``optional`` columns are left out, the first named first, then texts are wrapped
    between words. A table that is still too wide is printed in parts, each with the text columns and some of the others.

    Args:
        title: words above it.
        rows: lines of cells.
        text_columns: how many columns hold texts.
        paths: the column whose texts are cut from the left: their ends name the row.
        optional: headers of columns that may be left out.

    Returns:
        the headers of those left out.
    """
    columns = [
        _Column.of(cells, is_text=number < text_columns, is_path=number == paths, is_name=number == 0)
        for number, cells in enumerate(zip(*rows, strict=True))
    ]
    left_out = []
    for name in (one for one in optional if any(column.header == one for column in columns)):
        if _total([one.least if one.is_path else min(one.wide, WIDE) for one in columns]) > width():
            columns = [one for one in columns if one.header != name]
            left_out.append(name)
    for number, part in enumerate(_parts(columns)):
        _print("" if number else title, part)
    return left_out


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _parts(columns: list[_Column]) -> list[list[_Column]]:
    """Return the columns of each table that is printed: all in one, or what names a row and as many others as fit.

    All texts name a row, or where they leave no room the first one.
    """
    if _total([one.least for one in columns]) <= width():
        return [columns]
    texts, others = ([one for one in columns if one.is_text is kind] for kind in (True, False))
    if not others or _total([one.least for one in texts]) + GAP + max(one.least for one in others) > width():
        texts, others = columns[:1], columns[1:]
    if not others:
        return [columns]
    room = width() - _total([one.least for one in texts])
    fitting = max(1, room // (GAP + max(one.least for one in others)))
    each = math.ceil(len(others) / math.ceil(len(others) / fitting))
    return [[*texts, *others[at : at + each]] for at in range(0, len(others), each)]


def _print(title: str, columns: Sequence[_Column]) -> None:
    """Print one table: until it fits, paths are cut, then the headers of numbers wrapped, then the widest texts."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    widths = [one.wide for one in columns]
    while _total(widths) > width():
        spare = [at for at, one in enumerate(columns) if widths[at] > one.least]
        if not spare:
            break
        widths[max(spare, key=lambda at: (columns[at].is_path, not columns[at].is_text, widths[at]))] -= 1
    header, *body = zip(*(one.wrapped(wide) for one, wide in zip(columns, widths, strict=True)), strict=True)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold")
    for one, wide, name in zip(columns, widths, header, strict=True):
        table.add_column(Text(name), width=wide, justify="left" if one.is_text else "right", overflow="fold")
    for row in body:
        table.add_row(*map(Text, row))
    console = Console(width=width())
    with console.capture() as captured:
        if title:
            console.print(Text(visible(title)))
        console.print(table)
        console.print()
    Output().styled("\n".join(line.rstrip() for line in captured.get().split("\n")))


def width() -> int:
    """Return the columns of a terminal, or COLUMNS; 200 for a file or a pipe, where rich would wrap at 80."""
    import shutil

    return max(40, shutil.get_terminal_size((200, 24)).columns) if sys.stdout.isatty() or "COLUMNS" in os.environ else 200


def shortened(text: str, *, wide: int = WIDE) -> str:
    """Return the beginning of a text that is too long for a table."""
    return text if len(text) <= wide else f"{text[: wide - 3]}..."


def ending(text: str, *, wide: int = LEAST_NAME) -> str:
    """Return the end of a path that is too long for a table: as many folders as fit, at least the name of the file."""
    if len(text) <= wide or "/" not in text:
        return text
    slashes = [at for at, letter in enumerate(text) if letter == "/"]
    return "..." + text[next((at for at in slashes if len(text) - at + 3 <= wide), slashes[-1]) :]
