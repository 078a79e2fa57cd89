"""Commands that make a project of one's own, and keep it in step with the installed package."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cspops.cli.app import DATA, app
from cspops.cli.loudness import warn
from cspops.cli.surroundings import print_json


@app.command(rich_help_panel=DATA, epilog="Example: cspops init birds --data ~/photos; cd birds; dvc repro")
def init(
    folder: Annotated[Path, typer.Argument(help="Made where it is missing, else empty.", metavar="DIR")],
    data: Annotated[
        Path | None,
        typer.Option(help="Your folder of images, or a table of them; default: the sample.", metavar="PATH"),
    ] = None,
    source: Annotated[Literal["folder", "table"] | None, typer.Option(help="How to read PATH; default: what it holds.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make a new project folder that works with the installed cspops: params, graph, data.dvc, DVC and git."""
    from cspops.stages import init as stage

    document = stage.run(folder, data=data, source=source)
    for warning in document["warnings"]:
        warn(warning)
    if json:
        print_json(document)
        return
    print(f"{document['folder']}: a project of cspops {document['version']}")
    print(f"data: {document['data'] or 'the embedded sample, in raw/'}")
    print(f"source: {document['source']}")
    for line in document["advice"]:
        print(f"advice: {line}")
    if document["not_committed"] is not None:
        print(f"not committed: {document['not_committed']}. Experiments need a commit")
    for command in document["next"]:
        print(f"next: {command}")


@app.command(rich_help_panel=DATA, epilog="Example: pip install -U cspops; cspops upgrade; dvc repro")
def upgrade(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, say what would change.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make a project of `cspops init` follow the cspops that is installed now; `dvc repro` then runs what is other code."""
    from cspops.stages import upgrade as stage

    document = stage.run(dry_run=dry_run)
    for warning in document["warnings"]:
        warn(warning)
    if json:
        print_json(document)
        return
    print(f"cspops {document['was']} -> {document['now']}")
    files = ", ".join(document["would_change"]) or "nothing"
    print(f"{'would change' if dry_run else 'changed'}: {files}")
    print(f"stages by other code: {', '.join(document['stages']) or 'none'}")
    if document["stages"]:
        print(f"next: {'cspops upgrade, then ' if dry_run else ''}dvc repro")
