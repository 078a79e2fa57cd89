"""A table of the paper beside ours as rows of text, which `cspops tables` shows and writes to reports/tables/."""

from collections.abc import Iterator
from typing import TypedDict

from cspops.report.machine import Numerics
from cspops.report.tables import joined, markdown


class Number(TypedDict):
    mean: float
    sd: float | None


class Ours(Number):
    """A number of ours, and the run that it comes from."""

    key: str
    code: str
    numerics: Numerics | None
    revision: str
    commit: str
    date: str


class Cell(TypedDict):
    paper: Number
    ours: Ours | None
    other_code: bool
    """Whether ours was computed by other code than that of reports/run.json."""
    other_machine: bool
    """Whether ours may differ from the numbers of that run by the machine alone."""
    other_params: bool
    """Whether ours is an earlier number, of other params or data, that no run has replaced."""
    missing: str | None
    """Why there is no number of ours with these params and data."""


class TableRow(TypedDict):
    name: str
    model: str
    cells: list[Cell]


class Difference(TypedDict):
    """The difference of two rows in a column; nulls where numbers of ours are missing, and ``why``."""

    paper: float
    difference: float | None
    low: float | None
    high: float | None
    keys: list[str] | None
    codes: list[str] | None
    verdict: str | None
    why: str | None


class Comparison(TypedDict):
    row: str
    minus: str
    cells: list[Difference]


class OfPaper(TypedDict):
    dataset: str
    spread: str


class TableDocument(TypedDict):
    """reports/tables/table_N.json."""

    table: int
    title: str
    dataset: str
    seeds: list[int]
    paper: OfPaper
    columns: list[str]
    rows: list[TableRow]
    comparisons: list[Comparison]
    notes: list[str]


MARKS = {
    "other_code": ("†", "computed by other code than that of reports/run.json"),
    "other_machine": (
        "§",
        "computed on another machine than reports/run.json, or an unknown one, and not comparable",
    ),
    "other_params": ("‡", "kept from an earlier table, of other params or data than params.yaml"),
}
"""The marks of a number, by the key of its cell, and what they say."""


def heading(document: TableDocument) -> str:
    """Return `Table 1: ...`."""
    return f"Table {document['table']}: {document['title']}"


def data_sentence(document: TableDocument) -> str:
    """Return on which data ours and the paper's numbers were measured."""
    ours, papers = document["dataset"], document["paper"]["dataset"]
    if ours.casefold() == papers.casefold():
        return f"Ours and the paper's numbers were measured on {papers}."
    return (
        f"Ours were measured on {ours}, the paper's on {papers}: the numbers are of different data, and only their "
        "orders can be compared."
    )


def number_rows(document: TableDocument) -> list[list[str]]:
    """Return a header and two rows of text per row of the table: ours and the paper's."""
    out = [["model", "", *document["columns"]]]
    for row in document["rows"]:
        out.append([row["name"], "ours", *(_ours(cell) for cell in row["cells"])])
        out.append(["", "paper", *(_number(cell["paper"]) for cell in row["cells"])])
    return out


def comparison_rows(document: TableDocument) -> list[list[str]]:
    """Return a header and, per pair of rows, our difference with its interval, the paper's, and whether its order holds."""
    out = [["difference", "", *document["columns"]]]
    for one in document["comparisons"]:
        out.append([f"{one['row']} minus {one['minus']}", "ours", *(_interval(cell) for cell in one["cells"])])
        out.append(["", "paper", *(f"{cell['paper']:+.2f}" for cell in one["cells"])])
        out.append(["", "order", *(cell["verdict"] or "-" for cell in one["cells"])])
    return out


def remarks(document: TableDocument) -> list[str]:
    """Return what else a reader must know: what is missing and why, and what other code measured."""
    return [*document["notes"], *_marked(document), *_missing(document), *_without_interval(document)]


def page(document: TableDocument) -> str:
    """Return the whole page as Markdown."""
    parts = [
        f"# {heading(document)}",
        f"{data_sentence(document)} Top-1 on the test set, per cent: ours mean (standard deviation) over "
        f"{len(document['seeds'])} seeds; the paper's spread: {document['paper']['spread']}.",
        markdown(number_rows(document), text_columns=2),
        "## Does the paper's order hold?",
        "Differences in percentage points on the same test rows, with 95 % paired bootstrap intervals. The paper's order "
        "holds where the interval lies on its side of 0, and does not where it lies on the other.",
        markdown(comparison_rows(document), text_columns=2),
        "## Remarks",
        "\n".join(f"- {remark}" for remark in remarks(document)) or "None.",
        "## Runs",
        markdown(_run_rows(document), text_columns=4),
    ]
    return joined(parts)


def _ours(cell: Cell) -> str:
    marks = "".join(mark for key, (mark, _) in MARKS.items() if cell.get(key))
    return "-" if cell["ours"] is None else _number(cell["ours"]) + marks


def _number(value: Number) -> str:
    return f"{value['mean']:.2f}" if value["sd"] is None else f"{value['mean']:.2f} ({value['sd']:.2f})"


def _interval(cell: Difference) -> str:
    if cell["difference"] is None:
        return "-"
    interval = "" if cell["low"] is None else f" [{cell['low']:+.2f}, {cell['high']:+.2f}]"
    return f"{cell['difference']:+.2f}{interval}"


def _cells(document: TableDocument) -> Iterator[tuple[str, str, Cell]]:
    for row in document["rows"]:
        for column, cell in zip(document["columns"], row["cells"], strict=True):
            yield row["name"], column, cell


def _grouped(pairs: list[tuple[str, str, str]]) -> list[str]:
    """Return `name (5 %, 10 %): reason` for each name and reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, column, reason in pairs:
        groups.setdefault((name, reason), []).append(column)
    return [f"{name} ({', '.join(columns)}): {reason}" for (name, reason), columns in groups.items()]


def _missing(document: TableDocument) -> list[str]:
    missing = [(name, column, cell["missing"]) for name, column, cell in _cells(document) if cell["missing"]]
    return [f"Missing: {line}" for line in _grouped(missing)]


def _marked(document: TableDocument) -> list[str]:
    """Return one sentence per mark that occurs."""
    out = []
    for key, (mark, meaning) in MARKS.items():
        names = dict.fromkeys(name for name, _, cell in _cells(document) if cell.get(key))
        if names:
            out.append(f"{mark} {meaning}: {', '.join(names)}")
    return out


def _without_interval(document: TableDocument) -> list[str]:
    lacking = [
        (f"{one['row']} minus {one['minus']}", column, cell["why"])
        for one in document["comparisons"]
        for column, cell in zip(document["columns"], one["cells"], strict=True)
        if cell["difference"] is not None and cell["why"]
    ]
    return [f"No interval: {line}" for line in _grouped(lacking)]


def _run_rows(document: TableDocument) -> list[list[str]]:
    rows = {
        (name, cell["ours"]["revision"], cell["ours"]["commit"], cell["ours"]["date"]): None
        for name, _, cell in _cells(document)
        if cell["ours"] is not None
    }
    return [["model", "revision", "commit", "date"], *(list(row) for row in rows)]
