"""`cspops versus`: compare predictions with another revision's."""

from typing import Annotated

import typer

from cspops.commands.app import LOOK, app
from cspops.commands.output import print_json, show
from cspops.commands.runs import PREDICTIONS, hits_of, require_repository
from cspops.errors import DataError


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
