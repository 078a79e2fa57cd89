"""`cspops embed`: write location embeddings into a file."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from cspops.commands.app import USE, app
from cspops.commands.options import (
    LatOption,
    LonOption,
    ModelOption,
    RatioOption,
    SeedOption,
    load_model,
    position,
    require_folder,
)
from cspops.errors import ParamsError
from cspops.progress import Meter

log = logging.getLogger(__name__)


@app.command(
    rich_help_panel=USE,
    epilog="Example: cspops embed --lon 8.54 --lat 47.37 --out zurich.npy; cspops embed --grid 1 --out world.npy",
)
def embed(
    table: Annotated[
        Path | None, typer.Argument(help="A table with columns for longitude and latitude.", metavar="TABLE")
    ] = None,
    lon: LonOption = None,
    lat: LatOption = None,
    grid: Annotated[float | None, typer.Option(help="Side of a grid's cells, degrees.", min=0.01, max=180.0)] = None,
    box: Annotated[tuple[float, float, float, float], typer.Option(help="Box of the grid: west south east north, degrees.")] = (
        -180.0,
        -90.0,
        180.0,
        90.0,
    ),
    out: Annotated[Path, typer.Option(help=".parquet or .npy (a grid becomes rows x columns x d).", metavar="FILE")] = Path(
        "embeddings.parquet"
    ),
    model: ModelOption = Path(),
    seed: SeedOption = None,
    label_ratio: RatioOption = None,
) -> None:
    """Write location embeddings e(x) of a place, of the rows of a table or of a grid over the world."""
    import numpy as np

    from cspops.library import embedding

    place = position(lon, lat)
    if sum(one is not None for one in (table, place, grid)) != 1:
        raise ParamsError("name one of a table, --lon with --lat, and --grid", hint="cspops embed --grid 1.0 --out world.npy")
    embedding.require_suffix(out)
    require_folder(out)
    cells = None if grid is None else embedding.Grid(grid, box)
    loaded = load_model(model, seed, label_ratio)
    shape: tuple[int, ...] | None = None
    total: int | None = None
    if cells is not None:
        points, shape, total = cells.points(), cells.shape, len(cells)
    elif table is not None:
        points = embedding.points_of_table(table)
    else:
        points, shape = iter([embedding.Points(["given"], np.array([place]), [None])]), (1,)
    with Meter("embed", total, unit="places") as meter:
        count, lost = embedding.embed(loaded, meter.each(points, lambda block: len(block.where)), out, shape=shape)
    log.info(
        f"{out}: {count:,} embeddings of {loaded.encoder.dim} numbers" + (f", {lost:,} without a position" if lost else "")
    )
