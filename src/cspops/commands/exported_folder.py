"""Export the models of one seed and label ratio into a folder that needs no project."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel
from torch import nn

from cspops.artefacts import json_as
from cspops.data.json_files import Document
from cspops.errors import DataError
from cspops.files import replaced, sha256_of
from cspops.library import export_facts as facts
from cspops.library.export_facts import metrics_of
from cspops.library.exported import ABOUT, is_export, reading_facts, write_parts
from cspops.library.loading import load
from cspops.library.model import Model
from cspops.library.onnx.graphs import MOST_PLACES as MOST_PLACES_IN_ONNX
from cspops.library.onnx.graphs import PoolOfPlaces
from cspops.library.onnx.writing import require_packages
from cspops.report.model_card import CARD, model_card

if TYPE_CHECKING:
    from cspops.library.onnx.checking import Deviation

log = logging.getLogger(__name__)

Only = Literal["encoder", "location"]
"""The location encoder alone, or with its classes; without an image network."""
MOST_PLACES = 200_000
"""Labelled places that an export holds."""


@dataclass(frozen=True)
class Contents:
    """What an exported folder holds."""

    only: Only | None = None
    """Which parts are written; None: all."""
    onnx: bool = True
    """Whether ONNX files are written beside the safetensors."""
    places: bool = True
    """Whether the pool keeps its labelled places, which say where training images were taken."""


def run(
    folder: Path,
    out: Path,
    contents: Contents = Contents(),
    *,
    seed: int | None = None,
    label_ratio: float | None = None,
    force: bool = False,
) -> Document:
    """Write the models in ``folder``, their ONNX files and a card into ``out``, which appears whole or not at all.

    Args:
        folder: as for `cspops.load`; so are ``seed`` and ``label_ratio``.
        out: the new folder.
        contents: what is written.
        force: whether an earlier export is replaced.

    Returns:
        the content of export.json.

    Raises:
        EnvironmentProblem: a package is missing that ONNX files need.
        DataError: there is no such model, or ``out`` exists (see `_refuse_to_overwrite`).
        CspopsError: a part cannot be written as ONNX, or its ONNX file returns other numbers than torch.
    """
    _refuse_to_overwrite(out, force)
    if is_export(folder):
        raise DataError(f"{folder} is an exported folder already", hint="copy it, or export from the project")
    if contents.onnx:
        require_packages()
    origin = facts.origin_of(folder, seed=seed, label_ratio=label_ratio)
    model, without_places = _without_places(_part_of(load(folder, seed=seed, label_ratio=label_ratio), contents.only), contents)
    with replaced(out.resolve()) as new:
        write_parts(new, model)
        differences = _write_onnx(new, model) if contents.onnx else {}
        about = _about(folder, origin, model, contents.only) | {"onnx": differences}
        about["lacking"] += without_places
        if not contents.onnx:
            about["lacking"].append("ONNX files: `--no-onnx` left them out.")
        elif model.pool is not None and model.image is not None and model.image.head is not None and _onnx_pool(model) is None:
            about["lacking"].append(f"The pool in the ONNX files: there are more than {MOST_PLACES_IN_ONNX:,} labelled places.")
        about["files"] = {one.relative_to(new).as_posix(): _sizes(one) for one in sorted(new.rglob("*")) if one.is_file()}
        (new / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (new / CARD).write_text(model_card(about), encoding="utf-8")
    return about


class _Listed(BaseModel):
    """What export.json must hold here."""

    files: dict[str, Any]


def _refuse_to_overwrite(out: Path, force: bool) -> None:
    """Raise a DataError where ``out`` exists, unless ``force`` is set and an export wrote all that is in it."""
    if not out.exists():
        return
    if not is_export(out):
        raise DataError(f"{out} exists and was not made by cspops export", hint="name another folder with --out")
    if not force:
        raise DataError(f"{out} exists already", hint="--force replaces it, --out FOLDER names another")
    known = {*json_as(out / ABOUT, _Listed, remake="name another folder with --out").files, ABOUT, CARD}
    others = sorted(
        one.relative_to(out).as_posix()
        for one in out.rglob("*")
        if one.is_file() and one.relative_to(out).as_posix() not in known
    )
    if others:
        raise DataError(
            f"{out} holds {others[0]}, which cspops export did not write: it would be lost", hint="--out names another folder"
        )


def _part_of(model: Model, only: Only | None) -> Model:
    if only == "encoder":
        return Model(model.encoder)
    return model if only is None else replace(model, image=None)


def _without_places(model: Model, contents: Contents) -> tuple[Model, list[str]]:
    """Return the model without its labelled places where it may not keep them, and a sentence on that."""
    if model.pool is None or model.places is None or not len(model.places.label):
        return model, []
    count = len(model.places.label)
    if contents.places and count <= MOST_PLACES:
        return model, []
    why = f"there are {count:,}, more than {MOST_PLACES:,}" if contents.places else "`--without-places` left them out"
    sentence = f"Labelled places: {why}. The pool counts no neighbours and weighs image and place as far from labels."
    return replace(model, places=None), [sentence]


def _onnx_pool(model: Model) -> PoolOfPlaces | None:
    """Return the pool as a part of an ONNX file; None where there is none, or too many places."""
    places = model.labelled_places
    return PoolOfPlaces(model.pool, places) if model.pool is not None and len(places.label) <= MOST_PLACES_IN_ONNX else None


def _write_onnx(new: Path, model: Model) -> "dict[str, dict[str, Deviation]]":
    """Write the ONNX files and return, for each file, the deviation of each output."""
    from cspops.library.onnx.checking import check_onnx
    from cspops.library.onnx.graphs import CombinedProbabilities, Embedding, LocationProbabilities, example
    from cspops.library.onnx.writing import write_onnx

    graphs: dict[str, tuple[str, nn.Module]] = {"location_encoder.onnx": ("the location encoder", Embedding(model.encoder))}
    if model.classifier is not None:
        location = LocationProbabilities(model.classifier)
        graphs["location_classifier.onnx"] = ("the location classifier", location)
        if model.image is not None and model.image.head is not None:
            network = model.image.network
            combined = CombinedProbabilities(network, model.image.head, location, _onnx_pool(model))
            graphs["combined.onnx"] = (f"the image network {network.config['model']}", combined)
    differences = {}
    px = model.image.network.config["px"] if model.image is not None else None
    for file, (name, graph) in graphs.items():
        graph.eval().requires_grad_(False)
        log.info(f"export: onnx/{file}")
        write_onnx(new / "onnx" / file, graph, example(graph, px), name=name, facts=_onnx_metadata(model))
        differences[file] = check_onnx(new / "onnx" / file, graph, name=name, px=px)
    return differences


def _onnx_metadata(model: Model) -> Mapping[str, str]:
    """Return the texts that each ONNX file carries."""
    names = {} if model.classes is None else {"classes": json.dumps(model.classes, ensure_ascii=False)}
    dates = {"dates": "share of the year in UTC, in [0, 1); nan: none"} if model.takes_time else {}
    return {"made_by": f"cspops {version('cspops')}", "positions": "degrees, longitude first, WGS84", **dates, **names}


def _about(folder: Path, origin: facts.Origin, model: Model, only: Only | None) -> Document:
    params = facts.params_of(origin.run) if origin.run is not None else {}
    lacking = facts.lacking(origin, model) if only is None else [f"All other parts: `--only {only}` left them out."]
    metrics, no_metrics = metrics_of(origin, model) if model.classifier is not None else ({}, None)
    return {
        "cspops": version("cspops"),
        "git": facts.revision_of(origin.run.parent) if origin.run is not None else None,
        "stage": origin.stage,
        "seed": origin.seed,
        "label_ratio": origin.label_ratio,
        "imported": facts.imported_from(folder) if origin.stage == "imported" else {},
        "dim": model.encoder.dim,
        "classes": None if model.classifier is None else model.classifier.class_embedding.linear.out_features,
        "image": None if model.image is None else _image_facts(model),
        "pool": None if model.pool is None else asdict(model.pool) | {"places": len(model.labelled_places.label)},
        "encoder": model.encoder.config,
        "data": facts.data_of(origin, params),
        "params": params,
        "metrics": metrics,
        "lacking": lacking + ([no_metrics] if no_metrics else []),
    }


def _image_facts(model: Model) -> Document:
    """Return how images are prepared, and whether there is a classifier."""
    assert model.image is not None
    config = {key: model.image.network.config[key] for key in ("model", "px", "crop", "interpolation", "mean", "sd", "weights")}
    return (
        config
        | reading_facts(model.image.reading)
        | {"features": model.image.network.dim, "head": model.image.head is not None}
    )


def _sizes(file: Path) -> Document:
    return {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
