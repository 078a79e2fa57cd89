"""`cspops compare`: metrics and params of two revisions, for a terminal and as Markdown for a pull request."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cspops.commands import runs
from cspops.commands.app import LOOK, app
from cspops.commands.layout import ending, show
from cspops.commands.options import JsonOption
from cspops.commands.output import print_json
from cspops.data.json_files import Document
from cspops.errors import ParamsError
from cspops.terminal import say


@app.command(rich_help_panel=LOOK, epilog="Example: cspops compare main --max-drop 0.5 --md >> summary.md")
def compare(
    base: Annotated[str, typer.Argument(help="A branch, tag, commit or experiment.", metavar="REV")],
    head: Annotated[str | None, typer.Argument(help="Another revision; default: the workspace.", metavar="OTHER")] = None,
    max_drop: Annotated[
        float, typer.Option(help="Percentage points of top-1 that may be lost.", metavar="POINTS", min=0.0, max=100.0)
    ] = 0.5,
    model: Annotated[
        list[str] | None,
        typer.Option(help="image, location, product or pool; repeatable; default: product, pool.", metavar="MODEL"),
    ] = None,
    json: JsonOption = False,
    md: Annotated[bool, typer.Option("--md", help="Print Markdown.")] = False,
) -> None:
    """Compare metrics and params with those of another revision; the exit code is 1 when accuracy has dropped.

    A loss of more than --max-drop is a drop when it is larger than the spread of the seeds. With fewer than three seeds in
    either run the spread is not known well enough, and every such loss is a drop.
    """
    from cspops.report.compared_runs import as_markdown, conclusion, metric_rows, param_rows

    if json and md:
        raise ParamsError("--json and --md exclude each other", hint="cspops compare REV --json")
    document = compared_runs(base, head, models=tuple(dict.fromkeys(model or ["product", "pool"])), max_drop=max_drop)
    if json:
        print_json(document)
    elif md:
        say(*as_markdown(document).splitlines())
    else:
        header, *body = metric_rows(document)
        for name in dict.fromkeys(row[0] for row in body):
            title = f"Top-1 on {name}, per cent: {document['head']} against {document['base']}"
            show(title, [_narrow(row) for row in (header, *body) if row is header or row[0] == name], text_columns=2)
        if document["params"]:
            show("", param_rows(document), text_columns=3)
        for note in document["notes"]:
            say(f"- {note}")
        say(conclusion(document))
        say("Intervals over seeds alone; `cspops versus REV` pairs the rows and is sharper.")
    if document["drops"]:
        raise typer.Exit(1)


def _narrow(row: list[str]) -> list[str]:
    """Return a row of a set without its name, the interval beside the difference, of revisions the ends of their names."""
    _, labels, model, base, head, difference, interval, verdict = row
    return [labels, model, ending(base, wide=16), ending(head, wide=16), f"{difference} {interval}".rstrip(), verdict]


def compared_runs(base: str, head: str | None, *, models: Sequence[str], max_drop: float) -> Document:
    """Compare ``head`` (None: the workspace) with ``base``; raise a DataError for one that is unknown or holds no metrics."""
    from cspops.report.compared_runs import Side, compared
    from cspops.report.tables import FUSION, MODELS, short_name

    known = {short_name(model): model for model in (*MODELS, FUSION)}
    if unknown := [one for one in models if one not in known]:
        raise ParamsError(f"there is no model {unknown[0]!r}", hint=f"models: {', '.join(known)}")
    runs.require_repository()
    theirs, ours = Side.of(base, *_files(base)), Side.of("workspace" if head is None else head, *_files(head))
    return compared(ours, theirs, models=[known[one] for one in models], max_drop=max_drop)


def _files(name: str | None) -> list[bytes | None]:
    """Return params.yaml, run.json and scores.json of a revision, or of the workspace."""
    files = (Path("params.yaml"), runs.RECORD, runs.SCORES)
    if name is None:
        return [file.read_bytes() if file.is_file() else None for file in files]
    commit = runs.require_commit(name)
    texts = runs.read([(commit, file) for file in files])
    return [texts[commit, file] for file in files]
