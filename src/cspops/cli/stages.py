"""The stages of dvc.yaml."""

from typing import Annotated

import typer

from cspops.cli.app import STAGES, app
from cspops.cli.surroundings import read_params, run_stage, show


@app.command(rich_help_panel=STAGES)
def check() -> None:
    """Check params.yaml: every key, value and combination. The first stage, so that nothing else is touched."""
    from cspops import paths

    read_params()
    paths.write_whole(paths.ARTIFACTS / "check.ok", "params.yaml is valid\n")


@app.command(rich_help_panel=STAGES)
def download() -> None:
    """Make the catalogue of observations of dataset.source; fetch a published set first where it is missing."""
    run_stage("download")


@app.command(rich_help_panel=STAGES)
def split() -> None:
    """Decide who is unlabelled, few-shot labelled, validation or test."""
    run_stage("split")


@app.command(rich_help_panel=STAGES)
def pretrain_img() -> None:
    """Make the frozen image network F*: self-supervised on the training images, random or published."""
    run_stage("pretrain-img")


@app.command(rich_help_panel=STAGES)
def featurize() -> None:
    """Compute the image features F*(I) of every observation, once."""
    run_stage("featurize")


@app.command(rich_help_panel=STAGES)
def pretrain() -> None:
    """Contrast locations with frozen image features: CSP proper, one location encoder a seed."""
    run_stage("pretrain")


@app.command(rich_help_panel=STAGES)
def finetune_loc() -> None:
    """Fine-tune the location encoder with class embeddings, for every seed and label ratio."""
    run_stage("finetune-loc")


@app.command(rich_help_panel=STAGES)
def finetune_img() -> None:
    """Fit the image classifier on frozen features, or fine-tune the whole network, for every seed and label ratio."""
    run_stage("finetune-img")


@app.command(rich_help_panel=STAGES, epilog="Example: cspops evaluate --json | jq .test.label_5.combined.top1")
def evaluate(
    json: Annotated[bool, typer.Option("--json", help="Print the metrics as one JSON document.")] = False,
) -> None:
    """Score image, location and both combined; write reports/metrics.json and show it as a table."""
    from cspops import paths

    run_stage("evaluate")
    text = (paths.REPORTS / "metrics.json").read_text()
    if json:
        print(text, end="")
        return
    import json as json_package

    from cspops.report.tables import accuracy_rows

    show("Top-1 accuracy, per cent, mean (sd) over seeds", accuracy_rows(json_package.loads(text)), text_columns=2)


@app.command(rich_help_panel=STAGES)
def report() -> None:
    """Write reports/report.html and report.md: tables, curves, maps, mistakes and examples."""
    run_stage("report")
