"""`cspops tables`: set the paper's tables beside ours, and queue the experiments that they lack."""

import json as json_text
import logging
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cspops.commands import runs
from cspops.commands.app import LOOK, app, examples
from cspops.commands.layout import show
from cspops.commands.options import JsonOption
from cspops.commands.output import print_json
from cspops.data.json_files import Document
from cspops.errors import CspopsError, DataError, ParamsError
from cspops.pipeline.run import read_params
from cspops.terminal import say

if TYPE_CHECKING:
    from cspops.evaluation.compared_rows import HitsByRoleAndRatio
    from cspops.report.paper_page import Measure, TableDocument
    from cspops.report.paper_table import PaperTable

log = logging.getLogger(__name__)

FOLDER = Path("reports/tables")
FIGURE = Path("reports/figures/gain.png")
PARAMS = Path("params.yaml")
ENTRY = re.compile(r"([0-9a-f]{7,40})\s+(\S+)\s.*\b(?:Queued|Running)\s*")
"""A line of `dvc queue status`: commit and name of an experiment that waits or runs."""


EXAMPLES = examples("cspops tables 1 --queue", "dvc exp run --run-all", "cspops tables 1 --write")


@app.command(rich_help_panel=LOOK, epilog=EXAMPLES)
def tables(
    number: Annotated[int | None, typer.Argument(help="1 to 7; default: list the tables.", metavar="NUMBER")] = None,
    queue: Annotated[bool, typer.Option("--queue", help="Queue the missing runs as DVC experiments.")] = False,
    any_code: Annotated[bool, typer.Option("--any-code", help="Also use runs of other code, and mark them.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the table to reports/tables/ as Markdown and JSON.")] = False,
    json: JsonOption = False,
) -> None:
    """Print a table of the paper with the results of your experiments beside the paper's numbers."""
    if queue and write:
        raise ParamsError("--queue and --write exclude each other", hint="--write once the queued runs are finished")
    if number is None:
        if queue or write:
            option = "--queue" if queue else "--write"
            raise ParamsError(f"{option} needs the number of a table", hint=f"cspops tables 1 {option}")
        print_json(listing()) if json else _show_listing(listing())
        return
    if queue:
        document = queued(number, any_code=any_code)
        print_json(document) if json else _show_queued(document)
    else:
        table = filled(number, any_code=any_code, write=write)
        print_json(table) if json else _show_filled(table)


def listing() -> list[Document]:
    """Return one entry per table: what it is, and how many of its cells have a number of ours."""
    from cspops.report.paper import TABLES

    entries = []
    for ours in _tables(*TABLES):
        table = ours.table
        cells = [ours.fill(cell, any_code=False).cell for cell in ours.cells()]
        entries.append(
            {"table": table.number, "title": table.title, "dataset_of_paper": table.dataset_of_paper, "rows": len(table.rows)}
            | {"columns": len(table.columns), "cells_with_results": sum(cell["missing"] is None for cell in cells)}
        )
    return entries


def filled(number: int, *, any_code: bool, write: bool) -> "TableDocument":
    """Return a table from finished runs and from reports/tables/; with ``write`` write it there as JSON and Markdown."""
    from cspops.files import write_whole
    from cspops.report.paper_page import page

    (table,) = _tables(number)
    _warn(table)
    document = table.document(cache(_hits), any_code=any_code)
    if write:
        write_whole(FOLDER / f"table_{number}.json", json_text.dumps(document, indent=1) + "\n")
        write_whole(FOLDER / f"table_{number}.md", page(document))
        if number in (1, 6):
            _draw_gain()
    return document


def _draw_gain() -> None:
    """Draw reports/figures/gain.png, where Tables 1 and 6 are both written with both measures."""
    from cspops.report.gain_figure import draw_gain, gains

    files = [FOLDER / f"table_{number}.json" for number in (1, 6)]
    if not all(file.is_file() for file in files):
        return
    of_labels, of_images = (gains(json_text.loads(file.read_text(encoding="utf-8"))) for file in files)
    if of_labels and of_images:
        draw_gain(of_labels, of_images, FIGURE)
        log.info(f"{FIGURE}: gain of pre-training")


