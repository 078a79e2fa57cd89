"""Options that name a trained model, and the model that they name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cspops.cli.completions import model_folders
from cspops.cli.loudness import tell
from cspops.cli.surroundings import read_host

if TYPE_CHECKING:
    from cspops.library.model import Model

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
    tell(f"device: {model.device}")
    for folder in model.folders:
        tell(f"reads: {folder}")
    return model
