"""Load a `Model` from a folder: a whole run, or one stage's model of a seed."""

import re
from pathlib import Path

import torch

from cspops.errors import DataError, ParamsError
from cspops.evaluation.results import RATIO, ratio_of
from cspops.library.exported import is_export, read_parts
from cspops.library.model import Model
from cspops.models.checkpoint import load_config
from cspops.models.loading import load_location_classifier, load_location_encoder

LOADABLE = (
    "name a project's folder (or its artifacts), artifacts/pretrain/seed_0, artifacts/finetune_loc/seed_0/label_100, "
    "or a folder that cspops export or import-checkpoint wrote"
)
PIECE = re.compile(rf"\bseed_(\d+)(?:/({RATIO.pattern}))?$")
"""How the folder of a stage's model ends."""


def load(
    path: str | Path = ".",
    *,
    seed: int | None = None,
    label_ratio: float | None = None,
    device: str | torch.device = "cpu",
    images: bool = True,
) -> Model:
    """Load the model in a folder, in eval mode; what the folder lacks is None in it.

    A project's folder (or its `artifacts`) gives what was trained there: the location classifier and the image model of one
    seed and label ratio, and the pool that validation chose. A folder of stage pretrain or of `encoder/` gives the
    location encoder, one of finetune-loc or `classifier/` the location classifier; neither needs timm, torchvision or
    images, and an encoder alone no scipy either. A folder that `cspops export` wrote gives all that is in it.

    Args:
        path: the folder.
        seed: of a whole run; None: the smallest that is there.
        label_ratio: of a whole run; None: the largest that is there.
        device: where it computes; results are on the CPU.
        images: False leaves out the image network, which places need not, and loads faster.

    Raises:
        DataError: there is no such folder, or the files are not whole.
        ParamsError: it has no such seed or label ratio.
        RuntimeError: torch has no such device.
    """
    folder, place = _existing(path), torch.device(device)
    run = run_of(folder)
    if run is not None:
        return _whole_run(run, chosen_piece(run / "finetune_loc", seed, label_ratio), place, images=images)
    if seed is not None or label_ratio is not None:
        raise DataError(f"{folder} is no whole run: it has no choice of seed and label ratio", hint=LOADABLE)
    if is_export(folder):
        return read_parts(folder, place, images=images)
    if (folder / "encoder" / "config.json").is_file() and not (folder / "config.json").exists():
        folder = folder / ("classifier" if (folder / "classifier" / "config.json").is_file() else "encoder")
    if not (folder / "config.json").exists():
        hint = "dvc repro trains its models" if (folder / "dvc.yaml").is_file() else LOADABLE
        raise DataError(f"{folder if folder.name else folder.absolute()} holds no trained model", hint=hint)
    seed, label_ratio = _seed_and_ratio(folder.resolve())
    if "classes" not in load_config(folder, remake=LOADABLE):
        encoder = load_location_encoder(folder, remake=LOADABLE).to(place)
        return Model(encoder, device=place, folders=(folder,), seed=seed)
    classifier = load_location_classifier(folder, remake=LOADABLE).to(place)
    names = _names_beside(folder, classifier.class_embedding.linear.out_features)
    return Model(
        classifier.encoder, classifier, classes=names, device=place, folders=(folder,), seed=seed, label_ratio=label_ratio
    )


def load_seeds(
    path: str | Path = ".", *, label_ratio: float | None = None, device: str | torch.device = "cpu"
) -> dict[int, Model]:
    """Load the models of every seed of a whole run at one label ratio, by seed; they share F* where all use it.

    Arguments and errors are those of `load`; a folder that is no whole run is a DataError too.
    """
    folder, place = _existing(path), torch.device(device)
    run = run_of(folder)
    if run is None:
        raise DataError(f"{folder} is no whole run: it has one model", hint=LOADABLE)
    first = chosen_piece(run / "finetune_loc", None, label_ratio)
    models: dict[int, Model] = {}
    for seed in _seeds(run / "finetune_loc"):
        piece = chosen_piece(run / "finetune_loc", seed, ratio_of(first.name))
        models[seed] = _whole_run(run, piece, place, like=next(iter(models.values()), None))
    return models


