"""Commands about what others made."""

from pathlib import Path
from typing import Annotated

import typer

from cspops.cli.app import OTHERS, app
from cspops.cli.loudness import say
from cspops.cli.surroundings import print_json, show

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
    from cspops.stages import import_checkpoint as stage

    folder = out or stage.default_folder(file)
    source = stage.run(file, folder, force=force)
    if json:
        print_json(source, sort_keys=True)
        return
    print(folder)
    show(f"{source['kind']}, epoch {source['epoch']}", [["part", "what", "tensors"], *stage.parts(source)], text_columns=2)
    for name, reason in source["left_out"].items():
        say(f"left out: {name}: {reason}")
