"""`cspops export`: write the trained models into a folder of their own."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from cspops.commands.app import USE, app
from cspops.commands.layout import show
from cspops.commands.options import ModelOption, RatioOption, SeedOption
from cspops.commands.output import print_json
from cspops.terminal import say

log = logging.getLogger(__name__)

EXAMPLE = """Example: cspops export --out csp-climate; cspops export --model artifacts/pretrain/seed_0 --out csp-encoder.
In Python: cspops.load("csp-climate")"""


@app.command(rich_help_panel=USE, epilog=EXAMPLE)
def export(
    out: Annotated[Path, typer.Option(help="A new folder.", metavar="FOLDER")],
    model: ModelOption = Path(),
    seed: SeedOption = None,
    label_ratio: RatioOption = None,
    only: Annotated[
        Literal["encoder", "location"] | None,
        typer.Option(help="encoder: places to embeddings; location: also to classes. Both leave the image network out."),
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx/--no-onnx", help="Write ONNX files, each checked against the model.")] = True,
    without_places: Annotated[
        bool, typer.Option("--without-places", help="Leave out the labelled places, which tell where photos were taken.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export in that folder.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print export.json.")] = False,
) -> None:
    """Write the trained models into a folder that needs no project: safetensors, ONNX and a model card for a model hub.

    The pool keeps its labelled places; with more than 200,000 it counts no neighbours. combined.onnx has it up to 50,000.
    """
    from cspops.commands import exported_folder
    from cspops.library.onnx.graphs import POOL_OUTPUT

    contents = exported_folder.Contents(only=only, onnx=onnx, places=not without_places)
    about = exported_folder.run(model, out, contents, seed=seed, label_ratio=label_ratio, force=force)
    if json:
        print_json(about, ensure_ascii=False)
        return
    say(str(out))
    rows = [["file", "bytes", "difference from float64"]]
    for name, one in about["files"].items():
        differences = about["onnx"].get(name.removeprefix("onnx/"), {})
        worst = f"{max(output['onnx'] for output in differences.values()):.1e}" if differences else ""
        rows.append([name, f"{one['bytes']:,}", worst])
    show("", rows, text_columns=1)
    if about["pool"] is not None and about["pool"]["places"]:
        files = (
            "places.parquet and combined.onnx" if POOL_OUTPUT in about["onnx"].get("combined.onnx", {}) else "places.parquet"
        )
        told = "which tell where training images were taken; --without-places leaves them out"
        log.info(f"in {files}: {about['pool']['places']:,} labelled places, {told}")
    for sentence in about["lacking"]:
        log.info(f"not in it: {sentence.replace('`', '')}")
