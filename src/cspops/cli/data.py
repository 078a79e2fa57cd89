"""Commands about one's own images."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cspops.cli.app import DATA, app
from cspops.cli.loudness import say, warn
from cspops.cli.surroundings import print_json, read_host, read_params, show, width

data = typer.Typer(
    help="Use your own images: point the project at them, and look at what is in them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data, name="data", rich_help_panel=DATA)


@data.command("use", epilog="Example: cspops data use ~/photos --source folder; then cspops data check; then dvc repro")
def data_use(
    path: Annotated[Path, typer.Argument(help="A folder of images, or a table that names them.", metavar="PATH")],
    source: Annotated[Literal["folder", "table"] | None, typer.Option(help="Set dataset.source in params.yaml too.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, say what would change.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make data.dvc import your own folder, whose images `dvc repro` then copies to data/."""
    from cspops.stages import data_use as stage

    document = stage.run(path, read_params(), source=source, dry_run=dry_run)
    for warning in document["warnings"]:
        warn(warning)
    if json:
        print_json(document)
        return
    print(f"{document['path']}: {document['files']:,} files, {document['bytes'] / 1e6:,.1f} MB, {document['images']:,} images")
    print(f"source: {document['source']}")
    print(f"{'would change: data.dvc' if dry_run else 'changed: ' + ', '.join(document['changed'])} (was {document['was']})")
    for command in document["next"]:
        print(f"next: {command}")
    print(f"back: {document['back']}")


@data.command("check", epilog="Example: cspops data check ~/photos --source folder --map where.png")
def data_check(
    path: Annotated[Path | None, typer.Argument(help="Default: the folder that data.dvc names.", metavar="PATH")] = None,
    source: Annotated[
        Literal["blue_marble", "folder", "table", "inat2018", "fmow"] | None, typer.Option(help="Default: dataset.source.")
    ] = None,
    map_file: Annotated[Path | None, typer.Option("--map", help="Draw the map into a PNG.", metavar="FILE")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Read a source and report what is in it, good and bad; changes nothing.

    Exit code 3 when more rows would be set aside than dataset.max_rejected allows.
    """
    from cspops.stages import data_check as stage

    found = stage.run(read_params(), read_host(), path=path, source=source, report=say)
    if map_file is not None:
        stage.draw(found, map_file)
    if json:
        print_json(found.document, ensure_ascii=False)
    else:
        from cspops.report import data_page
        from cspops.report.character_map import character_map

        document = found.document
        show(f"{document['source']}: {data_page.clean(document['path'])}", data_page.overview_rows(document), text_columns=1)
        for rows in (data_page.class_rows(document), data_page.reason_rows(document), data_page.note_rows(document)):
            if len(rows) > 1:
                show("", rows, text_columns=len(rows[0]) - 1)
        for warning in document["warnings"]:
            print(f"warning: {data_page.clean(warning, wide=1000)}")
        print("\n".join(character_map(found.lonlat, width=min(width(), 120))))
    found.refuse()
