"""The stages of dvc.yaml."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from cspops.commands.app import STAGES, app, examples
from cspops.commands.options import (
    ClassesOption,
    JsonOption,
    MinConfidenceOption,
    PriorWeightOption,
    RatioOption,
    RegionOption,
    TaxonomyOption,
    WeightOption,
    load_models,
    model_folders,
    restricted,
    rolled,
    weighed,
)
from cspops.commands.output import print_json
from cspops.errors import DataError, ParamsError
from cspops.pipeline.run import read_host, read_params, run_stage

log = logging.getLogger(__name__)

EVALUATE_EXAMPLES = examples(
    "cspops evaluate --show --json | jq .test.label_5.combined.top1",
    "cspops evaluate --show --per-class",
    "cspops evaluate --on photos/ --by region",
)


@app.command(rich_help_panel=STAGES, epilog="Example: dvc repro check")
def check() -> None:
    """Check params.yaml and the CSPOPS_ variables, and write a digest of each stage's code, by which DVC sees what changed."""
    from cspops.pipeline import code as project_code

    code = project_code.installed()
    project_code.require_installed(code)
    checked = read_params()
    read_host().require_sense()
    if checked.report.probe:
        from cspops.probing.suite import require_packages

        require_packages(checked.report.probe)
    start = checked.location_encoder.folder
    if start is not None and not start.is_dir():
        from cspops.pipeline.pretrain import START

        raise DataError(f"{start} is missing", hint=START)
    project_code.write(code)


@app.command(rich_help_panel=STAGES, epilog="Example: dvc repro download")
def download() -> None:
    """Write the catalogue of observations that dataset.source names; a published data set is fetched first."""
    run_stage("download")


@app.command(rich_help_panel=STAGES, epilog="Example: dvc repro split")
def split() -> None:
    """Split the observations into unlabelled, few-shot labelled, validation and test rows."""
    run_stage("split")


@app.command(rich_help_panel=STAGES, epilog="Example: dvc exp run -S pretrain_img.method=tile2vec")
def pretrain_img() -> None:
    """Make the frozen image network F*: trained by self-supervision, with random weights, or with published ones."""
    run_stage("pretrain-img")


@app.command(rich_help_panel=STAGES, epilog="Example: dvc repro featurize")
def featurize() -> None:
    """Compute the image features F*(I) of every observation, once."""
    run_stage("featurize")


@app.command(rich_help_panel=STAGES, epilog="Example: dvc exp run -S loss=nce")
def pretrain() -> None:
    """Pre-train one location encoder per seed by contrast with the frozen image features: CSP itself."""
    run_stage("pretrain")


@app.command(rich_help_panel=STAGES, epilog="Example: dvc exp run -S finetune_loc.loss=cross_entropy")
def finetune_loc() -> None:
    """Fine-tune the location encoder with class embeddings, for every seed and label ratio."""
    run_stage("finetune-loc")


@app.command(rich_help_panel=STAGES, epilog="Example: dvc exp run -S finetune_img.mode=full")
def finetune_img() -> None:
    """Fit the image classifier on frozen features, or fine-tune the whole network, for every seed and label ratio."""
    run_stage("finetune-img")


@app.command(rich_help_panel=STAGES, epilog=EVALUATE_EXAMPLES)
def evaluate(
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on",
            help="Score other labelled images: a folder, a table, an image, or - for paths on stdin; repeatable.",
            metavar="PATH",
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="With --on: the table's column of labels; default: as params.yaml names it, else recognised.", metavar="COLUMN"
        ),
    ] = None,
    last: Annotated[bool, typer.Option("--show", help="Print the last result, and run nothing.")] = False,
    by: Annotated[
        Literal["region", "latitude", "cell", "distance", "density", "continent", "country"] | None,
        typer.Option(
            help="Also print accuracy by latitude, cell (of 30 degrees), distance (km to the nearest label), density (labels "
            "within 200 km), continent or country; region: by all.",
            metavar="KIND",
        ),
    ] = None,
    by_class: Annotated[bool, typer.Option("--per-class", help="Also print accuracy per class.")] = False,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            help="With --on: a project, an export, or the folder of one model; default: the working folder.",
            metavar="FOLDER",
            autocompletion=model_folders,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="With --on: one seed; default: all.", metavar="SEED")] = None,
    label_ratio: RatioOption = None,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="With --on: leave out images that the model was trained or tuned on.")
    ] = False,
    prior_weight: PriorWeightOption = None,
    weight: WeightOption = None,
    classes: ClassesOption = None,
    region: RegionOption = None,
    min_confidence: MinConfidenceOption = None,
    taxonomy: TaxonomyOption = None,
    json: JsonOption = False,
) -> None:
    """Score the image, the location, their product and the pool; write reports/scores.json and print it as a table.

    With --on, the trained models are scored on other images, and nothing is written. Labels come from a column of a table,
    with --label also of the only table beside the images, or from the names of their folders. Rows that cannot be scored
    are counted by reason, and so are images that the model was trained on. The exit code is 3 when no row can be scored.
    """
    if on:
        if last:
            raise ParamsError("--show prints the last result of the stage, --on scores other images", hint="leave one out")
        from cspops.commands import evaluate

        folder = model or Path()
        models = {
            one: restricted(weighed(each, prior_weight, weight), classes, region)
            for one, each in load_models(folder, seed, label_ratio).items()
        }
        roll_up = rolled(next(iter(models.values())), min_confidence, taxonomy)
        document = evaluate.score(on, folder, models, label=label, unseen=unseen, by=by, by_class=by_class, roll_up=roll_up)
        print_json(document, ensure_ascii=False) if json else evaluate.show_scores(document)
        return
    of_on: dict[str, object] = {"--label": label, "--model": model, "--seed": seed, "--unseen": unseen or None}
    of_on |= {"--prior-weight": prior_weight, "--weight": weight, "--classes": classes, "--region": region}
    for name, value in (of_on | {"--min-confidence": min_confidence, "--taxonomy": taxonomy}).items():
        if value is not None:
            raise ParamsError(f"{name} is for --on, which is not given", hint=f"cspops evaluate --on PATH {name}")
    if not last:
        run_stage("evaluate")
    from cspops.commands import evaluate  # loads torch, which the stage sets up first

    evaluate.show_last(label_ratio, by=by, by_class=by_class, json=json)


@app.command(rich_help_panel=STAGES, epilog="Example: dvc repro report")
def report() -> None:
    """Write reports/report.html and report.md: tables, curves, maps, mistakes and examples."""
    run_stage("report")
    log.info("reports/report.html: the run as one page; reports/report.md: for pull requests")
