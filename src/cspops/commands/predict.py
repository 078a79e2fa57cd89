"""`cspops predict`: predict the classes of images."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cspops.commands.app import USE, app
from cspops.commands.options import (
    CombineOption,
    LatOption,
    LonOption,
    ModelOption,
    RatioOption,
    SeedOption,
    load_model,
    position,
    require_folder,
)
from cspops.commands.output import show
from cspops.errors import ParamsError
from cspops.progress import Meter
from cspops.terminal import Output, lines_of_stdin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cspops.library.inputs import Input

log = logging.getLogger(__name__)

MOST_ROWS = 200
"""Most rows of predictions in a table on the terminal."""


EXAMPLE = """Example: cspops predict photos/ --out guesses.csv; cspops predict a.jpg --lon 8.54 --lat 47.37;
ls *.jpg | cspops predict -"""


@app.command(rich_help_panel=USE, epilog=EXAMPLE)
def predict(
    paths: Annotated[list[str], typer.Argument(help="Images, folders, tables; - reads paths from stdin.", metavar="PATH...")],
    lon: LonOption = None,
    lat: LatOption = None,
    top: Annotated[int, typer.Option(help="Classes per model.", min=1, max=1000)] = 3,
    combine: CombineOption = None,
    trust: Annotated[bool, typer.Option("--trust", help="Add the pool's weights and the km to the nearest label.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write a .csv, .parquet, .jsonl or .geojson file.", metavar="FILE")] = None,
    form: Annotated[
        Literal["table", "csv", "jsonl", "geojson"] | None,
        typer.Option("--format", help="On standard output; default: table."),
    ] = None,
    model: ModelOption = Path(),
    seed: SeedOption = None,
    label_ratio: RatioOption = None,
) -> None:
    """Predict classes of images by the image, its position (--lon --lat, a table's columns, EXIF, GeoTIFF) and both.

    Exit code 1 when an image cannot be read: its row holds the reason, and all other rows are predicted.

    A second start with --out continues where the first one was interrupted; what has changed since is predicted anew.
    """
    from cspops.library import prediction
    from cspops.library import prediction_files as files
    from cspops.library.inputs import read_inputs
    from cspops.library.model import NO_PLACES
    from cspops.library.unfinished import kept_rows, key_of
    from cspops.pixels.reading import Reading

    place = position(lon, lat)
    if trust and combine not in (None, "pool"):
        raise ParamsError(f"--trust is of the pool, and --combine is {combine}", hint="leave one of them out")
    if out is not None and form is not None:
        raise ParamsError("--format is for standard output; the suffix of --out decides its format", hint="leave --format out")
    if out is not None and out.suffix.lower() not in files.SUFFIXES:
        raise ParamsError(f"{out}: predictions are written as {', '.join(files.SUFFIXES)}", hint="--out predictions.csv")
    if out is not None:
        require_folder(out)
    loaded = load_model(model, seed, label_ratio)
    chosen = loaded.combination("pool" if trust else combine)
    numbers = prediction.TRUST if trust else ()
    reading = loaded.image.reading if loaded.image is not None else Reading()
    inputs = read_inputs(paths, stdin=lines_of_stdin(), position=place, reading=reading)
    failures = files.Failures()

    def predicted(rows: "Iterator[Input]") -> "Iterator[files.Row]":
        return (one.as_dict() for one in prediction.predict(loaded, rows, top=top, combine=chosen, trust=trust))

    streams = form not in (None, "table") and sys.stdout.isatty()  # rows on the terminal show the progress themselves
    with Meter("predict", None, unit="images", shown=not streams) as meter:
        rows = meter.each(inputs)
        if out is not None:
            with kept_rows(out, key_of(loaded, top, chosen, trust)) as kept:
                predictions = failures.watch(kept.continued(rows, predicted))
                files.write_file(predictions, out, models=prediction.MODELS, top=top, numbers=numbers)
        elif form in (None, "table"):
            shown, more = files.first(failures.watch(predicted(rows)), MOST_ROWS)
        else:
            predictions = failures.watch(predicted(rows))
            files.write_text(predictions, Output(), form=form, models=prediction.MODELS, top=top, numbers=numbers)
    if out is not None:
        log.info(f"{out}: {failures.rows} rows")
    elif form in (None, "table"):
        show("", files.table_rows(shown, models=prediction.MODELS, numbers=numbers), text_columns=2)
        if more:
            log.info(f"and {more} further rows: --out FILE writes all")
    log.info(f"combined: {prediction.SAID[chosen]}")
    if chosen == "pool" and not loaded.knows_places:
        log.info(NO_PLACES)
    if combine is None and chosen == "product":
        log.info("the model was not evaluated, so that there is no pool: dvc repro evaluate")
    if failures.misplaced:
        log.warning(f"{failures.misplaced} of {failures.rows} rows have an unusable position: {failures.first_misplaced}")
    if failures.count:
        log.warning(f"{failures.count} of {failures.rows} rows have an error: {failures.first}")
        raise typer.Exit(1)
