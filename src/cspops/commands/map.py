"""`cspops map`: draw where a class is likely, or the most likely class."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from cspops.commands.app import USE, app, examples
from cspops.commands.options import BoxOption, ModelOption, RatioOption, SeedOption, class_names, load_model, require_folder
from cspops.errors import DataError, ParamsError
from cspops.library.combine import PlaceCombine
from cspops.progress import Meter

log = logging.getLogger(__name__)


@app.command(
    "map",
    rich_help_panel=USE,
    epilog=examples("cspops map --all --out classes.png", "cspops map Csa --out csa.tif --box 5 40 15 48 --grid 0.05"),
)
def draw_map(
    name: Annotated[
        str | None,
        typer.Argument(help="A class, as in artifacts/download/classes.json.", metavar="CLASS", autocompletion=class_names),
    ] = None,
    all_classes: Annotated[bool, typer.Option("--all", help="The most likely class instead of one class.")] = False,
    *,
    out: Annotated[Path, typer.Option(help=".png (land, Equal Earth) or .tif (GeoTIFF, EPSG:4326).", metavar="FILE")],
    grid: Annotated[
        float | None,
        typer.Option(help="Side of a pixel of the GeoTIFF, degrees; default: 0.5, less in a small box.", min=0.001, max=90.0),
    ] = None,
    box: BoxOption = None,
    beyond: Annotated[
        float | None,
        typer.Option(
            help="Draw nothing farther than this from a labelled place (inf: draw everywhere); default: the distance within "
            "which 99 % of these places have five others, and no less than the pool's kernel.",
            metavar="KM",
            min=0.0,
        ),
    ] = None,
    combine: Annotated[
        PlaceCombine | None,
        typer.Option(help="pool: the learned model and the labelled neighbours (default); location: the learned model alone."),
    ] = None,
    model: ModelOption = Path(),
    seed: SeedOption = None,
    label_ratio: RatioOption = None,
) -> None:
    """Draw where a class is likely, P(y|x), or the most likely class, around the labelled places or in a box."""
    from cspops.library.model import NO_PLACES, NO_POOL
    from cspops.report.place_map import PlaceMap, require_suffix

    if (name is None) != all_classes:
        raise ParamsError("name one class, or --all for the most likely class", hint="cspops map --all --out map.png")
    require_suffix(out)
    require_folder(out)
    loaded = load_model(model, seed, label_ratio, images=False)
    learned = combine == "location" or (combine is None and loaded.pool is None)
    if not learned and loaded.pool is None:
        raise DataError(NO_POOL, hint="dvc repro evaluate, or --combine location")
    drawn = PlaceMap.of(loaded, name, box=box, learned=learned, beyond=beyond)
    with Meter("map", None, unit="places") as meter:
        drawn.draw(out, grid=grid, done=meter.to)
    by = "the learned model"
    if not learned:
        by += " and the labelled neighbours" if loaded.knows_places else f"; {NO_PLACES}"
    log.info(f"{out}: {drawn.what[0].lower()}{drawn.what[1:]}, by {by}")
    end = drawn.reach.end()
    if end is not None:
        log.info(f"nothing is drawn {end}; --beyond KM changes that")
