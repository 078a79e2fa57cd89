"""`cspops locate`: where a photo was taken, by what GAIR learned of overhead images."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cspops.commands.app import USE, app, examples
from cspops.commands.layout import show
from cspops.commands.options import JsonOption, require_folder, table_names
from cspops.commands.output import print_json
from cspops.errors import ParamsError
from cspops.pipeline.run import read_host
from cspops.progress import Meter
from cspops.terminal import lines_of_stdin

if TYPE_CHECKING:
    from cspops.library.locating import Found

log = logging.getLogger(__name__)

MOST_ROWS = 200
"""Most rows of the table on the terminal."""


@app.command(
    rich_help_panel=USE,
    epilog=examples(
        "cspops locate photo.jpg --within 5,45,10,48",
        "cspops locate photo.jpg --within 5,45,10,48 --out map.png",
        "cspops locate photos/ --within 8.4,47.3,8.7,47.5 --overhead city.tif --out places.csv",
    ),
)
def locate(
    photos: Annotated[list[str], typer.Argument(help="Photos, folders, tables, or - for paths on stdin.", metavar="PHOTO...")],
    within: Annotated[
        str,
        typer.Option(
            help="Where to look, degrees; west above east: across the antimeridian.", metavar="W,S,E,N", show_default=False
        ),
    ],
    overhead: Annotated[
        Path | None,
        typer.Option(
            help="GeoTIFF of that part of the Earth, like the overhead images of the training; default: the embedded Blue "
            "Marble, for a model that was trained on it.",
            metavar="RASTER.tif",
        ),
    ] = None,
    model: Annotated[Path, typer.Option(help="A project that GAIR was run in, or its artifacts.", metavar="FOLDER")] = Path(),
    step: Annotated[
        float | None,
        typer.Option(
            help="Distance between places, of which there may be a million; default: half a cell of the overhead network's "
            "map, more in a large box.",
            metavar="KM",
            min=0.001,
        ),
    ] = None,
    top: Annotated[int, typer.Option(help="Number of places to print per photo.", metavar="K", min=1, max=1000)] = 5,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write: .csv (the places), or of one photo .png (a map) or .tif (all scores, EPSG:4326).",
            metavar="FILE",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Rank the places of a box for photos, by a model that GAIR trained (docs/gair.md).

    The score of a place is the cosine of the photo's embedding and the feature of the overhead image there; by_place is that
    with the location embedding alone. The places that are listed lie at least a quarter of an overhead image apart. When a
    photo cannot be read, all others are located, and the exit code is 1.
    """
    from cspops.library import locating
    from cspops.library.cells import parsed_box
    from cspops.library.inputs import read_inputs
    from cspops.report.score_map import ScoreMap, require_suffix

    box = parsed_box(within)
    if out is not None:
        require_suffix(out)
        require_folder(out)
    run = locating.run_of_gair(model)
    search = locating.Search.of(run, box, overhead=overhead, step=step, device=read_host().torch_device())
    inputs = list(read_inputs(photos, stdin=lines_of_stdin(), position=None, tables=table_names(model)))
    is_map = out is not None and out.suffix.lower() != ".csv"
    if is_map and len(inputs) != 1:
        raise ParamsError(f"{out}: a map is of one photo, and {len(inputs)} are named", hint="--out places.csv has all")
    cells = search.cells
    with Meter("locate", cells.rows * cells.columns, unit="places") as meter:
        found, scores = locating.locate(search, inputs, top=top, done=meter.to)
    log.info(f"{cells.rows * cells.columns:,} places, {cells.rows} rows x {cells.columns} columns")
    if out is not None and is_map:
        ScoreMap(found[0], cells, scores[0].numpy()).draw(out)
    elif out is not None:
        locating.write_csv(found, out)
    if out is not None:
        log.info(f"{out}: the {'scores of all places' if is_map else 'best places'}")
    if json:
        print_json({"within": list(box), "photos": [one.as_dict() for one in found]}, ensure_ascii=False)
    elif out is None or is_map:
        header, *body = locating.table(found)
        show("", [header, *body[:MOST_ROWS]], text_columns=1, paths=0)
        if len(body) > MOST_ROWS:
            log.info(f"and {len(body) - MOST_ROWS:,} more rows: --out places.csv writes all")
    _tell(found, cells.rows * cells.columns)


def _tell(found: "list[Found]", places: int) -> None:
    """Say how far the photos' own positions are from the best places, and which photos could not be read."""
    for one in found[:MOST_ROWS]:
        if one.own is not None:
            rank = "it lies outside the box" if one.better is None else f"{one.better:,} of {places:,} places score higher"
            lon, lat = one.own
            log.info(f"{one.photo}: its own position {lon:.4f} {lat:.4f} is {one.own_km} km from the best place; {rank}")
    lost = [one for one in found if one.error is not None]
    for one in lost[:MOST_ROWS]:
        log.warning(f"{one.photo}: {one.error}")
    if lost:
        raise typer.Exit(1)