def queued(number: int, *, any_code: bool) -> Document:
    """Queue an experiment for each run that a table lacks; return those queued, waiting, finished and impossible."""
    from cspops.params import value_at

    (table,) = _tables(number)
    if runs.differs_from_head(PARAMS):
        raise ParamsError(
            "params.yaml differs from HEAD: the queued runs would belong to no commit",
            hint="git commit params.yaml, or git restore params.yaml",
        )
    _warn(table)
    if files := runs.untracked_sources():
        log.info(f"note: queued runs will lack {', '.join(files)}, which git does not know: git add -N brings them in")
    waiting = [match.groups() for match in map(ENTRY.fullmatch, _dvc("queue", "status").splitlines()) if match]
    coming = _records(table, [commit for commit, _ in waiting])
    taken = {name for _, name in waiting} | {name for _, name, _ in runs.revisions()}
    document: Document = {"table": number, "queued": [], "waiting": [], "finished": [], "unavailable": []}
    new = set()
    # Rows that report the image alone come last: any other row's run brings their number.
    for cell in sorted(table.cells(), key=lambda cell: cell.row.model == "image"):
        run_name, ours = table.run_name(cell), table.fill(cell, any_code=any_code).cell
        if cell.impossible is not None:
            document["unavailable"].append({"row": cell.row.name, "column": cell.column.title, "reason": cell.impossible})
        elif ours["missing"] is None and (any_code or not ours["other_code"]):
            document["finished"].append(run_name)
        elif any(table.made_by(record, cell) for record in coming):
            document["waiting"].append(run_name)
        else:
            free = (f"{run_name}-{n}" for n in count(2) if f"{run_name}-{n}" not in taken)
            name = next(free) if run_name in taken else run_name
            changed = {path: value for path, value in cell.overrides if value_at(table.params, path) != value}
            settings = [f"{path}={_as_override(value)}" for path, value in changed.items()]
            _dvc("exp", "run", "--queue", "-n", name, *(part for one in settings for part in ("-S", one)))
            log.info(f"queued {name}: {', '.join(settings) or 'params.yaml as it is'}")
            taken.add(name)
            new.add(run_name)
            coming.append(table.last.with_params(cell.params))
            document["queued"].append({"name": name, "params": changed})
    document["waiting"] = [name for name in dict.fromkeys(document["waiting"]) if name not in new]
    document["finished"] = list(dict.fromkeys(document["finished"]))
    return document


def _show_listing(entries: list[Document]) -> None:
    body = []
    for one in entries:
        numbers = f"{one['cells_with_results']} of {one['rows'] * one['columns']}"
        body.append([str(one["table"]), one["title"], one["dataset_of_paper"], numbers])
    show("Tables of the paper", [["table", "title", "paper's data", "ours"], *body], text_columns=3)


def _show_filled(document: "TableDocument") -> None:
    from cspops.report import paper_page as pages

    show(pages.heading(document), _with_numbers(pages.number_rows(document)), text_columns=2)
    for measure in pages.MEASURES:
        words = pages.MEASURE_WORDS[measure]
        title = f"Does the paper's order hold, {words}?" if document["paper"]["dataset"] else f"Differences {words}"
        if len(rows := comparison_rows(document, measure)) > 1:
            show(title, rows, text_columns=2)
    pair, parts = pages.f_star_parts(document)
    if parts:
        say(f"From one image network F* to another, {pair} by the pool moves by so many points (last: the first F*):")
        say(*(f"  {part}" for part in parts))
    say(pages.data_sentence(document))
    for remark in pages.remarks(document):
        say(f"- {remark}")


def _with_numbers(rows: list[list[str]]) -> list[list[str]]:
    """Return the rows and columns that hold a number; all where none does. The first two columns name a row."""
    header, *body = rows
    columns = [at for at in range(2, len(header)) if any(row[at] != "-" for row in body)]
    kept, name = [[header[at] for at in (0, 1, *columns)]], ""
    for row in body:
        name = row[0] or name
        if any(row[at] != "-" for at in columns):
            kept.append([name, *(row[at] for at in (1, *columns))])
            name = ""
    return kept if len(kept) > 1 else rows


