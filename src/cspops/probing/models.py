"""The encoders of the folders that a command names: one row each, an untrained twin, and what their run has besides."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cspops.errors import DataError, ParamsError, listed
from cspops.library.loading import load, run_of
from cspops.library.retrieval import Database, Retrieval, features_of, images_of, read_database, run_with_images
from cspops.models.location_encoder import LocationEncoder
from cspops.probing.encoders import Encoder, baselines, given, learned, untrained
from cspops.probing.targets import Target


@dataclass(frozen=True)
class Probed:
    """The location encoder of a folder.

    Attributes:
        name: of its row.
        images: the artefacts of the run that it is from, where they are around it.
        database: what retrieval reads.
    """

    name: str
    encoder: LocationEncoder
    images: Path | None
    database: Database | None = None


def read_models(folders: Sequence[Path], *, seed: int | None, device: torch.device, retrieval: bool) -> list[Probed]:
    """Load the encoder of each folder; of a project that of stage pretrain, which has seen no label.

    Raises:
        DataError: a folder has no encoder; or none of its run's images, which ``retrieval`` asks for.
        ParamsError: a folder is named twice.
    """
    if twice := [one for number, one in enumerate(folders) if one.resolve() in [other.resolve() for other in folders[:number]]]:
        raise ParamsError(f"--model {twice[0]} is named twice", hint="each folder is one row")
    databases: dict[Path, Database] = {}
    out = []
    for folder in folders:
        run, place = run_of(folder) if folder.is_dir() else None, folder
        if run is not None and (run / "pretrain").is_dir():
            place = _of_seed(run / "pretrain", seed)
        encoder = load(place, device=device, images=False).encoder
        images = images_of(folder) if retrieval else run_with_images(folder)
        if retrieval and images is not None and images not in databases:
            databases[images] = read_database(images)
        database = databases.get(images) if images is not None else None
        out.append(Probed(place.as_posix(), encoder, images, database))
    return out


def encoders(models: Sequence[Probed], target: Target, *, leave_out_km: float, seed: int) -> Iterator[Encoder]:
    """Yield what is probed with a target: baselines, image features of its rows, untrained twins, models, retrieval."""
    yield from baselines()
    for run in dict.fromkeys(model.images for model in models if model.images is not None):
        features = None if target.obs_id is None else features_of(run, target.obs_id)
        if features is not None:
            yield given("image features of the rows", features)
    seen: list[object] = []
    for model in models:
        if model.encoder.config not in seen:
            seen.append(model.encoder.config)
            yield untrained(model.encoder, f"untrained, as {model.name}", seed=seed)
    for model in models:
        yield learned(model.name, model.encoder)
        if model.database is not None:
            of_images = Retrieval(model.encoder, model.database, leave_out_km=leave_out_km)
            yield learned(f"retrieval, {model.name}", of_images)


def _of_seed(stage: Path, seed: int | None) -> Path:
    """Return the folder of a seed, None: of the smallest; DataError where there is none, ParamsError where that one is not."""
    seeds = sorted(int(one.name.removeprefix("seed_")) for one in stage.glob("seed_*"))
    if not seeds:
        raise DataError(f"{stage} has no seed at all", hint="dvc repro pretrain")
    if seed is not None and seed not in seeds:
        raise ParamsError(f"{stage} has no seed {seed}: it has {listed(map(str, seeds))}", hint=f"--seed {seeds[0]}")
    return stage / f"seed_{seeds[0] if seed is None else seed}"