def run_of(folder: Path, made: str = "finetune_loc") -> Path | None:
    """Return the artefacts of a run in ``folder``, a project or its artefacts, that has ``made``; None where there is none."""
    return next((one for one in (folder / "artifacts", folder) if (one / made).is_dir()), None)


def _seed_and_ratio(piece: Path) -> tuple[int | None, float | None]:
    """Return what the folder of a stage's model is named after: its seed, and the label ratio where it has one."""
    match = PIECE.search(piece.as_posix())
    return (None, None) if match is None else (int(match[1]), ratio_of(match[2]) if match[2] else None)


def _existing(path: str | Path) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"{folder} is {'a file' if folder.is_file() else 'missing'}", hint=LOADABLE)
    return folder


def _whole_run(run: Path, piece: Path, device: torch.device, *, like: Model | None = None, images: bool = True) -> Model:
    from cspops.data.catalogue import CLASSES, read_classes
    from cspops.evaluation.pool import read_pool

    classifier = load_location_classifier(run / "finetune_loc" / piece, remake="dvc repro finetune-loc").to(device)
    classes = read_classes(run / "download" / CLASSES, classifier.class_embedding.linear.out_features)
    image = None
    if images:
        from cspops.library.image_model import load_image_model  # needs torchvision, which location models do without

        image = load_image_model(run, piece, len(classes), device, like=like.image if like is not None else None)
    folders = [run / "finetune_loc" / piece]
    if image is not None and image.folder is not None:
        folders += [image.folder, run / "finetune_img" / piece]
    pool, places = read_pool(run / "evaluate" / piece, classes=len(classes), remake="dvc repro evaluate") or (None, None)
    return Model(classifier.encoder, classifier, image, classes, pool, places, device, tuple(folders), *_seed_and_ratio(piece))


def _seeds(folder: Path) -> list[int]:
    return sorted(int(one.name.removeprefix("seed_")) for one in folder.glob("seed_*"))


def chosen_piece(folder: Path, seed: int | None, label_ratio: float | None) -> Path:
    """Return `seed_S/label_P` in a stage's folder; raise a ParamsError that lists what exists where this one does not."""
    from cspops.data.splits import ratio_key

    seeds = _seeds(folder)
    if not seeds or (seed is not None and seed not in seeds):
        if not seeds:
            raise DataError(f"{folder} has no seed at all", hint="dvc repro finetune-loc")
        raise ParamsError(
            f"{folder} has no seed {seed}: it has {', '.join(map(str, seeds))}",
            hint=f"--seed {seeds[0]} (in Python seed={seeds[0]}), or add {seed} to seeds in params.yaml, then dvc repro",
        )
    chosen = folder / f"seed_{seeds[0] if seed is None else seed}"
    ratios = sorted(ratio_of(one.name) for one in chosen.iterdir() if RATIO.fullmatch(one.name))
    if not ratios or (label_ratio is not None and ratio_key(label_ratio) not in map(ratio_key, ratios)):
        if not ratios:
            raise DataError(f"{chosen} has no label ratio at all", hint="dvc repro finetune-loc")
        most = f"{ratios[-1]:g}"
        raise ParamsError(
            f"{chosen} has no label ratio {label_ratio}: it has {', '.join(f'{ratio:g}' for ratio in ratios)}",
            hint=f"--label-ratio {most} (in Python label_ratio={most}), or add {label_ratio} to split.label_ratios in "
            "params.yaml, then dvc repro",
        )
    return Path(chosen.name) / ratio_key(ratios[-1] if label_ratio is None else label_ratio)


def _names_beside(folder: Path, count: int) -> tuple[str, ...] | None:
    """Return the class names for a folder of stage finetune-loc, from the run or the export that it lies in."""
    from cspops.data.catalogue import CLASSES, read_classes

    above = folder.resolve().parents[:3]
    file = next((one / "download" / CLASSES for one in above if (one / "download").is_dir()), None)
    if is_export(above[0]):
        file = above[0] / CLASSES
    names = read_classes(file) if file is not None and file.is_file() else None
    return names if names is not None and len(names) == count else None
