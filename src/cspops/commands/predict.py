"""`cspops predict`: predict the classes of images."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cspops.commands.app import USE, app, examples
from cspops.commands.layout import JOINED, show
from cspops.commands.options import (
    ClassesOption,
    CombineOption,
    DateOption,
    LatOption,
    LonOption,
    MinConfidenceOption,
    ModelOption,
    PriorWeightOption,
    RatioOption,
    RegionOption,
    SeedOption,
    TaxonomyOption,
    WeightOption,
    day_of,
    load_model,
    position,
    require_folder,
    require_time,
    restricted,
    rolled,
    table_names,
    weighed,
)
from cspops.errors import DataError, ParamsError
from cspops.progress import Meter
from cspops.terminal import Output, lines_of_stdin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cspops.library.inputs import Input

log = logging.getLogger(__name__)

MOST_ROWS = 200
"""Most rows of predictions in a table on the terminal."""
FIRST_LEFT_OUT = ("date problem", "date from", "location", "image", "position", "date", "weights", "masked best")
"""Columns of that table that a narrow terminal does without."""


MANY = 0.1
"""The share of the rows that lie far from all labels above which that is said."""

EXAMPLES = examples(
    "cspops predict photos/ --out guesses.csv",
    "cspops predict a.jpg --lon 8.54 --lat 47.37",
    "ls photos/*.jpg | cspops predict -",
)


@app.command(rich_help_panel=USE, epilog=EXAMPLES)
def predict(
    paths: Annotated[list[str], typer.Argument(help="Images, folders, tables, or - for paths on stdin.", metavar="PATH...")],
    lon: LonOption = None,
    lat: LatOption = None,
    date: DateOption = None,
    top: Annotated[int, typer.Option(help="Number of classes to print per model.", metavar="N", min=1, max=1000)] = 3,
    combine: CombineOption = None,
    trust: Annotated[bool, typer.Option("--trust", help="Also print the pool's weights of image and place.")] = False,
    prior_weight: PriorWeightOption = None,
    weight: WeightOption = None,
    classes: ClassesOption = None,
    region: RegionOption = None,
    min_confidence: MinConfidenceOption = None,
    taxonomy: TaxonomyOption = None,
    out: Annotated[Path | None, typer.Option(help="File to write: .csv, .parquet, .jsonl or .geojson.", metavar="FILE")] = None,
    form: Annotated[
        Literal["table", "csv", "jsonl", "geojson"] | None,
        typer.Option("--format", help="On stdout: table (default), csv, jsonl or geojson.", metavar="FORMAT"),
    ] = None,
    model: ModelOption = Path(),
    seed: SeedOption = None,
    label_ratio: RatioOption = None,
) -> None:
    """Predict the classes of images: from the image, from its position, and from both together.

    A position comes from --lon and --lat, from a table's columns, or from the image itself (EXIF, GeoTIFF). When an image
    cannot be read, its row says why, all other rows are predicted, and the exit code is 1.

    A model with location_encoder.time also takes the date: from --date, from a table's column, or from the image itself.
    """
    from cspops.library import prediction
    from cspops.library import prediction_files as files
    from cspops.library.inputs import count_inputs, read_inputs
    from cspops.library.model import NO_FUSION, NO_PLACES, NO_POOL
    from cspops.library.unfinished import kept_rows, key_of
    from cspops.report.model_reach import reach_of

    place, day = position(lon, lat), day_of(date)
    if trust and combine not in (None, "pool"):
        raise ParamsError(f"--trust shows what the pool trusted, and --combine is {combine}", hint="leave one of them out")
    if out is not None and form is not None:
        raise ParamsError("--format is for standard output; the suffix of --out decides its format", hint="leave --format out")
    if out is not None and out.suffix.lower() not in files.SUFFIXES:
        raise ParamsError(f"{out}: predictions are written as {', '.join(files.SUFFIXES)}", hint="--out predictions.csv")
    if out is not None:
        require_folder(out)
    loaded = restricted(weighed(load_model(model, seed, label_ratio), prior_weight, weight), classes, region)
    if trust and loaded.pool is None:
        raise DataError(NO_POOL, hint="dvc repro evaluate, or leave --trust out")
    if day is not None:
        require_time(loaded, "--date")
    chosen = loaded.combination("pool" if trust else combine)
    roll_up = rolled(loaded, min_confidence, taxonomy)
    columns = prediction.columns_of(loaded, chosen, top=top, trust=trust, roll_up=roll_up)
    tables = table_names(model)
    inputs = read_inputs(paths, stdin=lines_of_stdin(), position=place, tables=tables, day=day, dated=loaded.takes_time)
    reach = reach_of(loaded) if loaded.knows_places else None
    failures = files.Failures() if reach is None else files.Failures(far_km=reach.km)

    def predicted(rows: "Iterator[Input]") -> "Iterator[files.Row]":
        made = prediction.predict(loaded, rows, top=top, combine=chosen, trust=trust, roll_up=roll_up)
        return (one.as_dict() for one in made)

    streams = form not in (None, "table") and sys.stdout.isatty()  # rows on the terminal show the progress themselves
    with Meter("predict", count_inputs(paths, tables=tables), unit="images", shown=not streams) as meter:
        rows = meter.each(inputs)
        if out is not None:
            with kept_rows(out, key_of(loaded, columns, roll_up and roll_up.facts)) as kept:
                predictions = failures.watch(kept.continued(rows, predicted))
                files.write_file(predictions, out, columns)
        elif form in (None, "table"):
            shown, more = files.first(failures.watch(predicted(rows)), MOST_ROWS)
        else:
            predictions = failures.watch(predicted(rows))
            files.write_text(predictions, Output(), columns, form=form)
    if out is not None:
        log.info(f"{out}: {failures.rows:,} rows")
    elif form in (None, "table"):
        header, *body = files.table_rows(shown, columns)
        texts = len(header) - len(columns.numbers)
        left_out = show("", [header, *map(_unbroken, body)], text_columns=texts, paths=0, optional=FIRST_LEFT_OUT)
        if left_out:
            log.info(f"left out, as the terminal is narrow: {', '.join(left_out)}; --format csv has all")
        if more:
            log.info(f"and {more:,} more rows: --out FILE writes all")
    log.info(", ".join(filter(None, (f"{chosen}: {prediction.SAID[chosen]}", str(loaded.weights)))))
    if chosen == "pool" and not loaded.knows_places:
        log.info(NO_PLACES)
    if combine is None and chosen == "product":
        log.info("there is no pool, as the model was not evaluated: dvc repro evaluate")
    if loaded.leaves_fusion_out:
        log.info(NO_FUSION)
    if loaded.candidates is not None and loaded.classes is not None:
        log.info(f"candidates: {len(loaded.candidates):,} of {len(loaded.classes):,} classes")
        log.info(f"rows whose best class of all is no candidate, see masked_best: {failures.masked:,} of {failures.rows:,}")
    if roll_up is not None:
        log.info(f"rows without an answer that is {roll_up.min_confidence:g} sure: {failures.unsure:,} of {failures.rows:,}")
    if reach is not None and failures.far > MANY * failures.located:
        log.warning(
            f"{failures.far:,} of {failures.located:,} rows with a position lie {reach.end()}, the farthest "
            f"{failures.farthest_km:,.0f} km: the model knows little there"
        )
    if loaded.takes_time and day is None and failures.undated:
        undated = f"{failures.undated:,} of {failures.rows:,}"
        log.info(f"rows with a position and without a date, predicted for the average over the year: {undated}")
    if failures.misdated:
        first = _first(failures.misdated, failures.first_misdated)
        log.warning(f"{failures.misdated} of {failures.rows} rows have an unusable date{first}")
    if failures.misplaced:
        first = _first(failures.misplaced, failures.first_misplaced)
        log.warning(f"{failures.misplaced} of {failures.rows} rows have an unusable position{first}")
    if failures.count:
        log.warning(f"{failures.count} of {failures.rows} rows have an error{_first(failures.count, failures.first)}")
        raise typer.Exit(1)


def _first(count: int, said: str) -> str:
    return f"{'; the first' if count > 1 else ''}: {said}"


def _unbroken(cells: list[str]) -> list[str]:
    """Return a row in which a line ends between two guesses alone, not inside one."""
    return [cell if cell.startswith("error: ") else cell.replace(" ", JOINED).replace(f",{JOINED}", ", ") for cell in cells]
