"""Commands that compare results."""

from typing import Annotated, Any

import typer

from cspops.cli.app import LOOK, app
from cspops.cli.loudness import say
from cspops.cli.surroundings import print_json, read_host, read_params, show
from cspops.errors import ParamsError


@app.command(rich_help_panel=LOOK, epilog="Example: cspops versus main")
def versus(
    revision: Annotated[str, typer.Argument(help="A branch, tag, commit or experiment whose predictions are in DVC's cache.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare the workspace's predictions with another revision's, row by row, with paired bootstrap intervals."""
    from cspops import paths
    from cspops.stages import versus as stage

    rows = stage.run(paths.folder_of("evaluate") / "predictions.parquet", revision)
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


@app.command(rich_help_panel=LOOK, epilog="Example: cspops compare main --max-drop 0.5 --md >> summary.md")
def compare(
    base: Annotated[str, typer.Argument(help="A branch, tag, commit or experiment.", metavar="REV")],
    head: Annotated[str | None, typer.Argument(help="Another one; default: the workspace.", metavar="HEAD")] = None,
    max_drop: Annotated[float, typer.Option(help="Points of top-1 that may be lost.", min=0.0, max=100.0)] = 0.5,
    model: Annotated[list[str] | None, typer.Option(help="image, location, combined or calibrated; repeatable.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    md: Annotated[bool, typer.Option("--md", help="Print Markdown.")] = False,
) -> None:
    """Compare metrics and params with another revision's by what git holds; exit code 1 when accuracy really dropped.

    A drop within the spread of the seeds is called noise. Default model: combined.
    """
    from cspops.report import compare_page
    from cspops.stages import compare as stage

    if json and md:
        raise ParamsError("--json and --md are two forms of one answer", hint="cspops compare REV --json")
    document = stage.run(base, head, models=tuple(dict.fromkeys(model or ["combined"])), max_drop=max_drop)
    if json:
        print_json(document)
    elif md:
        print(compare_page.as_markdown(document), end="")
    else:
        show(
            f"Top-1, per cent: {document['head']} against {document['base']}",
            compare_page.metric_rows(document),
            text_columns=3,
        )
        if document["params"]:
            show("", compare_page.param_rows(document), text_columns=1)
        for note in document["notes"]:
            print(f"- {note}")
        print(compare_page.conclusion(document))
    if document["drops"]:
        raise typer.Exit(1)


@app.command(rich_help_panel=LOOK, epilog="Example: cspops tables 1 --queue; dvc queue start; then cspops tables 1")
def tables(
    number: Annotated[int | None, typer.Argument(help="1 to 5; without it, the tables are listed.")] = None,
    queue: Annotated[bool, typer.Option("--queue", help="Queue the runs that are missing as DVC experiments.")] = False,
    any_code: Annotated[bool, typer.Option("--any-code", help="Use runs by other sources too; they are marked.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fill a table of the paper from finished experiments, ours beside the paper's; write reports/tables/."""
    from cspops.report import paper_page
    from cspops.stages import tables as stage

    checked = read_params()
    document: Any
    if number is None:
        if queue:
            raise ParamsError("no table is named whose runs could be queued", hint="cspops tables 1 --queue")
        document = stage.listing(checked)
    elif queue:
        document = stage.queue(number, checked, any_code=any_code, say=say)
    else:
        document = stage.collect(number, checked, any_code=any_code, say=say)
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
        show(paper_page.heading(document), paper_page.number_rows(document), text_columns=2)
        show("Does the paper's order hold?", paper_page.comparison_rows(document), text_columns=2)
        print(paper_page.data_sentence(document))
        for remark in paper_page.remarks(document):
            print(f"- {remark}")


@app.command(rich_help_panel=LOOK, epilog="Example: cspops image-networks moco --also timm:resnet18,pretrained")
def image_networks(
    names: Annotated[list[str] | None, typer.Argument(help="Rows to compute; all without it.", metavar="[METHOD]...")] = None,
    also: Annotated[
        list[str] | None, typer.Option(help="A further network as it comes: timm:resnet18,pretrained.", metavar="MODEL,WEIGHTS")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(help="The first so many of `seeds` in params.yaml; 3, or all if they are fewer, without it.", metavar="N"),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Compute these rows though they are there, as after new code.")
    ] = False,
    list_rows: Annotated[bool, typer.Option("--list", help="List the rows and compute nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare image networks and their pre-training by linear probes (the paper's Img. Only); write reports/tables/.

    Reads the catalogue and the split alone. A row that is there with the same params, data and seeds is not computed again.
    """
    from cspops.report import image_networks_page as pages
    from cspops.stages import image_networks as stage

    document: Any
    if list_rows:
        document = stage.listing(read_params(), also=also or (), seeds=seeds)
    else:
        document = stage.run(read_params(), read_host(), names=names or (), also=also or (), seeds=seeds, again=again, say=say)
    if json:
        print_json(document, ensure_ascii=False)
    elif list_rows:
        show("Image networks", pages.listing_rows(document), text_columns=4)
    else:
        for role in pages.roles(document):
            show(pages.heading(role), pages.accuracy_rows(document, role), text_columns=1)
        if len(facts := pages.fact_rows(document)) > 1:
            show("", facts, text_columns=2)
        print(pages.data_sentence(document))
        for remark in pages.remarks(document):
            print(f"- {remark}")
