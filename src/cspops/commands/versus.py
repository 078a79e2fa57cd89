"""`cspops versus`: compare predictions with another revision's."""

import logging
from typing import Annotated

import typer

from cspops.commands.app import LOOK, app
from cspops.commands.output import print_json, show
from cspops.commands.runs import PREDICTIONS, RECORD, commit_of, hits_of, read, require_repository
from cspops.errors import DataError

log = logging.getLogger(__name__)


@app.command(rich_help_panel=LOOK, epilog="Example: cspops versus main")
def versus(
    revision: Annotated[
        str, typer.Argument(help="A branch, tag, commit or experiment, its predictions in DVC's cache.", metavar="REV")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare the workspace's predictions with another revision's, row by row, with paired bootstrap intervals."""
    from cspops.evaluation.compared_rows import COLUMNS, differences, hits_in
    from cspops.evaluation.predictions import predictions_table

    require_repository()
    if not revision:
        raise DataError("no revision is named", hint="dvc exp show and git branch list revisions")
    mine = predictions_table(PREDICTIONS, COLUMNS, name=str(PREDICTIONS), remake="dvc repro evaluate")
    rows = differences(hits_in(mine), hits_of(revision), revision)
    if sentence := _machines(revision):
        log.warning(sentence)
    if json:
        print_json(rows)
        return
    header = ["role", "labels", "model", "difference", "low", "high"]
    body = []
    for row in rows:
        numbers = [f"{row[key]:+.2f}" for key in header[3:]]
        body.append([row["role"], f"{100 * row['label_ratio']:g} %", row["model"], *numbers])
    title = f"Top-1, workspace minus {revision}, percentage points, 95 % paired bootstrap"
    show(title, [header, *body], text_columns=3)


def _machines(revision: str) -> str | None:
    """Return why a difference may be that of the machines; None where it cannot be."""
    from cspops.report.machine import not_comparable
    from cspops.report.run_record import RunRecord

    commit = commit_of(revision)
    texts = [RECORD.read_bytes() if RECORD.is_file() else None, read([(commit, RECORD)])[commit, RECORD] if commit else None]
    ours, theirs = (None if record is None else record.numerics for record in map(RunRecord.read, texts))
    return not_comparable(ours, theirs, ("workspace", revision))
