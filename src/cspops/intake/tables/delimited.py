r"""Tables as text: fields between commas, semicolons, tabs or bars, in quotation marks where they need them.

The delimiter is the one that cuts the header into most fields; of equals, the one that cuts most of the next hundred
lines into as many; then the first of `DELIMITERS`. A first line `sep=;`, as Excel writes it, decides.

A record that spans lines and has too many or too few fields is no record but a quotation mark that nobody closed: its
first line is given up and reading goes on with the next. In tables with tabs, which mostly know no quotation marks
(GBIF), such a line is read as it stands.
"""

import csv
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from cspops.errors import DataError
from cspops.intake.tables.records import Records, shortened
from cspops.intake.tables.text_lines import read_lines

if TYPE_CHECKING:
    import _csv


DELIMITERS = (",", ";", "\t", "|")

MOST_LINES = 10_000
"""A record of more lines is taken for a quotation mark that is never closed."""

MORE = "the row has more fields than the header"
FEWER = "the row has fewer fields than the header"
NUL = "the row holds NUL bytes"
UNCLOSED = "a quotation mark opens a field and is never closed"
TOO_LONG = f"a field is longer than {csv.field_size_limit()} characters"
EMPTY_REST = "more fields than the header, all empty"
STRAY = "stray quotation marks, read as they stand"


class _Parsed(NamedTuple):
    rows: list[list[str]]
    at: list[int] | range
    """The line that each row begins at, counted from 0 in the block."""
    reasons: dict[int, tuple[str, str]]
    notes: dict[int, str]
    used: int
    """Lines that are done with; a record that begins in the others goes on in the next block."""


