"""Options that commands share, their completion in a shell, and the model that they name."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cspops.artefacts import json_as
from cspops.commands.without_compiler import without_compiler
from cspops.errors import DataError, ParamsError, listed
from cspops.library.combine import Combine
from cspops.pipeline.run import read_host
from cspops.terminal import visible

if TYPE_CHECKING:
    from cspops.library.given_dates import Day
    from cspops.library.model import Model
    from cspops.library.named_tables import TableNames
    from cspops.library.taxonomy import RollUp

log = logging.getLogger(__name__)


MODELS = ("artifacts/finetune_loc/seed_*/label_*", "artifacts/pretrain/seed_*", "artifacts/imported/*")


def class_names(ctx: Any, incomplete: str) -> list[str]:
    """Return the classes of the run that --model names, or of the working folder.

    Typer passes its context as ``ctx``.
    """
    folder = Path(ctx.params.get("model") or ".").absolute()
    for one in (folder / "artifacts", folder, *folder.parents[:3]):
        try:
            names: list[str] = json_as(one / "download" / "classes.json", list[str], remake="")
        except DataError:
            continue
        return [name for name in names if name.startswith(incomplete) and name == visible(name)]
    return []


def model_folders(incomplete: str) -> list[str]:
    """Return the models below the working folder, or below the project whose path is being typed."""
    begun = incomplete.rpartition("/artifacts")[0]
    roots = {"": Path()} | ({f"{begun}/": Path(begun)} if begun else {})
    folders = [
        f"{before}{folder.relative_to(root).as_posix()}"
        for before, root in roots.items()
        for kind in MODELS
        for folder in root.glob(kind)
    ]
    return sorted(one for one in folders if one.startswith(incomplete) and one == visible(one))


ModelOption = Annotated[
    Path,
    typer.Option(
        "--model",
        help="A project, an export, or the folder of one model.",
        metavar="FOLDER",
        autocompletion=model_folders,
    ),
]
SeedOption = Annotated[int | None, typer.Option(help="Seed of the run; default: the smallest.", metavar="SEED")]
RatioOption = Annotated[
    float | None, typer.Option(help="Label ratio of the run; default: the largest.", metavar="RATIO", min=0.0, max=1.0)
]


CombineOption = Annotated[
    Combine | None,
    typer.Option(
        help="How image and location are put together: pool (default), product (default where the run was not evaluated), or "
        "one alone: image, location.",
        metavar="HOW",
    ),
]
PriorWeightOption = Annotated[
    float | None,
    typer.Option(
        "--prior-weight",
        help="How much the place counts: from 0, the image alone, to 1, pool or product as they are (default).",
        metavar="W",
    ),
]
WeightOption = Annotated[
    list[str] | None,
    typer.Option(
        "--weight",
        help="Weight of one expert beside what validation chose: image=W, place=W or neighbours=W; repeatable.",
        metavar="EXPERT=W",
    ),
]
ClassesOption = Annotated[
    Path | None,
    typer.Option(
        "--classes",
        help="Predict only these classes: a text with one per line, or a table with a column class.",
        metavar="FILE",
    ),
]
RegionOption = Annotated[
    str | None,
    typer.Option(
        "--region",
        help="Predict only classes that have a labelled place of the model in a region: a GeoJSON file with polygons, or a "
        "country by its ISO code (CH, CHE).",
        metavar="REGION",
    ),
]
MinConfidenceOption = Annotated[
    float | None,
    typer.Option(
        "--min-confidence",
        help="Also give an answer that is at least this probable: the best class, or the lowest taxon above it that is.",
        metavar="P",
    ),
]
TaxonomyOption = Annotated[
    Path | None,
    typer.Option(
        "--taxonomy",
        help="With --min-confidence: a table of class and parent, or of class and ranks; default: classes that are named like "
        "paths (Aves/Strigidae/Bubo bubo).",
        metavar="FILE",
    ),
]
Preset = Literal["photos", "satellite"]
"""What the images of a new project are."""
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what an earlier call wrote into that folder.")]


def load_model(folder: Path, seed: int | None, label_ratio: float | None, *, images: bool = True) -> "Model":
    """Load the model that the options name, on the host's device."""
    from cspops.library.loading import load

    with without_compiler():
        return _logged(load(folder, seed=seed, label_ratio=label_ratio, device=read_host().torch_device(), images=images))


def load_models(folder: Path, seed: int | None, label_ratio: float | None) -> "dict[int, Model]":
    """Load the models that the options name, by seed: all of a run without --seed; a single model counts as seed 0."""
    from cspops.library.loading import load_seeds, run_of

    if seed is not None or run_of(folder) is None:
        return {seed or 0: load_model(folder, seed, label_ratio)}
    with without_compiler():
        models = load_seeds(folder, label_ratio=label_ratio, device=read_host().torch_device())
    for model in models.values():
        _logged(model)
    return models


