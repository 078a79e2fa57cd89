"""`cspops import-checkpoint`: convert a released checkpoint to this project's formats."""

import json as json_text
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cspops.commands.app import OTHERS, app, examples
from cspops.commands.layout import show
from cspops.commands.options import ForceOption, JsonOption
from cspops.commands.output import print_json
from cspops.data.json_files import Document
from cspops.errors import DataError
from cspops.terminal import say

if TYPE_CHECKING:
    from cspops.gair.published import Content
    from cspops.models.released import Released

log = logging.getLogger(__name__)

EXAMPLES = examples(
    "cspops import-checkpoint model_fmow.pth.tar --out imported/fmow",
    'in Python: cspops.load("imported/fmow").encode_location([[8.5, 47.4]])',
)


@app.command(rich_help_panel=OTHERS, epilog=EXAMPLES)
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="A published file: .pth.tar, .pth, .pt or .ckpt.", metavar="FILE")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; default: artifacts/imported/NAME.", metavar="FOLDER")
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Convert a checkpoint of CSP, geo_prior, Sphere2Vec, TorchSpatial, SINR, SatCLIP, GeoCLIP or GAIR to safetensors."""
    folder = out or default_folder(file)
    source = run(file, folder, force=force)
    if json:
        print_json(source, sort_keys=True)
        return
    say(str(folder))
    show(
        source["kind"] if source["epoch"] is None else f"{source['kind']}, epoch {source['epoch']}",
        [["part", "what", "tensors"], *parts(source)],
        text_columns=2,
    )
    for name, reason in source["left_out"].items():
        log.info(f"left out: {name}: {reason}")


def default_folder(file: Path) -> Path:
    """Return artifacts/imported/NAME, where NAME is the file's without `.pth.tar`."""
    name = file.name
    for suffix in (".tar", ".pth", ".pt", ".ckpt"):
        name = name.removesuffix(suffix)
    return Path("artifacts/imported", name)


def run(file: Path, folder: Path, *, force: bool = False) -> Document:
    """Write encoder/ and source.json into ``folder``, with what else the checkpoint has.

    That is classifier/ and projection/, or of GAIR the whole model in gair/. The folder appears whole or not at all.

    Returns:
        the content of source.json.

    Raises:
        DataError: see `read_checkpoint` and `rebuild`, or `gair.published.rebuilt`; or ``folder`` exists already.
    """
    from cspops.files import sha256_of
    from cspops.models.released import read_checkpoint, read_peer, rebuild, rebuild_peer

    _refuse_to_overwrite(folder, force)
    if (gair := _gair(file)) is not None:
        return _write_gair(gair, folder)
    if (peer := read_peer(file)) is not None:
        about = {"file": file.name, "sha256": sha256_of(file), "epoch": peer.epoch, "params": peer.params}
        return _write_released(rebuild_peer(peer), about, folder)
    checkpoint = read_checkpoint(file)
    about = {"file": file.name, "sha256": checkpoint.sha256, "epoch": checkpoint.epoch, "params": checkpoint.params}
    return _write_released(rebuild(checkpoint), about, folder)


def _gair(file: Path) -> "Content | None":
    """Return the content of GAIR's checkpoint; None for any other file, whatever is wrong with it."""
    from cspops.gair.published import read_content

    try:
        content = read_content(file)
    except DataError:
        return None
    return content if content.is_published else None


def _write_released(released: "Released", about: Document, folder: Path) -> Document:
    from cspops.files import replaced

    source = about | {
        "kind": released.kind,
        "encoder": released.encoder.config,
        "mapped": released.mapped,
        "left_out": released.left_out,
    }
    with replaced(folder) as new:
        _write(new, released)
        _write_source(new, source)
    return source


def _write_gair(content: "Content", folder: Path) -> Document:
    from cspops.files import replaced, sha256_of
    from cspops.gair.location import as_location_encoder
    from cspops.gair.model import config_of
    from cspops.gair.published import reasons, rebuilt, released_name
    from cspops.models.checkpoint import save_model

    model, leftovers = rebuilt(content)
    encoder = as_location_encoder(model.location)
    source = {
        "file": content.file.name,
        "sha256": sha256_of(content.file),
        "epoch": content.epoch,
        "kind": "gair",
        "params": config_of(model)["sizes"],
        "encoder": encoder.config,
        "mapped": {f"gair.{name}": released_name(name) for name in model.state_dict()},
        "left_out": reasons(leftovers),
    }
    with replaced(folder) as new:
        save_model(new / "encoder", encoder, encoder.config)
        save_model(new / "gair", model, config_of(model))
        _write_source(new, source)
    return source


def _write_source(folder: Path, source: Document) -> None:
    from cspops.models.released import SOURCE
    from cspops.models.torch_files import shown

    (folder / SOURCE).write_text(json_text.dumps(source, indent=1, sort_keys=True, default=shown) + "\n")


def _refuse_to_overwrite(folder: Path, force: bool) -> None:
    from cspops.models.released import SOURCE

    if not folder.exists():
        return
    if not (folder / SOURCE).is_file():
        raise DataError(f"{folder} exists and was not made by import-checkpoint", hint="name another folder with --out")
    if not force:
        raise DataError(f"{folder} exists already", hint="--force replaces it, --out FOLDER names another")


def _write(folder: Path, released: "Released") -> None:
    from cspops.models.checkpoint import save_model
    from cspops.models.location_encoder import LocationClassifier

    save_model(folder / "encoder", released.encoder, released.encoder.config)
    if released.class_embedding is not None:
        classifier = LocationClassifier(released.encoder, released.class_embedding)
        save_model(folder / "classifier", classifier, classifier.config)
    if released.projection is not None:
        linear = released.projection.linear
        save_model(folder / "projection", released.projection, {"dim_in": linear.in_features, "dim_out": linear.out_features})


def parts(source: Document) -> list[list[str]]:
    """Return one row per subfolder that `run` wrote: its name, what it is, how many of the checkpoint's tensors it holds."""
    descriptions = {
        "gair": "overhead and photo network, location encoder, NILI",
        "encoder": "e: places to embeddings",
        "classifier": "e and class embeddings T: places to scores",
        "projection": "W: image features to embeddings",
    }
    count = {part: sum(name.startswith(f"{part}.") for name in source["mapped"]) for part in ("gair", "encoder", "projection")}
    classes = sum(name.startswith("class_embedding.") for name in source["mapped"])
    count["classifier"] = classes and count["encoder"] + classes
    if count["gair"]:
        count["encoder"] = sum(name.startswith("gair.location.") for name in source["mapped"])
    return [[part, what, str(count[part])] for part, what in descriptions.items() if count[part]]
