"""`cspops data use`: make data.dvc import your own folder."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from cspops.commands.app import data
from cspops.commands.options import JsonOption
from cspops.commands.output import print_json
from cspops.pipeline.run import read_params
from cspops.terminal import say

log = logging.getLogger(__name__)


@data.command("use", epilog="Example: cspops data use ~/photos --source folder; then cspops data check; then dvc repro")
def data_use(
    path: Annotated[Path, typer.Argument(help="A folder of images, or a table that names them.", metavar="PATH")],
    source: Annotated[Literal["folder", "table"] | None, typer.Option(help="Also set dataset.source in params.yaml.")] = None,
    label: Annotated[
        str | None,
        typer.Option(help="The table's column of labels; also sets params.yaml.", metavar="COLUMN"),
    ] = None,
    dry: Annotated[bool, typer.Option("--dry", "--dry-run", help="Print what would change, and change nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Make data.dvc import your own folder, whose images `dvc repro` then copies to data/."""
    from cspops.commands import own_images

    document = own_images.run(path, read_params(), source=source, label=label, dry=dry)
    for warning in document["warnings"]:
        log.warning(warning)
    if json:
        print_json(document)
        return
    say(f"{document['path']}: {document['files']:,} files, {document['bytes'] / 1e6:,.1f} MB, {document['images']:,} images")
    say(f"source: {document['source']}")
    did, files = ("would change", document["would_change"]) if dry else ("changed", document["changed"])
    say(f"{did}: {', '.join(files)} (was {document['was']})")
    for command in document["next"]:
        say(f"next: {command}")
    say(f"back: {document['back']}")
