"""`cspops embed`: write location embeddings into a file."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from cspops.commands.app import USE, app, examples
from cspops.commands.options import (
    BoxOption,
    DateOption,
    LatOption,
    LeaveOutOption,
    LonOption,
    ModelOption,
    RatioOption,
    SeedOption,
    day_of,
    left_out,
    load_model,
    position,
    require_folder,
    require_time,
)
from cspops.errors import ParamsError
from cspops.progress import Meter

log = logging.getLogger(__name__)


@app.command(
    rich_help_panel=USE,
    epilog=examples("cspops embed --lon 8.54 --lat 47.37 --out zurich.npy", "cspops embed --grid 1 --out world.npz"),
)
def embed(
    table: Annotated[
        Path | None, typer.Argument(help="A table with columns for longitude and latitude.", metavar="TABLE")
    ] = None,
    lon: LonOption = None,
    lat: LatOption = None,
    grid: Annotated[float | None, typer.Option(help="Side of a grid's cells, degrees.", min=0.01, max=180.0)] = None,
    box: BoxOption = None,
    date: DateOption = None,
    out: Annotated[
        Path,
        typer.Option(
            help=".parquet, .npz (with lon and lat) or .npy (without). A grid in .npz or .npy is rows x columns x d, rows from "
            "north to south and columns from west to east.",
            metavar="FILE",
        ),
    ] = Path("embeddings.parquet"),
    model: ModelOption = Path(),
    seed: SeedOption = None,
    label_ratio: RatioOption = None,
    retrieval: Annotated[
        bool, typer.Option("--retrieval", help="Embed the images retrieved for a place, too (docs/probe.md).")
    ] = False,
    leave_out_km: LeaveOutOption = None,
) -> None:
    """Write location embeddings e(x) of a place, of the rows of a table or of a grid over the world.

    A model with location_encoder.time also takes the date, from --date or from a column of the table.
    """
    import numpy as np

    from cspops.library import embedding, places

    place, day = position(lon, lat), day_of(date)
    if sum(one is not None for one in (table, place, grid)) != 1:
        raise ParamsError("name one of a table, --lon with --lat, and --grid", hint="cspops embed --grid 1.0 --out world.npz")
    nearest_km = left_out(leave_out_km, retrieval=retrieval)
    embedding.require_suffix(out)
    require_folder(out)
    if box is not None and grid is None:
        raise ParamsError(
            "--box is a part of the world for --grid", hint="cspops embed --grid 0.1 --box 5 40 15 48 --out part.npz"
        )
    if retrieval and day is not None:
        raise ParamsError("--retrieval embeds places without a date", hint="leave --date or --retrieval out")
    cells = None if grid is None else places.Grid(grid, box or places.WORLD)
    loaded = load_model(model, seed, label_ratio, images=False)
    if retrieval:
        from cspops.library.retrieval import with_retrieval

        loaded = with_retrieval(loaded, model, leave_out_km=nearest_km)
    if day is not None:
        require_time(loaded, "--date")
    if cells is not None:
        points = cells.points()
    elif table is not None:
        points = places.points_of_table(table, dated=loaded.takes_time and day is None)
    else:
        points = iter([places.Points(["given"], np.array([place]), [None])])
    if day is not None:
        points = places.on_day(points, day.when)
    with Meter("embed", None if cells is None else len(cells), unit="places") as meter:
        outcome = embedding.embed(loaded, points, out, grid=cells, step=meter.step)
    log.info(
        f"{out}: {outcome.count:,} embeddings of {loaded.encoder.dim} numbers"
        + (f", {outcome.lost:,} without a position" if outcome.lost else "")
    )
    if loaded.takes_time and day is None and outcome.dated < outcome.count:
        undated = "none has a date" if not outcome.dated else f"{outcome.count - outcome.dated:,} have no date"
        log.info(f"{undated}: these are averages over the year")
    if outcome.misdated:
        log.warning(
            f"{outcome.misdated:,} of {outcome.count:,} rows have an unusable date; the first: {outcome.first_misdated}"
        )
    for why, (rows, first) in outcome.problems.items():
        log.info(f"{rows:,} {'rows' if rows > 1 else 'row'}: {why} (first {first})")
    if cells is not None:
        log.info(f"{cells.shape[0]:,} rows x {cells.shape[1]:,} columns, {cells.order}")