class Delimited:
    """A table, see `table_files.Table`. DataError for an empty file and for a header with a name twice."""

    has_geometry = False

    def __init__(self, file: Path) -> None:
        self.file = file
        self.remarks: list[str] = []
        head = next(read_lines(file, [])).text
        blank = next((i for i, line in enumerate(head) if line.strip().strip("\0")), None)
        if blank is None:
            raise DataError(f"{file.name} is empty", hint="save the table again, with a header and its rows")
        start_line = head[blank].rstrip("\r\n")
        if start_line.lower().startswith("sep=") and len(start_line) == 5 and start_line[4] not in '" \0':
            self.delimiter, blank = start_line[4], blank + 1
        else:
            self.delimiter = sniff(head[blank : blank + 101])
        reader = csv.reader(head[blank:], delimiter=self.delimiter, skipinitialspace=True)
        try:
            self.names = [name.strip() for name in next(reader, [])]
        except csv.Error:
            raise DataError(f"{file.name}: no header of a table: {TOO_LONG}") from None
        self.header_lines = blank + reader.line_num
        twice = sorted({name for name in self.names if name and self.names.count(name) > 1})
        if twice:
            raise DataError(f"{file.name}: the header has the column {twice[0]!r} more than once", hint="rename one of them")

    def records(self, wanted: Collection[str]) -> Iterator[Records]:
        """Yield all rows; blank lines and lines of delimiters are skipped."""
        places = {name: self.names.index(name) for name in wanted}
        rest: list[str] = []
        done, first = 0, True
        only_delimiters = 0
        for block in read_lines(self.file, self.remarks):
            lines = rest + block.text
            if first:
                lines, done, first = lines[self.header_lines :], self.header_lines, False
            parsed = self._parse(lines, last=block.last)
            rows, at, reasons, notes, used = parsed
            if block.last and rows and not lines[-1].endswith(("\n", "\r")) and (len(rows) - 1) in reasons:
                reason, detail = reasons[len(rows) - 1]
                reasons[len(rows) - 1] = (reason, f"{detail}; the file ends in it and may be cut off")
            if block.has_nul:
                for i in [i for i, row in enumerate(rows) if any("\0" in field for field in row)]:
                    reasons[i] = (NUL, shortened(self.delimiter.join(rows[i]).replace("\0", "")))
                    rows[i] = [""] * len(self.names)
            filled = np.fromiter(map(any, rows), bool, len(rows))
            filled[list(reasons)] = True
            if not filled.all():
                only_delimiters += sum(len(rows[i]) > 1 for i in np.flatnonzero(~filled))
                keep = np.flatnonzero(filled)
                new = dict(zip(keep.tolist(), range(len(keep)), strict=True))
                rows, at = [rows[i] for i in keep], [at[i] for i in keep]
                reasons = {new[i]: why for i, why in reasons.items()}
                notes = {new[i]: note for i, note in notes.items() if i in new}
            if rows:
                columns = {name: pa.array([row[place] for row in rows], pa.string()) for name, place in places.items()}
                yield Records(pa.array(np.array(at, np.int64) + done + 1), columns, None, reasons, notes)
            done, rest = done + used, lines[used:]
        if only_delimiters:
            self.remarks.append(f"{self.file.name}: {only_delimiters} lines hold delimiters only and are skipped")

    def _parse(self, lines: list[str], *, last: bool) -> _Parsed:
        reader = self._reader(lines, 0)
        try:
            rows = list(reader)
        except csv.Error:
            rows = []
        if len(rows) == len(lines):
            parsed = _Parsed(rows, range(len(rows)), {}, {}, len(rows))
        else:
            parsed = self._parse_one_by_one(lines, last=last)
        self._check_widths(parsed, lines)
        return parsed

    def _parse_one_by_one(self, lines: list[str], *, last: bool) -> _Parsed:
        """Parse lines where records span several or quotation marks are out of order."""
        rows: list[list[str]] = []
        at: list[int] = []
        reasons: dict[int, tuple[str, str]] = {}
        notes: dict[int, str] = {}
        start, base = 0, 0
        reader = self._reader(lines, base)
        while start < len(lines):
            row, cut_off = None, False
            try:
                row = next(reader)
            except csv.Error as error:
                cut_off = "unexpected end" in str(error)
            end = base + reader.line_num
            spans = end - start > 1
            if row is None and cut_off and not last and end == len(lines) and end - start < MOST_LINES:
                break
            if row is None or (spans and (len(row) != len(self.names) or self._are_rows(lines[start:end]))):
                row, reason, note = self._alone(lines[start])
                if reason:
                    reasons[len(rows)] = (reason, shortened(lines[start]))
                if note:
                    notes[len(rows)] = note
                base = end = start + 1
                reader = self._reader(lines, base)
            rows.append(row)
            at.append(start)
            start = end
        return _Parsed(rows, at, reasons, notes, start)

    def _are_rows(self, lines: list[str]) -> bool:
        """Return whether in a table with tabs each line is a row when quotation marks mean nothing."""
        return self.delimiter == "\t" and all(line.count("\t") + 1 == len(self.names) for line in lines)

    def _alone(self, line: str) -> tuple[list[str], str | None, str | None]:
        """Return fields, reason and note of a line whose quotation marks are out of order."""
        width = len(self.names)
        line = line.rstrip("\r\n") + "\n"
        try:
            plain = next(csv.reader([line], delimiter=self.delimiter, quoting=csv.QUOTE_NONE))
            loose = next(csv.reader([line], delimiter=self.delimiter, skipinitialspace=True))
        except csv.Error:
            return [""] * width, TOO_LONG, None
        if self.delimiter == "\t" and len(plain) == width:
            return plain, None, STRAY
        if len(loose) == width and not loose[-1].endswith("\n"):
            return loose, None, STRAY
        return [""] * width, UNCLOSED, None

    def _check_widths(self, parsed: _Parsed, lines: list[str]) -> None:
        """Bring every row to the header's width, with a reason where it had another."""
        rows, width = parsed.rows, len(self.names)
        widths = np.fromiter(map(len, rows), np.int64, len(rows))
        for i in np.flatnonzero(widths != width).tolist():
            row = rows[i]
            if self.delimiter == "\t" and '"' in lines[parsed.at[i]]:
                plain, _, note = self._alone(lines[parsed.at[i]])
                if note:
                    rows[i], parsed.notes[i] = plain, note
                    continue
            if len(row) <= 1 and not "".join(row).strip():
                rows[i] = []
            elif len(row) > width and not any(row[width:]):
                parsed.notes[i] = EMPTY_REST
                rows[i] = row[:width]
            else:
                parsed.reasons[i] = (MORE if len(row) > width else FEWER, f"{len(row)} fields, the header has {width}")
                rows[i] = (row + [""] * width)[:width]

    def _reader(self, lines: list[str], start: int) -> "_csv.Reader":
        rest = map(lines.__getitem__, range(start, len(lines))) if start else iter(lines)
        return csv.reader(rest, delimiter=self.delimiter, skipinitialspace=True, strict=True)


def sniff(lines: list[str]) -> str:
    """Find the delimiter of a table by its header and the lines below, at least one line."""

    def fields(lines: list[str], delimiter: str) -> int:
        try:
            return len(next(csv.reader(lines, delimiter=delimiter, skipinitialspace=True), []))
        except csv.Error:
            return 0

    quotes = np.cumsum([line.count('"') for line in lines])
    header = lines[: int((quotes % 2 == 0).argmax()) + 1]  # up to where every quotation mark has its second

    def fit(delimiter: str) -> tuple[int, int, int]:
        width = fields(header, delimiter)
        alike = sum(fields([line], delimiter) == width for line in lines[len(header) :])
        return width, alike, -DELIMITERS.index(delimiter)

    return max(DELIMITERS, key=fit)
