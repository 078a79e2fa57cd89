"""`cspops init`: make a new project."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from cspops.commands.app import DATA, app
from cspops.commands.output import print_json
from cspops.terminal import say

log = logging.getLogger(__name__)


@app.command(rich_help_panel=DATA, epilog="Example: cspops init birds --data ~/photos; cd birds; dvc repro")
def init(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.", metavar="DIR")],
    data: Annotated[
        Path | None,
        typer.Option(help="Your folder of images, or a table of them; default: the embedded sample.", metavar="PATH"),
    ] = None,
    source: Annotated[Literal["folder", "table"] | None, typer.Option(help="How to read PATH; default: by its files.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make a new project folder that works with the installed cspops: params, graph, data.dvc, DVC and git."""
    from cspops.commands import new_project

    document = new_project.run(folder, data=data, source=source)
    for warning in document["warnings"]:
        log.warning(warning)
    if json:
        print_json(document)
        return
    say(f"{document['folder']}: a project of cspops {document['version']}")
    say(f"data: {document['data'] or 'the embedded sample, in raw/'}")
    say(f"source: {document['source']}")
    for line in document["advice"]:
        say(f"advice: {line}")
    if document["not_committed"] is not None:
        say(f"not committed: {document['not_committed']}. Experiments need a commit")
    for command in document["next"]:
        say(f"next: {command}")