def weighed(model: "Model", prior_weight: float | None, weight: Sequence[str] | None) -> "Model":
    """Return the model with the weights of its experts that the options ask for."""
    weights: dict[str, float] = {}
    for one in weight or ():
        name, equals, number = one.partition("=")
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not equals:
            raise ParamsError(f"--weight {one} is not EXPERT=NUMBER", hint="--weight neighbours=0")
        if name in weights:
            raise ParamsError(f"--weight {name} is given twice", hint="leave one out")
        weights[name] = value
    made = model.weighed(1.0 if prior_weight is None else prior_weight, weights)
    made.combination(None)
    return made


def restricted(model: "Model", classes: Path | None, region: str | None) -> "Model":
    """Return the model whose candidates are the classes of both options; DataError where none is left."""
    from cspops.library.candidates import listed_classes

    if classes is not None:
        _require_name("--classes", classes)
        model = model.among(listed_classes(model, classes))
    if region is not None:
        there = model.classes_in(region)
        try:
            model = model.among(there)
        except DataError:
            raise DataError(
                f"no class is both in {classes} and in --region {region}, which has {listed(map(repr, there))}",
                hint="leave one out",
            ) from None
    return model


def _require_name(option: str, file: Path) -> None:
    """Raise a ParamsError for an empty name, such as the shell makes of a variable that is not set."""
    if file == Path():
        raise ParamsError(f"{option} names no file", hint=f"{option} FILE, or leave it out")


def rolled(model: "Model", min_confidence: float | None, taxonomy: Path | None) -> "RollUp | None":
    """Return what makes coarser answers where the options ask for them."""
    if min_confidence is None:
        if taxonomy is not None:
            raise ParamsError(
                "--taxonomy makes coarser answers, and nothing says how sure they are to be", hint="--min-confidence 0.8"
            )
        return None
    if taxonomy is not None:
        _require_name("--taxonomy", taxonomy)
    from cspops.library.taxonomy import RollUp

    if model.classes is None:
        raise DataError("this model has no named classes to roll up", hint="name a project's folder with --model")
    return RollUp.of(model.classes, min_confidence, taxonomy)


def table_names(folder: Path, label: str | None = None) -> "TableNames":
    """Return how the project of the models in ``folder`` reads tables, and the column of labels that is asked for."""
    from cspops.library.loading import run_of
    from cspops.library.named_tables import TableNames
    from cspops.pipeline import paths

    run = run_of(folder)
    return TableNames(None if run is None else run.resolve().parent / paths.PARAMS, label)


def _logged(model: "Model") -> "Model":
    """Log the model's device and folders, for --verbose, and return it."""
    log.debug(f"device: {model.device}")
    for folder in model.folders:
        log.debug(f"reads: {folder}")
    return model


LeaveOutOption = Annotated[
    float | None,
    typer.Option(
        help="With --retrieval: images nearer than that to a place are not retrieved; default: 1.",
        metavar="KM",
        min=0.0,
        max=10_000.0,
    ),
]
LonOption = Annotated[float | None, typer.Option(help="Longitude, degrees.", min=-180.0, max=360.0)]
LatOption = Annotated[float | None, typer.Option(help="Latitude, degrees.", min=-90.0, max=90.0)]


BoxOption = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option(help="West south east north, degrees; west above east: across the antimeridian.", metavar="W S E N"),
]


DateOption = Annotated[
    str | None,
    typer.Option(
        "--date",
        help="Day of the year: 2024-06-15, 06-15, June (its middle), or none, the average over the year.",
        metavar="DATE",
    ),
]


def day_of(date: str | None) -> "Day | None":
    """Return what `--date` asks for; None where it is not given. A ParamsError for what is no day."""
    if date is None:
        return None
    from cspops.library.given_dates import day_of_option

    return day_of_option(date)


def require_time(model: "Model", option: str) -> None:
    """Raise a ParamsError for an option about dates where the model takes none."""
    from cspops.library.model import NO_TIME

    if not model.takes_time:
        raise ParamsError(f"{option}: {NO_TIME}", hint=f"leave {option} out, or train with location_encoder.time: cos_sin")


def position(lon: float | None, lat: float | None) -> tuple[float, float] | None:
    """Return both or None; raise a ParamsError for one alone."""
    if (lon is None) != (lat is None):
        raise ParamsError("--lon and --lat belong together", hint="--lon 8.54 --lat 47.37")
    return None if lon is None or lat is None else (lon if lon < 180 else lon - 360, lat)


def left_out(leave_out_km: float | None, *, retrieval: bool) -> float:
    """Return the value of --leave-out-km or its default; raise a ParamsError where nothing is retrieved."""
    if leave_out_km is not None and not retrieval:
        raise ParamsError(
            "--leave-out-km is for --retrieval, which is not given", hint=f"--retrieval --leave-out-km {leave_out_km:g}"
        )
    return 1.0 if leave_out_km is None else leave_out_km


def require_folder(out: Path) -> None:
    """Raise a ParamsError, before anything is computed, where the folder of an output file is missing."""
    if not out.parent.is_dir():
        raise ParamsError(f"the folder {out.parent} is missing", hint=f"mkdir -p {out.parent}")
