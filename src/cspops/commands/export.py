"""`cspops export`: write the trained models into a folder of their own."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from cspops.commands.app import USE, app, examples
from cspops.commands.layout import show
from cspops.commands.options import ForceOption, JsonOption, ModelOption, RatioOption, SeedOption
from cspops.commands.output import print_json
from cspops.terminal import say

log = logging.getLogger(__name__)

EXAMPLES = examples(
    "cspops export --out csp-climate",
    "cspops export --model artifacts/pretrain/seed_0 --out csp-encoder",
    'in Python: cspops.load("csp-climate")',
)


@app.command(rich_help_panel=USE, epilog=EXAMPLES)
def export(
    out: Annotated[Path, typer.Option(help="Folder to write.", metavar="FOLDER")],
    model: ModelOption = Path(),
    seed: SeedOption = None,
    label_ratio: RatioOption = None,
    only: Annotated[
        Literal["encoder", "location"] | None,
        typer.Option(help="Only a part: encoder (places to embeddings) or location (also to classes), without images."),
    ] = None,
    onnx: Annotated[
        bool, typer.Option("--onnx/--no-onnx", help="Write ONNX files too, each checked against the model.")
    ] = True,
    without_places: Annotated[
        bool, typer.Option("--without-places", help="Leave out the labelled places, which say where photos were taken.")
    ] = False,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Write the trained models into a folder that needs no project: safetensors, ONNX and a model card for a model hub.

    The labelled places that the pool counts are written too, at most 200,000, and at most 50,000 in combined.onnx; with
    more, the pool counts no neighbours there.
    """
    from cspops.commands import exported_folder
    from cspops.library.onnx.graphs import POOL_OUTPUT

    contents = exported_folder.Contents(only=only, onnx=onnx, places=not without_places)
    about = exported_folder.run(model, out, contents, seed=seed, label_ratio=label_ratio, force=force)
    if json:
        print_json(about, ensure_ascii=False)
        return
    say(str(out))
    rows = [["file", "bytes", "largest difference from float64"]]
    for name, one in about["files"].items():
        differences = about["onnx"].get(name.removeprefix("onnx/"), {})
        worst = f"{max(output['onnx'] for output in differences.values()):.1e}" if differences else ""
        rows.append([name, f"{one['bytes']:,}", worst])
    show("", rows, text_columns=1)
    if about["pool"] is not None and about["pool"]["places"]:
        files = (
            "places.parquet and combined.onnx" if POOL_OUTPUT in about["onnx"].get("combined.onnx", {}) else "places.parquet"
        )
        told = "which say where training images were taken; --without-places leaves them out"
        log.info(f"in {files}: {about['pool']['places']:,} labelled places, {told}")
    for sentence in about["lacking"]:
        log.info(f"not included: {sentence.replace('`', '')}")
