"""`cspops map`: draw where a class is likely."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from cspops.commands.app import USE, app
from cspops.commands.options import ModelOption, RatioOption, SeedOption, class_names, load_model, require_folder
from cspops.errors import DataError
from cspops.library.combine import PlaceCombine
from cspops.progress import Meter

log = logging.getLogger(__name__)


@app.command(
    "map",
    rich_help_panel=USE,
    epilog="Example: cspops map Csa --out csa.png; cspops map Csa --out csa.tif --box 5 40 15 48 --grid 0.05",
)
def map_class(
    name: Annotated[
        str, typer.Argument(help="A class, as in artifacts/download/classes.json.", metavar="CLASS", autocompletion=class_names)
    ],
    out: Annotated[Path, typer.Option(help=".png (land, Equal Earth) or .tif (GeoTIFF, EPSG:4326).", metavar="FILE")],
    grid: Annotated[float, typer.Option(help="Side of a pixel of the GeoTIFF, degrees.", min=0.01, max=90.0)] = 0.5,
    box: Annotated[tuple[float, float, float, float], typer.Option(help="West south east north, degrees.")] = (
        -180.0,
        -90.0,
        180.0,
        90.0,
    ),
    combine: Annotated[
        PlaceCombine | None,
        typer.Option(help="pool: the learned model and the labelled neighbours (default); location: the learned model alone."),
    ] = None,
    model: ModelOption = Path(),
    seed: SeedOption = None,
    label_ratio: RatioOption = None,
) -> None:
    """Draw P(y|x) of a class over the world or a box: by the learned model and, where it was evaluated, labelled neighbours."""
    from cspops.library.model import NO_PLACES, NO_POOL
    from cspops.report import place_map

    require_folder(out)
    loaded = load_model(model, seed, label_ratio)
    learned = combine == "location" or (combine is None and loaded.pool is None)
    if not learned and loaded.pool is None:
        raise DataError(NO_POOL, hint="dvc repro evaluate, or --combine location")
    with Meter("map", None, unit="places") as meter:
        class_name = place_map.map_of_class(loaded, name, out, grid=grid, box=box, learned=learned, step=meter.step)
    by = "the learned model"
    if not learned:
        by += " and the labelled neighbours" if loaded.knows_places else f"; {NO_PLACES}"
    log.info(f"{out}: where {class_name} is likely, by {by}")
