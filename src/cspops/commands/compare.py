"""`cspops compare`: metrics and params of two revisions, for a terminal and as Markdown for a pull request."""

from typing import Annotated

import typer

from cspops.commands.app import LOOK, app
from cspops.commands.output import print_json, show
from cspops.data.json_files import Document
from cspops.errors import ParamsError
from cspops.report.tables import TITLES, as_code, markdown, ratio_title


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
    from cspops.commands import compared_runs

    if json and md:
        raise ParamsError("--json and --md are two forms of one answer", hint="cspops compare REV --json")
    document = compared_runs.run(base, head, models=tuple(dict.fromkeys(model or ["combined"])), max_drop=max_drop)
    if json:
        print_json(document)
    elif md:
        print(as_markdown(document), end="")
    else:
        show(
            f"Top-1, per cent: {document['head']} against {document['base']}",
            metric_rows(document),
            text_columns=3,
        )
        if document["params"]:
            show("", param_rows(document), text_columns=1)
        for note in document["notes"]:
            print(f"- {note}")
        print(conclusion(document))
    if document["drops"]:
        raise typer.Exit(1)


def metric_rows(document: Document) -> list[list[str]]:
    """Header and one row a role, label ratio and model."""
    rows = [["set", "labels", "model", document["base"], document["head"], "difference", "interval", "verdict"]]
    for row in document["rows"]:
        interval = "" if row["low"] is None else f"{row['low']:+.2f} to {row['high']:+.2f}"
        rows.append(
            [
                TITLES.get(row["role"], row["role"]),
                ratio_title(row["label_ratio"]),
                row["model"],
                f"{row['base']:.2f} ({row['base_sd']:.2f})",
                f"{row['head']:.2f} ({row['head_sd']:.2f})",
                f"{row['difference']:+.2f}",
                interval,
                row["verdict"],
            ]
        )
    return rows


def param_rows(document: Document) -> list[list[str]]:
    """Header and one row a key of params.yaml that differs."""
    rows = [["params.yaml", document["base"], document["head"]]]
    for one in document["params"]:
        rows.append([one["key"], *("-" if one[side] is None else str(one[side]) for side in ("base", "head"))])
    return rows


def conclusion(document: Document) -> str:
    """One sentence."""
    allowed = f"more than {document['max_drop']:g} points"
    if not document["drops"]:
        return (
            f"No accuracy of {document['head']} has dropped by {allowed} against {document['base']} beyond the spread of seeds."
        )
    count = f"{document['drops']} of {len(document['rows'])}"
    return f"{count} accuracies of {document['head']} have dropped by {allowed} against {document['base']}."


def as_markdown(document: Document) -> str:
    """The whole as Markdown."""
    parts = [
        f"### {as_code(document['head'])} against {as_code(document['base'])}",
        conclusion(document),
        "Top-1, per cent: mean (sd) over seeds. Intervals of the differences, in points, hold for all rows at once.",
        markdown(metric_rows(document), text_columns=3),
    ]
    if document["params"]:
        parts.append(markdown(param_rows(document), text_columns=1))
    parts += [f"- {note}" for note in document["notes"]]
    return "\n\n".join(parts) + "\n"
