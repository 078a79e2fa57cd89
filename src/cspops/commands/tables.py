"""`cspops tables`: a table of the paper beside ours."""

from typing import Annotated, Any

import typer

from cspops.commands.app import LOOK, app
from cspops.commands.output import print_json, show
from cspops.errors import ParamsError
from cspops.pipeline.run import read_params


@app.command(rich_help_panel=LOOK, epilog="Example: cspops tables 1 --queue; dvc queue start; then cspops tables 1")
def tables(
    number: Annotated[int | None, typer.Argument(help="1 to 5; without it, the tables are listed.")] = None,
    queue: Annotated[bool, typer.Option("--queue", help="Queue the runs that are missing as DVC experiments.")] = False,
    any_code: Annotated[bool, typer.Option("--any-code", help="Use runs by other sources too; they are marked.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fill a table of the paper from finished experiments, ours beside the paper's; write reports/tables/."""
    from cspops.commands import paper_tables, tables_page

    checked = read_params()
    document: Any
    if number is None:
        if queue:
            raise ParamsError("no table is named whose runs could be queued", hint="cspops tables 1 --queue")
        document = paper_tables.listing(checked)
    elif queue:
        document = paper_tables.queue(number, checked, any_code=any_code)
    else:
        document = paper_tables.collect(number, checked, any_code=any_code)
    if json:
        print_json(document)
    elif number is None:
        header = ["table", "title", "data of the paper", "rows x columns", "with results here"]
        body = []
        for one in document:
            rows, columns = one["rows"], one["columns"]
            counts = [f"{rows} x {columns}", f"{one['cells_with_results']} of {rows * columns}"]
            body.append([str(one["table"]), one["title"], one["dataset_of_paper"], *counts])
        show("Tables of the paper", [header, *body], text_columns=3)
    elif queue:
        for kind in ("queued", "waiting", "finished"):
            names = [one["name"] if isinstance(one, dict) else one for one in document[kind]]
            print(f"{kind}: {', '.join(names) or 'none'}")
        for row, reason in dict.fromkeys((one["row"], one["reason"]) for one in document["unavailable"]):
            print(f"not queued: {row}: {reason}")
        if document["queued"] or document["waiting"]:
            print(f"next: dvc queue start (or dvc exp run --run-all), then cspops tables {number}")
    else:
        show(tables_page.heading(document), tables_page.number_rows(document), text_columns=2)
        show("Does the paper's order hold?", tables_page.comparison_rows(document), text_columns=2)
        print(tables_page.data_sentence(document))
        for remark in tables_page.remarks(document):
            print(f"- {remark}")
