"""Commands that use what was trained: predict, embed, map."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from cspops.cli.app import USE, app
from cspops.cli.completions import class_names
from cspops.cli.loudness import report, say, warn
from cspops.cli.models import ModelOption, RatioOption, SeedOption, load_model
from cspops.cli.surroundings import show
from cspops.errors import ParamsError
from cspops.progress import Meter, silent

SHOWN = 200
"""Rows of predictions in a table on the terminal."""

LonOption = Annotated[float | None, typer.Option(help="Longitude, degrees.", min=-180.0, max=360.0)]
LatOption = Annotated[float | None, typer.Option(help="Latitude, degrees.", min=-90.0, max=90.0)]


def position(lon: float | None, lat: float | None) -> tuple[float, float] | None:
    """Both or neither; ParamsError for one alone."""
    if (lon is None) != (lat is None):
        raise ParamsError("--lon and --lat belong together", hint="--lon 8.54 --lat 47.37")
    return None if lon is None or lat is None else (lon if lon < 180 else lon - 360, lat)


PREDICT = """Example: cspops predict photos/ --out guesses.csv; cspops predict a.jpg --lon 8.54 --lat 47.37;
ls *.jpg | cspops predict -"""
EMBED = "Example: cspops embed --lon 8.54 --lat 47.37 --out zurich.npy; cspops embed --grid 1 --out world.npy"
MAP = "Example: cspops map Csa --out csa.png; cspops map Csa --out csa.tif --box 5 40 15 48 --grid 0.05"


def require_folder(out: Path) -> None:
    """ParamsError where the folder that a file is to be written into is missing; before anything is computed."""
    if not out.parent.is_dir():
        raise ParamsError(f"the folder {out.parent} is missing", hint=f"mkdir -p {out.parent}")


@app.command(rich_help_panel=USE, epilog=PREDICT)
def predict(
    paths: Annotated[list[str], typer.Argument(help="Images, folders, tables; - reads paths from stdin.", metavar="PATH...")],
    lon: LonOption = None,
    lat: LatOption = None,
    top: Annotated[int, typer.Option(help="Classes of each model.", min=1, max=1000)] = 3,
    calibrated: Annotated[bool, typer.Option("--calibrated", help="The calibrated product instead of the plain one.")] = False,
    out: Annotated[Path | None, typer.Option(help="A .csv, .parquet, .jsonl or .geojson.", metavar="FILE")] = None,
    form: Annotated[
        Literal["table", "csv", "jsonl", "geojson"] | None, typer.Option("--format", help="On standard output; default: table.")
    ] = None,
    model: ModelOption = Path(),
    seed: SeedOption = None,
    label_ratio: RatioOption = None,
) -> None:
    """Predict classes of images by the image, its position (--lon --lat, a table's columns, EXIF, GeoTIFF) and both.

    Exit code 1 when an image could not be read; its row says why, and the others are there.
    """
    from cspops.data.rows import Reading
    from cspops.library.asked import asked
    from cspops.report import prediction_files as files
    from cspops.stages import predict as stage

    place = position(lon, lat)
    if out is not None and form is not None:
        raise ParamsError("--out says by its suffix what it is: --format is for standard output", hint="leave --format out")
    if out is not None and out.suffix.lower() not in files.SUFFIXES:
        raise ParamsError(f"{out}: predictions are written as {', '.join(files.SUFFIXES)}", hint="--out predictions.csv")
    if out is not None:
        require_folder(out)
    loaded = load_model(model, seed, label_ratio)
    reading = loaded.image.reading if loaded.image is not None else Reading()
    asked_for = asked(paths, stdin=sys.stdin, position=place, reading=reading)
    failed = files.Failures()
    streams = form not in (None, "table") and sys.stdout.isatty()  # rows on the terminal say themselves where it is
    with Meter("predict", None, silent if streams else report(), unit="images") as meter:
        rows = meter.each(asked_for)
        found = failed.watch(one.as_dict() for one in stage.predict(loaded, rows, top=top, calibrated=calibrated))
        if out is not None:
            files.write_file(found, out, models=stage.MODELS, top=top)
        elif form in (None, "table"):
            shown, more = files.first(found, SHOWN)
        else:
            files.write_text(found, sys.stdout, form=form, models=stage.MODELS, top=top)
    if out is not None:
        say(f"{out}: {failed.rows} rows")
    elif form in (None, "table"):
        show("", files.table_rows(shown, models=stage.MODELS), text_columns=2)
        if more:
            say(f"and {more} further rows: --out FILE writes all")
    if failed.misplaced:
        warn(f"{failed.misplaced} of {failed.rows} rows have a position that is not used: {failed.first_misplaced}")
    if failed.count:
        warn(f"{failed.count} of {failed.rows} rows have an error: {failed.first}")
        raise typer.Exit(1)


@app.command(
    rich_help_panel=USE,
    epilog=EMBED,
)
def embed(
    table: Annotated[
        Path | None, typer.Argument(help="A table with columns for longitude and latitude.", metavar="TABLE")
    ] = None,
    lon: LonOption = None,
    lat: LatOption = None,
    grid: Annotated[float | None, typer.Option(help="Side of the cells of a grid, degrees.", min=0.01, max=180.0)] = None,
    box: Annotated[tuple[float, float, float, float], typer.Option(help="Of the grid: west south east north, degrees.")] = (
        -180.0,
        -90.0,
        180.0,
        90.0,
    ),
    out: Annotated[Path, typer.Option(help=".parquet, or .npy (of a grid: rows x columns x d).", metavar="FILE")] = Path(
        "embeddings.parquet"
    ),
    model: ModelOption = Path(),
    seed: SeedOption = None,
    label_ratio: RatioOption = None,
) -> None:
    """Write location embeddings e(x) of a place, of a table's rows or of a grid over the world."""
    import numpy as np

    from cspops.stages import embed as stage

    place = position(lon, lat)
    if sum(one is not None for one in (table, place, grid)) != 1:
        raise ParamsError("name one of a table, --lon with --lat, and --grid", hint="cspops embed --grid 1.0 --out world.npy")
    stage.require_suffix(out)
    require_folder(out)
    cells = None if grid is None else stage.Grid(grid, box)
    loaded = load_model(model, seed, label_ratio)
    shape: tuple[int, ...] | None = None
    total: int | None = None
    if cells is not None:
        points, shape, total = cells.points(), cells.shape, len(cells)
    elif table is not None:
        points = stage.points_of_table(table)
    else:
        points, shape = iter([stage.Points(["given"], np.array([place]), [None])]), (1,)
    with Meter("embed", total, report(), unit="places") as meter:
        count, lost = stage.embed(loaded, meter.each(points, lambda part: len(part.where)), out, shape=shape)
    say(f"{out}: {count:,} embeddings of {loaded.encoder.dim} numbers" + (f", {lost:,} without a position" if lost else ""))


@app.command(
    "map",
    rich_help_panel=USE,
    epilog=MAP,
)
def map_class(
    name: Annotated[
        str, typer.Argument(help="A class, as in artifacts/download/classes.json.", metavar="CLASS", autocompletion=class_names)
    ],
    out: Annotated[Path, typer.Option(help=".png (land, Equal Earth) or .tif (GeoTIFF, EPSG:4326).", metavar="FILE")],
    grid: Annotated[float, typer.Option(help="Of the GeoTIFF: side of a pixel, degrees.", min=0.01, max=90.0)] = 0.5,
    box: Annotated[tuple[float, float, float, float], typer.Option(help="West south east north, degrees.")] = (
        -180.0,
        -90.0,
        180.0,
        90.0,
    ),
    model: ModelOption = Path(),
    seed: SeedOption = None,
    label_ratio: RatioOption = None,
) -> None:
    """Draw P(y|x) of a class over the world or a box."""
    from cspops.stages import place_map as stage

    require_folder(out)
    loaded = load_model(model, seed, label_ratio)
    with Meter("map", None, report(), unit="places") as meter:
        said = stage.run(loaded, name, out, grid=grid, box=box, step=meter.step)
    say(f"{out}: where {said} is likely")
