"""A table of the paper beside ours as rows of text, which `cspops tables` shows and writes to reports/tables/."""

import re
from collections.abc import Iterator
from typing import Literal, TypedDict, get_args

from cspops.report.machine import Numerics
from cspops.report.tables import joined, markdown

Measure = Literal["combined", "pool"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
"""How image and location are put together: the paper's product, or the pool of experts."""
MEASURE_WORDS: dict[Measure, str] = {
    "combined": "by the paper's product, P(y|I) P(y|x)",
    "pool": "by the pool of image, learned location and labelled neighbours, weighted on validation",
}


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
    paper: Number | None
    """None where the paper has no such column, or model."""
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

    paper: float | None
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
    measure: Measure
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


ORDER = " The paper's order holds where the interval lies on its side of 0, and does not where it lies on the other."
MARKS = {
    "other_code": ("†", "computed by other code than that of reports/run.json"),
    "other_machine": (
        "§",
        "computed on another machine than reports/run.json, or an unknown one, and not comparable",
    ),
    "other_params": ("‡", "kept from an earlier table, of other params or data than params.yaml"),
}
"""The marks of a number, by the key of its cell, and what they say."""


F_STAR = re.compile(r", F\* \d+$")
"""The end of the name of a row that is another one with another image network."""


def heading(document: TableDocument) -> str:
    """Return `Table 1: ...`."""
    return f"Table {document['table']}: {document['title']}"


def data_sentence(document: TableDocument) -> str:
    """Return on which data ours and the paper's numbers were measured."""
    ours, papers = document["dataset"], document["paper"]["dataset"]
    if not papers:
        return f"Ours were measured on {ours}; the paper has no such table."
    if ours.casefold() == papers.casefold():
        return f"Ours and the paper's numbers were measured on {papers}."
    return (
        f"Ours were measured on {ours}, the paper's on {papers}: the numbers are of different data, and only their "
        "orders can be compared."
    )


def number_rows(document: TableDocument) -> list[list[str]]:
    """Return a header and, per row of the table, ours by the paper's product, ours by the pool, and the paper's numbers."""
    by_pool = {row["name"]: row for row in document["rows"] if row["model"] == "pool"}
    spread = len(document["seeds"]) > 1
    out = [["model", "", *document["columns"]]]
    for row in document["rows"]:
        if row["model"] == "pool":
            continue
        out.append([row["name"], "ours", *(_ours(cell, spread) for cell in row["cells"])])
        if row["name"] in by_pool:
            out.append(["", "ours, pool", *(_ours(cell, spread) for cell in by_pool[row["name"]]["cells"])])
        if any(cell["paper"] for cell in row["cells"]):
            out.append(["", "paper", *("-" if cell["paper"] is None else _number(cell["paper"]) for cell in row["cells"])])
    return out


def comparison_rows(document: TableDocument, measure: Measure) -> list[list[str]]:
    """Return a header and, per pair of rows, our difference with its interval, the paper's, and whether its order holds."""
    out = [["difference", "", *document["columns"]]]
    for one in document["comparisons"]:
        if one["measure"] != measure:
            continue
        out.append([f"{one['row']} minus {one['minus']}", "ours", *(interval_text(cell) for cell in one["cells"])])
        if all(cell["paper"] is None for cell in one["cells"]):
            continue
        out.append(["", "paper", *("-" if cell["paper"] is None else f"{cell['paper']:+.2f}" for cell in one["cells"])])
        out.append(["", "order", *(cell["verdict"] or "-" for cell in one["cells"])])
    return out


def f_star_sentence(document: TableDocument) -> str | None:
    """Return `f_star_parts` as one sentence."""
    pair, parts = f_star_parts(document)
    if not parts:
        return None
    return (
        f"From one image network F* to another, {pair} by the pool moves by so many points (beside the difference of the first "
        f"and its interval over test rows and seeds): {'; '.join(parts)}."
    )


def f_star_parts(document: TableDocument) -> tuple[str, list[str]]:
    """Return how far a difference by the pool moves from one image network to another: the two rows, and words per column.

    There are none where only one network was run.

    Marked numbers do not count: they differ by more than the image network.
    """
    by_pool = {row["name"]: row["cells"] for row in document["rows"] if row["model"] == "pool"}
    by_pair: dict[tuple[str, str], list[Comparison]] = {}
    for one in document["comparisons"]:
        if one["measure"] == "pool" and {one["row"], one["minus"]} <= by_pool.keys():
            by_pair.setdefault((F_STAR.sub("", one["row"]), F_STAR.sub("", one["minus"])), []).append(one)
    for (row, minus), repeats in by_pair.items():
        parts = []
        for at, column in enumerate(document["columns"]):
            cells = [
                one["cells"][at]
                for one in repeats
                if not any(by_pool[one[of]][at].get(mark) for of in ("row", "minus") for mark in MARKS)
            ]
            gaps = [cell["difference"] for cell in cells if cell["difference"] is not None]
            if len(gaps) > 1:
                first = next(interval_text(cell) for cell in cells if cell["difference"] is not None)
                parts.append(
                    f"{column}: {max(gaps) - min(gaps):.2f} ({len(gaps)} F*, {min(gaps):+.2f} to {max(gaps):+.2f}; {first})"
                )
        if parts:
            return f"{row} minus {minus}", parts
    return "", []


def remarks(document: TableDocument) -> list[str]:
    """Return what else a reader must know: what is missing and why, and what other code measured."""
    return [*document["notes"], *_marked(document), *_missing(document), *_without_interval(document)]


def page(document: TableDocument) -> str:
    """Return the whole page as Markdown."""
    seeds = len(document["seeds"])
    over = f"ours mean (standard deviation) over {seeds} seeds" if seeds > 1 else "ours of one seed"
    parts = [
        f"# {heading(document)}",
        f"{data_sentence(document)} Top-1 on the test set, per cent: {over}{_paper_spread(document)}.",
        markdown(number_rows(document), text_columns=2),
        "## Does the paper's order hold?" if document["paper"]["dataset"] else "## Differences",
        "Differences in percentage points on the same test rows, with 95 % paired bootstrap intervals."
        + (ORDER if document["paper"]["dataset"] else ""),
        *(
            part
            for measure in MEASURES
            for part in (
                f"{_capital(MEASURE_WORDS[measure])}:",
                markdown(comparison_rows(document, measure), text_columns=2),
            )
        ),
        *filter(None, [f_star_sentence(document)]),
        "## Remarks",
        "\n".join(f"- {remark}" for remark in remarks(document)) or "None.",
        "## Runs",
        markdown(_run_rows(document), text_columns=4),
    ]
    return joined(parts)


def _paper_spread(document: TableDocument) -> str:
    return f"; the paper's spread: {document['paper']['spread']}" if document["paper"]["dataset"] else ""


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _ours(cell: Cell, spread: bool) -> str:
    """Return a number with its marks; without ``spread``, as of one seed, only the mean."""
    if cell["ours"] is None:
        return "-"
    marks = "".join(mark for key, (mark, _) in MARKS.items() if cell.get(key))
    return _number({"mean": cell["ours"]["mean"], "sd": cell["ours"]["sd"] if spread else None}) + marks


def _number(value: Number) -> str:
    return f"{value['mean']:.2f}" if value["sd"] is None else f"{value['mean']:.2f} ({value['sd']:.2f})"


def interval_text(cell: Difference) -> str:
    """Return a difference with its interval, as far as there is one."""
    if cell["difference"] is None:
        return "-"
    interval = "" if cell["low"] is None else f" [{cell['low']:+.2f}, {cell['high']:+.2f}]"
    return f"{cell['difference']:+.2f}{interval}"


def _cells(document: TableDocument) -> Iterator[tuple[str, str, Cell]]:
    """Yield row, column and cell; of the pool, whose numbers are of the same runs, what the product has and it lacks."""
    missing = {
        (row["name"], column)
        for row in document["rows"]
        for column, cell in zip(document["columns"], row["cells"], strict=True)
        if row["model"] != "pool" and cell["missing"]
    }
    for row in document["rows"]:
        for column, cell in zip(document["columns"], row["cells"], strict=True):
            if row["model"] != "pool":
                yield row["name"], column, cell
            elif cell["missing"] and (row["name"], column) not in missing:
                yield f"{row['name']} by the pool", column, cell


def _grouped(pairs: list[tuple[str, str, str]]) -> list[str]:
    """Return `name (5 %, 10 %): reason` for each name and reason, and names that share both in one line."""
    columns: dict[tuple[str, str], list[str]] = {}
    for name, column, reason in pairs:
        columns.setdefault((name, reason), []).append(column)
    names: dict[tuple[str, str], list[str]] = {}
    between = "; " if any(", " in column for _, column, _ in pairs) else ", "
    for (name, reason), its_own in columns.items():
        names.setdefault((between.join(its_own), reason), []).append(name)
    return [f"{'; '.join(those)} ({shared}): {reason}" for (shared, reason), those in names.items()]


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
    """Return the differences without an interval; of the pool those alone whose reason is not that of the product."""
    lacking: dict[tuple[str, str], str] = {}
    of_pool = []
    for one in document["comparisons"]:
        name = f"{one['row']} minus {one['minus']}"
        for column, cell in zip(document["columns"], one["cells"], strict=True):
            if cell["difference"] is None or not cell["why"]:
                continue
            if one["measure"] == "combined":
                lacking[name, column] = cell["why"]
            elif lacking.get((name, column)) != cell["why"]:
                of_pool.append((f"{name}, by the pool", column, cell["why"]))
    pairs = [*((name, column, why) for (name, column), why in lacking.items()), *of_pool]
    return [f"No interval: {line}" for line in _grouped(pairs)]


def _run_rows(document: TableDocument) -> list[list[str]]:
    rows = {
        (name, cell["ours"]["revision"], cell["ours"]["commit"], cell["ours"]["date"]): None
        for name, _, cell in _cells(document)
        if cell["ours"] is not None
    }
    return [["model", "revision", "commit", "date"], *(list(row) for row in rows)]
