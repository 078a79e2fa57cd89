"""Options that commands share, what a shell offers after the tab key, and the model that options name."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cspops.errors import ParamsError
from cspops.pipeline.run import read_host

if TYPE_CHECKING:
    from cspops.library.model import Model

log = logging.getLogger(__name__)


MODELS = ("artifacts/finetune_loc/seed_*/label_*", "artifacts/pretrain/seed_*", "artifacts/imported/*")


def class_names(ctx: Any, incomplete: str) -> list[str]:
    """Classes of the run that --model names, or of the folder that the shell is in.

    ``ctx`` is Typer's, which gives it to a parameter of that name.
    """
    folder = Path(ctx.params.get("model") or ".").absolute()
    for one in (folder / "artifacts", folder, *folder.parents[:3]):
        try:
            names = json.loads((one / "download" / "classes.json").read_text())
        except (OSError, ValueError):
            continue
        return [name for name in names if name.startswith(incomplete)]
    return []


def model_folders(incomplete: str) -> list[str]:
    """Models below the folder that the shell is in, or below the project that is begun to be named."""
    begun = incomplete.rpartition("/artifacts")[0]
    roots = {"": Path()} | ({f"{begun}/": Path(begun)} if begun else {})
    found = [
        f"{before}{folder.relative_to(root).as_posix()}"
        for before, root in roots.items()
        for kind in MODELS
        for folder in root.glob(kind)
    ]
    return sorted(one for one in found if one.startswith(incomplete))


ModelOption = Annotated[
    Path,
    typer.Option(
        "--model",
        help="A project, or one of its models (artifacts/pretrain/seed_0).",
        metavar="FOLDER",
        autocompletion=model_folders,
    ),
]
SeedOption = Annotated[int | None, typer.Option(help="Of a whole run; default: the smallest.", metavar="SEED")]
RatioOption = Annotated[float | None, typer.Option(help="Of a whole run; default: the largest.", metavar="RATIO")]


def load_model(folder: Path, seed: int | None, label_ratio: float | None) -> "Model":
    """The model that the options name, on the host's device."""
    from cspops.library.loading import load

    return _told(load(folder, seed=seed, label_ratio=label_ratio, device=read_host().torch_device()))


def load_models(folder: Path, seed: int | None, label_ratio: float | None) -> "dict[int, Model]":
    """By seed, the models that the options name: all of a whole run without a seed; of another folder the one model, as 0."""
    from cspops.library.loading import load_seeds, run_of

    if seed is not None or run_of(folder) is None:
        return {seed or 0: load_model(folder, seed, label_ratio)}
    models = load_seeds(folder, label_ratio=label_ratio, device=read_host().torch_device())
    for model in models.values():
        _told(model)
    return models


def _told(model: "Model") -> "Model":
    """The same model, after --verbose has said where it computes and what it was read from."""
    log.debug(f"device: {model.device}")
    for folder in model.folders:
        log.debug(f"reads: {folder}")
    return model


LonOption = Annotated[float | None, typer.Option(help="Longitude, degrees.", min=-180.0, max=360.0)]
LatOption = Annotated[float | None, typer.Option(help="Latitude, degrees.", min=-90.0, max=90.0)]


def position(lon: float | None, lat: float | None) -> tuple[float, float] | None:
    """Both or neither; ParamsError for one alone."""
    if (lon is None) != (lat is None):
        raise ParamsError("--lon and --lat belong together", hint="--lon 8.54 --lat 47.37")
    return None if lon is None or lat is None else (lon if lon < 180 else lon - 360, lat)


def require_folder(out: Path) -> None:
    """ParamsError where the folder that a file is to be written into is missing; before anything is computed."""
    if not out.parent.is_dir():
        raise ParamsError(f"the folder {out.parent} is missing", hint=f"mkdir -p {out.parent}")
