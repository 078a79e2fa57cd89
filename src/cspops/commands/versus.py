"""`cspops versus`: compare predictions with another revision's."""

import logging
from collections.abc import Sequence
from typing import Annotated

import typer

from cspops.commands.app import LOOK, app
from cspops.commands.layout import show
from cspops.commands.options import JsonOption
from cspops.commands.output import print_json
from cspops.commands.runs import LISTED, PREDICTIONS, RECORD, commit_of, hits_of, read, require_repository
from cspops.data.json_files import Document
from cspops.errors import DataError

log = logging.getLogger(__name__)


@app.command(rich_help_panel=LOOK, epilog="Example: cspops versus main")
def versus(
    revision: Annotated[
        str, typer.Argument(help="A branch, tag, commit or experiment whose predictions are in DVC's cache.", metavar="REV")
    ],
    json: JsonOption = False,
) -> None:
    """Compare the workspace's predictions with another revision's, row by row, with paired bootstrap intervals.

    The tables show the test sets; --json has validation too.
    """
    from cspops.evaluation.compared_rows import differences, read_hits

    require_repository()
    if not revision:
        raise DataError("no revision is named", hint=LISTED)
    mine = read_hits(PREDICTIONS, name=str(PREDICTIONS), remake="dvc repro evaluate")
    rows = differences(mine, hits_of(revision), revision)
    if sentence := _machines(revision):
        log.warning(sentence)
    if json:
        print_json(rows)
        return
    shown = [row for row in rows if row["role"] in TESTS] or rows
    for role in dict.fromkeys((*TESTS, *(row["role"] for row in shown))):
        if of_role := [row for row in shown if row["role"] == role]:
            show(title(of_role[0], revision), table_rows(of_role), text_columns=2)
    if len(shown) < len(rows):
        log.info("validation, on which the models were chosen, is in --json")


TESTS = ("test", "spatial_test")
"""The sets that are shown, in this order."""


def title(row: Document, revision: str) -> str:
    """Return the words above the table of a row's set."""
    from cspops.report.tables import TITLES

    seeds = f"{row['seeds']} seed{'s' if row['seeds'] > 1 else ''}"
    return f"Top-1 on {TITLES[row['role']]} ({row['rows']:,} rows, {seeds}), percentage points: workspace minus {revision}"


def table_rows(rows: Sequence[Document]) -> list[list[str]]:
    """Return a header and one row per label ratio and model of a set."""
    from cspops.report.tables import short_name

    body = []
    for row in rows:
        interval = f"[{row['low']:+.2f}, {row['high']:+.2f}]"
        body.append([f"{100 * row['label_ratio']:g} %", short_name(row["model"]), f"{row['difference']:+.2f}", interval])
    return [["labels", "model", "difference", "95 % interval"], *body]


def _machines(revision: str) -> str | None:
    """Return why a difference may be that of the machines; None where it cannot be."""
    from cspops.report.machine import not_comparable
    from cspops.report.run_record import RunRecord

    commit = commit_of(revision)
    texts = [RECORD.read_bytes() if RECORD.is_file() else None, read([(commit, RECORD)])[commit, RECORD] if commit else None]
    ours, theirs = (None if record is None else record.numerics for record in map(RunRecord.read, texts))
    return not_comparable(ours, theirs, ("workspace", revision))