def comparison_rows(document: "TableDocument", measure: "Measure") -> list[list[str]]:
    """Return a header and, for each difference that we have, a row: our difference, its interval, the paper's and its order.

    As columns, as the page has them, the intervals are too wide for a terminal.
    """
    has_paper = bool(document["paper"]["dataset"])
    rows = [["difference", "at", "ours", "95 % interval", *(("paper", "order") if has_paper else ())]]
    for one in document["comparisons"]:
        name = f"{one['row']} minus {one['minus']}"
        for column, cell in zip(document["columns"], one["cells"], strict=True):
            if one["measure"] != measure or cell["difference"] is None:
                continue
            interval = "-" if cell["low"] is None else f"[{cell['low']:+.2f}, {cell['high']:+.2f}]"
            papers = ["-" if cell["paper"] is None else f"{cell['paper']:+.2f}", cell["verdict"] or "-"] if has_paper else []
            rows.append([name, column, f"{cell['difference']:+.2f}", interval, *papers])
            name = ""
    return rows


def _show_queued(document: Mapping[str, Any]) -> None:
    for kind in ("queued", "waiting", "finished"):
        names = [one["name"] if isinstance(one, dict) else one for one in document[kind]]
        say(f"{kind}: {', '.join(names) or 'none'}")
    for row, reason in dict.fromkeys((one["row"], one["reason"]) for one in document["unavailable"]):
        say(f"not queued: {row}: {reason}")
    if document["queued"] or document["waiting"]:
        say(f"next: dvc exp run --run-all, then cspops tables {document['table']} --write")


def _tables(*numbers: int) -> "list[PaperTable]":
    """Return these tables with the runs that git knows and the contents of reports/tables/, here and in HEAD."""
    from cspops.report.paper import TABLES
    from cspops.report.paper_table import Kept, PaperTable
    from cspops.report.run_record import RunRecord

    if unknown := [number for number in numbers if number not in TABLES]:
        raise ParamsError(f"there is no table {unknown[0]}", hint=f"tables: {', '.join(map(str, TABLES))}")
    runs.require_repository()
    params = read_params()
    if not runs.RECORD.is_file():
        raise DataError(f"{runs.RECORD} is missing: no run was made that others could be compared with", hint="dvc repro")
    last = RunRecord.read(runs.RECORD.read_bytes())
    if last is None:
        raise DataError(f"{runs.RECORD} is broken or was written by another cspops", hint="dvc repro -f report")
    known = runs.runs()
    out = []
    for number in numbers:
        file = FOLDER / f"table_{number}.json"
        texts = [file.read_bytes() if file.is_file() else None, runs.read([("HEAD", file)])["HEAD", file]]
        out.append(PaperTable(TABLES[number], params, last, known, Kept.of(texts)))
    return out


def _warn(table: "PaperTable") -> None:
    """Log what makes the workspace a wrong measure for other runs."""
    from cspops.pipeline import code

    if differ := runs.differs_from_head(PARAMS, runs.RECORD, runs.SCORES):
        log.info(f"note: {', '.join(differ)} differ from HEAD; a run that is not committed does not count")
    here = code.package()
    if changed := [stage for stage, digest in table.last.code.items() if here.digest(stage) != digest]:
        log.info(
            f"note: the code of {', '.join(changed)} is not that of {runs.RECORD}, which other runs must match: dvc repro first"
        )
    if table.last.with_params(table.params).params["download"] != table.last.params["download"]:
        log.info(f"note: the data of {runs.RECORD}, which other runs must match, are not those of params.yaml: dvc repro first")


def _hits(commit: str) -> "HitsByRoleAndRatio | None":
    try:
        return runs.hits_of(commit)
    except DataError:
        return None


def _records(table: "PaperTable", commits: list[str]) -> list[Any]:
    """Return what the queued runs of these commits will record, as far as their params.yaml can be read."""
    from cspops.params import parse

    out = []
    for text in runs.read((commit, PARAMS) for commit in commits).values():
        try:
            out.append(table.last.with_params(parse((text or b"").decode(), PARAMS)))
        except (ParamsError, UnicodeDecodeError):
            continue
    return out


def _as_override(value: Any) -> str:
    """Return a value as `dvc exp run -S` reads it."""
    if value is None:
        return "null"
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def _dvc(*arguments: str) -> str:
    """Run DVC and return its output; raise a CspopsError with its last line when it fails."""
    command = [sys.executable, "-m", "dvc", *arguments]
    environment = os.environ | {"COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False, env=environment)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or [f"exit code {done.returncode}"]
        raise CspopsError(f"dvc {' '.join(arguments[:2])} failed: {errors[-1]}", hint="dvc queue status")
    return done.stdout
