"""A released checkpoint, once, into a folder of this project's models."""

import json
from pathlib import Path

from cspops.data.json_files import Document
from cspops.errors import DataError
from cspops.files import replaced
from cspops.models.checkpoint import save_model
from cspops.models.location_encoder import LocationClassifier
from cspops.models.released import Released, read_checkpoint, rebuild
from cspops.pipeline.paths import ARTIFACTS

SOURCE = "source.json"
"""What the folder was made of; no folder without it is ever replaced."""


def default_folder(file: Path) -> Path:
    """artifacts/imported/NAME, where NAME is the file's without `.pth.tar`."""
    name = file.name
    for suffix in (".tar", ".pth", ".pt"):
        name = name.removesuffix(suffix)
    return ARTIFACTS / "imported" / name


def run(file: Path, folder: Path, *, force: bool = False) -> Document:
    """Write encoder/, classifier/ and projection/ (where the checkpoint has them) and source.json into ``folder``.

    The folder appears whole or not at all.

    Returns:
        the content of source.json.

    Raises:
        DataError: see `read_checkpoint` and `rebuild`; or ``folder`` is there already.
    """
    _refuse_to_overwrite(folder, force)
    checkpoint = read_checkpoint(file)
    released = rebuild(checkpoint)
    source = {
        "file": file.name,
        "sha256": checkpoint.sha256,
        "epoch": checkpoint.epoch,
        "kind": released.kind,
        "params": checkpoint.params,
        "encoder": released.encoder.config,
        "mapped": released.mapped,
        "left_out": released.left_out,
    }
    with replaced(folder) as new:
        _write(new, released)
        (new / SOURCE).write_text(json.dumps(source, indent=1, sort_keys=True, default=repr) + "\n")
    return source


def _refuse_to_overwrite(folder: Path, force: bool) -> None:
    if not folder.exists():
        return
    if not (folder / SOURCE).is_file():
        raise DataError(f"{folder} is there and was not made by import-checkpoint", hint="name another folder with --out")
    if not force:
        raise DataError(f"{folder} is there already", hint="--force replaces it, --out FOLDER names another")


def _write(folder: Path, released: Released) -> None:
    save_model(folder / "encoder", released.encoder, released.encoder.config)
    if released.class_embedding is not None:
        classifier = LocationClassifier(released.encoder, released.class_embedding)
        save_model(folder / "classifier", classifier, classifier.config)
    if released.projection is not None:
        linear = released.projection.linear
        save_model(folder / "projection", released.projection, {"dim_in": linear.in_features, "dim_out": linear.out_features})


def parts(source: Document) -> list[list[str]]:
    """Rows of (subfolder, what it is, number of the checkpoint's tensors in it) of what `run` wrote."""
    whats = {
        "encoder": "e: places to embeddings",
        "classifier": "e and class embeddings T: places to scores",
        "projection": "W: image features to embeddings",
    }
    count = {part: sum(name.startswith(f"{part}.") for name in source["mapped"]) for part in ("encoder", "projection")}
    classes = sum(name.startswith("class_embedding.") for name in source["mapped"])
    count["classifier"] = classes and count["encoder"] + classes
    return [[part, what, str(count[part])] for part, what in whats.items() if count[part]]
