"""`cspops import-checkpoint`: a released checkpoint in this project's formats."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from cspops.commands.app import OTHERS, app
from cspops.commands.output import print_json, show

log = logging.getLogger(__name__)

EXAMPLE = """Example: cspops import-checkpoint model_fmow.pth.tar --out imported/fmow.
In Python: from cspops.models.loading import load_location_encoder;
load_location_encoder("FOLDER/encoder")(torch.tensor([[8.5, 47.4]])) embeds places, in degrees, longitude first."""


@app.command(rich_help_panel=OTHERS, epilog=EXAMPLE)
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="A .pth.tar file of the released CSP code.", metavar="FILE")],
    out: Annotated[Path | None, typer.Option(help="Default: artifacts/imported/NAME.", metavar="FOLDER")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier import in that folder.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print source.json.")] = False,
) -> None:
    """Turn a checkpoint of the released CSP, Sphere2Vec or TorchSpatial code into safetensors with the same output."""
    from cspops.commands import imported_checkpoint

    folder = out or imported_checkpoint.default_folder(file)
    source = imported_checkpoint.run(file, folder, force=force)
    if json:
        print_json(source, sort_keys=True)
        return
    print(folder)
    show(
        f"{source['kind']}, epoch {source['epoch']}",
        [["part", "what", "tensors"], *imported_checkpoint.parts(source)],
        text_columns=2,
    )
    for name, reason in source["left_out"].items():
        log.info(f"left out: {name}: {reason}")
