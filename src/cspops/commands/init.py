"""`cspops init`: make a new project."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from cspops.commands.app import DATA, app
from cspops.commands.options import JsonOption, Preset
from cspops.commands.output import print_json
from cspops.terminal import say

log = logging.getLogger(__name__)


@app.command(rich_help_panel=DATA, epilog="Example: cspops init birds --data ~/photos --label species; cd birds; dvc repro")
def init(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.", metavar="DIR")],
    data: Annotated[
        Path | None,
        typer.Option(help="Your folder of images, or a table of them; default: the embedded sample.", metavar="PATH"),
    ] = None,
    source: Annotated[Literal["folder", "table"] | None, typer.Option(help="How to read PATH; default: by its files.")] = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="The table's column of labels; default: recognised, or the names of the images' own folders.", metavar="COLUMN"
        ),
    ] = None,
    preset: Annotated[
        Preset | None,
        typer.Option(help="What the images are; default: satellite if most are TIFFs, else photos."),
    ] = None,
    dry: Annotated[bool, typer.Option("--dry", "--dry-run", help="Print what would change, and change nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Make a new project folder that works with the installed cspops: params, graph, data.dvc, DVC and git.

    With --data, params.yaml gets the values that fit such images: a published image network, and a split for few rows.
    """
    from cspops.commands import new_project

    document = new_project.run(folder, new_project.Request(data, source, label, preset), dry=dry)
    for warning in document["warnings"]:
        log.warning(warning)
    if document["later"] is not None:
        log.warning(document["later"])
    if json:
        print_json(document)
        return
    say(f"{document['folder']}: {'would be ' if dry else ''}a project of cspops {document['version']}")
    say(f"data: {document['data'] or 'the embedded sample, in raw/'}")
    say(f"source: {document['source']}")
    if document["preset"] is not None:
        say(f"preset: {document['preset']}")
    for key, value in document["set"].items():
        say(f"set: {key}: {'null' if value is None else value}")
    if document["not_committed"] is not None:
        say(f"not committed: {document['not_committed']}. Experiments need a commit")
    for command in document["next"]:
        say(f"next: {command}")
