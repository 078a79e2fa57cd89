"""The stages of dvc.yaml."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from cspops.commands.app import STAGES, app
from cspops.commands.options import RatioOption, load_models, model_folders
from cspops.errors import ParamsError
from cspops.pipeline.run import read_params, run_stage

log = logging.getLogger(__name__)

EVALUATE_EXAMPLE = """Example: cspops evaluate --json | jq .test.label_5.combined.top1; cspops evaluate --show --per-class;
cspops evaluate --on photos/ --by region"""


@app.command(rich_help_panel=STAGES, epilog="Example: dvc repro check")
def check() -> None:
    """Check params.yaml before all else, and write a digest of each stage's code, by which DVC runs what changed."""
    from cspops.pipeline import code as project_code

    code = project_code.installed()
    project_code.require_installed(code)
    read_params()
    project_code.write(code)


@app.command(rich_help_panel=STAGES, epilog="Example: dvc repro download")
def download() -> None:
    """Make the catalogue of observations of dataset.source, after fetching a published set where it is missing."""
    run_stage("download")


@app.command(rich_help_panel=STAGES, epilog="Example: dvc repro split")
def split() -> None:
    """Decide which rows are unlabelled, few-shot labelled, validation or test."""
    run_stage("split")


@app.command(rich_help_panel=STAGES, epilog="Example: dvc exp run -S pretrain_img.method=tile2vec")
def pretrain_img() -> None:
    """Make the frozen image network F*: self-supervised on the training images, random or published."""
    run_stage("pretrain-img")


@app.command(rich_help_panel=STAGES, epilog="Example: dvc repro featurize")
def featurize() -> None:
    """Compute the image features F*(I) of every observation, once."""
    run_stage("featurize")


@app.command(rich_help_panel=STAGES, epilog="Example: dvc exp run -S loss=nce")
def pretrain() -> None:
    """Contrast locations with frozen image features: CSP proper, one location encoder per seed."""
    run_stage("pretrain")


@app.command(rich_help_panel=STAGES, epilog="Example: dvc exp run -S finetune_loc.loss=cross_entropy")
def finetune_loc() -> None:
    """Fine-tune the location encoder with class embeddings, for every seed and label ratio."""
    run_stage("finetune-loc")


@app.command(rich_help_panel=STAGES, epilog="Example: dvc exp run -S finetune_img.mode=full")
def finetune_img() -> None:
    """Fit the image classifier on frozen features, or fine-tune the whole network, for every seed and label ratio."""
    run_stage("finetune-img")


@app.command(rich_help_panel=STAGES, epilog=EVALUATE_EXAMPLE)
def evaluate(
    on: Annotated[
        list[str] | None,
        typer.Option("--on", help="Score other labelled images: a folder, a table, an image, - for stdin.", metavar="PATH"),
    ] = None,
    last: Annotated[bool, typer.Option("--show", help="Show the last result, run nothing.")] = False,
    by: Annotated[
        Literal["region", "latitude", "cell", "distance"] | None,
        typer.Option(
            help="Accuracy by place as well: by latitude band, cell or distance to the nearest label; region: by all."
        ),
    ] = None,
    by_class: Annotated[bool, typer.Option("--per-class", help="Accuracy per class as well.")] = False,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", help="With --on: a project, or one of its models.", metavar="FOLDER", autocompletion=model_folders
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="With --on: one seed; default: all.", metavar="SEED")] = None,
    label_ratio: RatioOption = None,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="With --on: leave out images that the model was trained or tuned on.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Score image, location, their product and the pool; write reports/scores.json and show it as a table.

    With --on nothing is written: the trained models are scored on other images, whose labels come from a table's column or
    from the names of their folders. Rows that cannot be scored are counted by reason, exit code 3 when none can; images that
    the model was trained on are counted as well.
    """
    from cspops.commands import evaluate

    if on:
        if last:
            raise ParamsError("--show is for the last result of the stage, --on for other images", hint="leave one out")
        folder = model or Path()
        models = load_models(folder, seed, label_ratio)
        evaluate.score(on, folder, models, unseen=unseen, by=by, by_class=by_class, json=json)
        return
    for name, value in (("--model", model), ("--seed", seed), ("--unseen", unseen or None)):
        if value is not None:
            raise ParamsError(f"{name} chooses what --on scores", hint="cspops evaluate --on PATH")
    if not last:
        run_stage("evaluate")
    evaluate.show_last(label_ratio, by=by, by_class=by_class, json=json)


@app.command(rich_help_panel=STAGES, epilog="Example: dvc repro report")
def report() -> None:
    """Write reports/report.html and report.md: tables, curves, maps, mistakes and examples."""
    run_stage("report")
    log.info("reports/report.html: the run as one page; reports/report.md: for pull requests")
