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
    from cspops.models.released import Released

log = logging.getLogger(__name__)

EXAMPLES = examples(
    "cspops import-checkpoint model_fmow.pth.tar --out imported/fmow",
    'in Python: cspops.load("imported/fmow").encode_location([[8.5, 47.4]])',
)


@app.command(rich_help_panel=OTHERS, epilog=EXAMPLES)
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="A .pth.tar file of the released CSP code.", metavar="FILE")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; default: artifacts/imported/NAME.", metavar="FOLDER")
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Convert a checkpoint of the released CSP, Sphere2Vec or TorchSpatial code to safetensors with the same output."""
    folder = out or default_folder(file)
    source = run(file, folder, force=force)
    if json:
        print_json(source, sort_keys=True)
        return
    say(str(folder))
    show(
        f"{source['kind']}, epoch {source['epoch']}",
        [["part", "what", "tensors"], *parts(source)],
        text_columns=2,
    )
    for name, reason in source["left_out"].items():
        log.info(f"left out: {name}: {reason}")


def default_folder(file: Path) -> Path:
    """Return artifacts/imported/NAME, where NAME is the file's without `.pth.tar`."""
    name = file.name
    for suffix in (".tar", ".pth", ".pt"):
        name = name.removesuffix(suffix)
    return Path("artifacts/imported", name)


def run(file: Path, folder: Path, *, force: bool = False) -> Document:
    """Write encoder/, classifier/ and projection/ (where the checkpoint has them) and source.json into ``folder``.

    The folder appears whole or not at all.

    Returns:
        the content of source.json.

    Raises:
        DataError: see `read_checkpoint` and `rebuild`; or ``folder`` exists already.
    """
    from cspops.files import replaced
    from cspops.models.released import SOURCE, read_checkpoint, rebuild
    from cspops.models.torch_files import shown

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
        (new / SOURCE).write_text(json_text.dumps(source, indent=1, sort_keys=True, default=shown) + "\n")
    return source


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
        "encoder": "e: places to embeddings",
        "classifier": "e and class embeddings T: places to scores",
        "projection": "W: image features to embeddings",
    }
    count = {part: sum(name.startswith(f"{part}.") for name in source["mapped"]) for part in ("encoder", "projection")}
    classes = sum(name.startswith("class_embedding.") for name in source["mapped"])
    count["classifier"] = classes and count["encoder"] + classes
    return [[part, what, str(count[part])] for part, what in descriptions.items() if count[part]]
