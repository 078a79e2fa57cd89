"""`cspops map`: draw where a class is likely, or the most likely class."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cspops.commands.app import USE, app, examples
from cspops.commands.options import (
    BoxOption,
    DateOption,
    ModelOption,
    RatioOption,
    SeedOption,
    class_names,
    day_of,
    load_model,
    require_folder,
    require_time,
)
from cspops.errors import DataError, ParamsError
from cspops.library.combine import PlaceCombine
from cspops.progress import Meter

if TYPE_CHECKING:
    from cspops.evaluation.thresholds import Rule
    from cspops.report.place_map import PlaceMap

log = logging.getLogger(__name__)


@app.command(
    "map",
    rich_help_panel=USE,
    epilog=examples(
        "cspops map --all --out classes.png",
        "cspops map Csa --out csa.tif --box 5 40 15 48 --grid 0.05",
        "cspops map Csa --binary --out range.tif",
        "cspops map Csa --months --out months.png",
    ),
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
    binary: Annotated[
        bool, typer.Option("--binary", help="Draw where the class is present: where P(y|x) is at least a threshold.")
    ] = False,
    threshold: Annotated[
        str | None,
        typer.Option(
            help="With --binary: f1 (default), precision=0.9 or lpt, the least P at a presence, each chosen on the validation "
            "rows of the run; or a probability.",
            metavar="RULE",
        ),
    ] = None,
    date: DateOption = None,
    months: Annotated[
        bool,
        typer.Option("--months", help="Twelve maps of the class on one scale, at the middle of each month; .tif: 12 bands."),
    ] = False,
    model: ModelOption = Path(),
    seed: SeedOption = None,
    label_ratio: RatioOption = None,
) -> None:
    """Draw where a class is likely, P(y|x), or present, or the most likely class, around the labelled places or in a box.

    For a model with location_encoder.time it is the average over the year, or the map of a --date, or of all --months.
    """
    from cspops.evaluation.thresholds import Rule
    from cspops.library.model import NO_PLACES, NO_POOL
    from cspops.report.month_maps import MonthMaps
    from cspops.report.place_map import PlaceMap, require_suffix

    day = day_of(date)
    if (name is None) != all_classes:
        raise ParamsError(
            "one of both is needed: a class, or --all for the most likely class", hint="cspops map --all --out map.png"
        )
    if binary and name is None:
        raise ParamsError("--binary draws the range of one class", hint="cspops map CLASS --binary --out range.tif")
    if threshold is not None and not binary:
        raise ParamsError("--threshold says where a class is present, which --binary draws", hint="--binary --threshold f1")
    if months and (all_classes or binary or day is not None):
        other = "--all" if all_classes else "--binary" if binary else "--date"
        raise ParamsError(f"--months draws how likely one class is in each month, without {other}", hint=f"leave {other} out")
    rule = Rule.of(threshold or "f1") if binary else None
    require_suffix(out)
    require_folder(out)
    loaded = load_model(model, seed, label_ratio, images=False)
    for option, is_asked in (("--date", day is not None), ("--months", months)):
        if is_asked:
            require_time(loaded, option)
    learned = combine == "location" or (combine is None and loaded.pool is None)
    if not learned and loaded.pool is None:
        raise DataError(NO_POOL, hint="dvc repro evaluate, or --combine location")
    drawn = PlaceMap.of(loaded, name, box=box, learned=learned, beyond=beyond)
    if day is not None:
        drawn = replace(drawn, day=day)
    if rule is not None:
        drawn = _range(drawn, model, rule)
    with Meter("map", None, unit="places") as meter:
        (MonthMaps(drawn) if months else drawn).draw(out, grid=grid, done=meter.to)
    by = "the learned model"
    if not learned:
        by += " and the labelled neighbours" if loaded.knows_places else f"; {NO_PLACES}"
    when = " in each month" if months else f" ({day.text})" if day is not None and day.text else ""
    log.info(f"{out}: {drawn.what[0].lower()}{drawn.what[1:]}{when}, by {by}")
    end = drawn.reach.end()
    if end is not None:
        log.info(f"nothing is drawn {end}; --beyond KM changes that")


def _range(drawn: "PlaceMap", folder: Path, rule: "Rule") -> "PlaceMap":
    """Return the map of the range of the class, and log what its threshold does on validation."""
    from cspops.library.ranges import choose_threshold

    if rule.name == "given":
        return replace(drawn, threshold=rule.number)
    assert drawn.number is not None
    chosen = choose_threshold(drawn.model, folder, drawn.number, rule, learned=drawn.learned, dated=drawn.day.text is not None)
    at = chosen.threshold
    log.info(
        f"threshold {at.value:.4g} ({rule.name}): on {chosen.rows:,} validation rows, {chosen.presences:,} of them presences, "
        f"precision {at.precision:.2f}, recall {at.recall:.2f}, F1 {at.f1:.2f}"
    )
    return replace(drawn, threshold=at.value)
