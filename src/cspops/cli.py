"""The front door: one subcommand a stage of dvc.yaml, and the commands to look at results.

Heavy packages are imported inside the commands, so that `cspops --help` is instant and a wrong params.yaml is refused
before anything else happens.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cspops.errors import CspopsError, EnvironmentProblem, ParamsError

if TYPE_CHECKING:
    from cspops.host import Host
    from cspops.params import Params

STAGES = "Stages (what dvc.yaml calls, in the order of the graph)"
LOOK = "Look at results"
OTHERS = "Use what others made"
DATA = "Use your own images"

app = typer.Typer(
    name="cspops",
    help="Contrastive Spatial Pre-Training of location encoders. `dvc repro` runs every stage that is due.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    epilog="What changes results: params.yaml. Where it runs: CSPOPS_DEVICE, CSPOPS_NPROC, CSPOPS_WORKERS, CSPOPS_DATA_ROOT.",
)


def _version(asked: bool | None) -> None:
    if asked:
        from importlib.metadata import version

        print(f"cspops {version('cspops')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = None,
) -> None:
    """Options of the command itself."""


def main() -> int:
    """Run the command line; errors become a sentence, a hint and an exit code (see `errors`)."""
    try:
        app()
    except CspopsError as error:
        for line in error.message.splitlines():
            print(f"error: {line}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return error.code
    except OSError as error:
        print(f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", file=sys.stderr)
        return EnvironmentProblem.code
    except SystemExit as stop:
        if stop.code == 130:
            print("interrupted: the same command continues", file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else 1
    return 0


def _say(line: str) -> None:
    """A line of progress; stdout is for results."""
    print(line, file=sys.stderr, flush=True)


def _params() -> "Params":
    from cspops import params, paths

    return params.load(paths.PARAMS)


def _host() -> "Host":
    from pydantic import ValidationError

    from cspops.host import Host

    try:
        return Host()
    except ValidationError as error:
        raise EnvironmentProblem(f"a CSPOPS_* variable is wrong: {error.errors()[0]['msg']}") from None


def _run_stage(stage: str) -> None:
    """Check params and inputs, let `cspops.stages.STAGE.run` fill a new folder, put it in place."""
    import importlib

    from cspops import params, paths
    from cspops.stages.site import Site

    checked = _params()
    inputs = paths.require(stage, checked)
    facts = {"stage": stage, "params": params.recorded(checked, stage)}
    module = importlib.import_module(f"cspops.stages.{stage.replace('-', '_')}")
    with paths.scratch(stage, checked) as scratch, paths.whole_folder(paths.folder_of(stage), facts) as out:
        site = Site(paths.RAW, inputs, paths.REPORTS, out, scratch, _host(), _say)
        module.run(params.view(checked, params.VIEWS[stage]), site)
    paths.publish(paths.folder_of(stage))


@app.command(rich_help_panel=STAGES)
def check() -> None:
    """Check params.yaml: every key, value and combination. The first stage, so that nothing else is touched."""
    from cspops import paths

    _params()
    paths.write_whole(paths.ARTIFACTS / "check.ok", "params.yaml is valid\n")


@app.command(rich_help_panel=STAGES)
def download() -> None:
    """Make the catalogue of observations of dataset.source; fetch a published set first where it is missing."""
    _run_stage("download")


@app.command(rich_help_panel=STAGES)
def split() -> None:
    """Decide who is unlabelled, few-shot labelled, validation or test."""
    _run_stage("split")


@app.command(rich_help_panel=STAGES)
def pretrain_img() -> None:
    """Make the frozen image network F*: self-supervised on the training images, random or published."""
    _run_stage("pretrain-img")


@app.command(rich_help_panel=STAGES)
def featurize() -> None:
    """Compute the image features F*(I) of every observation, once."""
    _run_stage("featurize")


@app.command(rich_help_panel=STAGES)
def pretrain() -> None:
    """Contrast locations with frozen image features: CSP proper, one location encoder a seed."""
    _run_stage("pretrain")


@app.command(rich_help_panel=STAGES)
def finetune_loc() -> None:
    """Fine-tune the location encoder with class embeddings, for every seed and label ratio."""
    _run_stage("finetune-loc")


@app.command(rich_help_panel=STAGES)
def finetune_img() -> None:
    """Fit the image classifier on frozen features, or fine-tune the whole network, for every seed and label ratio."""
    _run_stage("finetune-img")


@app.command(rich_help_panel=STAGES, epilog="Example: cspops evaluate --json | jq .test.label_5.combined.top1")
def evaluate(
    json: Annotated[bool, typer.Option("--json", help="Print the metrics as one JSON document.")] = False,
) -> None:
    """Score image, location and both combined; write reports/metrics.json and show it as a table."""
    from cspops import paths

    _run_stage("evaluate")
    text = (paths.REPORTS / "metrics.json").read_text()
    if json:
        print(text, end="")
        return
    import json as json_package

    from cspops.report.tables import accuracy_rows

    _show("Top-1 accuracy, per cent, mean (sd) over seeds", accuracy_rows(json_package.loads(text)), text_columns=2)


@app.command(rich_help_panel=STAGES)
def report() -> None:
    """Write reports/report.md with tables, curves and maps."""
    _run_stage("report")


@app.command(rich_help_panel=LOOK, epilog="Example: cspops versus main")
def versus(
    revision: Annotated[str, typer.Argument(help="A branch, tag, commit or experiment whose predictions are in DVC's cache.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare the workspace's predictions with another revision's, row by row, with paired bootstrap intervals."""
    from cspops import paths
    from cspops.stages import versus as stage

    rows = stage.run(paths.folder_of("evaluate") / "predictions.parquet", revision)
    if json:
        import json as json_package

        print(json_package.dumps(rows, indent=1))
        return
    header = ["role", "labels", "model", "difference", "low", "high"]
    body = []
    for row in rows:
        numbers = [f"{row[key]:+.2f}" for key in header[3:]]
        body.append([row["role"], f"{100 * row['label_ratio']:g} %", row["model"], *numbers])
    title = f"Top-1, workspace minus {revision}, percentage points, 95 % paired bootstrap"
    _show(title, [header, *body], text_columns=3)


@app.command(rich_help_panel=LOOK, epilog="Example: cspops compare main --max-drop 0.5 --md >> summary.md")
def compare(
    base: Annotated[str, typer.Argument(help="A branch, tag, commit or experiment.", metavar="REV")],
    head: Annotated[str | None, typer.Argument(help="Another one; default: the workspace.", metavar="HEAD")] = None,
    max_drop: Annotated[float, typer.Option(help="Points of top-1 that may be lost.", min=0.0, max=100.0)] = 0.5,
    model: Annotated[list[str] | None, typer.Option(help="image, location, combined or calibrated; repeatable.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    md: Annotated[bool, typer.Option("--md", help="Print Markdown.")] = False,
) -> None:
    """Compare metrics and params with another revision's by what git holds; exit code 1 when accuracy really dropped.

    A drop within the spread of the seeds is called noise. Default model: combined.
    """
    from cspops.report import compare_page
    from cspops.stages import compare as stage

    if json and md:
        raise ParamsError("--json and --md are two forms of one answer", hint="cspops compare REV --json")
    document = stage.run(base, head, models=tuple(dict.fromkeys(model or ["combined"])), max_drop=max_drop)
    if json:
        import json as json_package

        print(json_package.dumps(document, indent=1))
    elif md:
        print(compare_page.as_markdown(document), end="")
    else:
        _show(
            f"Top-1, per cent: {document['head']} against {document['base']}",
            compare_page.metric_rows(document),
            text_columns=3,
        )
        if document["params"]:
            _show("", compare_page.param_rows(document), text_columns=1)
        for note in document["notes"]:
            print(f"- {note}")
        print(compare_page.conclusion(document))
    if document["drops"]:
        raise typer.Exit(1)


@app.command(rich_help_panel=LOOK, epilog="Example: cspops tables 1 --queue; dvc queue start; then cspops tables 1")
def tables(
    number: Annotated[int | None, typer.Argument(help="1 to 5; without it, the tables are listed.")] = None,
    queue: Annotated[bool, typer.Option("--queue", help="Queue the runs that are missing as DVC experiments.")] = False,
    any_code: Annotated[bool, typer.Option("--any-code", help="Use runs by other sources too; they are marked.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fill a table of the paper from finished experiments, ours beside the paper's; write reports/tables/."""
    import json as json_package

    from cspops.report import paper_page
    from cspops.stages import tables as stage

    checked = _params()
    document: Any
    if number is None:
        if queue:
            raise ParamsError("no table is named whose runs could be queued", hint="cspops tables 1 --queue")
        document = stage.listing(checked)
    elif queue:
        document = stage.queue(number, checked, any_code=any_code, say=_say)
    else:
        document = stage.collect(number, checked, any_code=any_code, say=_say)
    if json:
        print(json_package.dumps(document, indent=1))
    elif number is None:
        header = ["table", "title", "data of the paper", "rows x columns", "with results here"]
        body = []
        for one in document:
            rows, columns = one["rows"], one["columns"]
            counts = [f"{rows} x {columns}", f"{one['cells_with_results']} of {rows * columns}"]
            body.append([str(one["table"]), one["title"], one["dataset_of_paper"], *counts])
        _show("Tables of the paper", [header, *body], text_columns=3)
    elif queue:
        for kind in ("queued", "waiting", "finished"):
            names = [one["name"] if isinstance(one, dict) else one for one in document[kind]]
            print(f"{kind}: {', '.join(names) or 'none'}")
        for row, reason in dict.fromkeys((one["row"], one["reason"]) for one in document["unavailable"]):
            print(f"not queued: {row}: {reason}")
        if document["queued"] or document["waiting"]:
            print(f"next: dvc queue start (or dvc exp run --run-all), then cspops tables {number}")
    else:
        _show(paper_page.heading(document), paper_page.number_rows(document), text_columns=2)
        _show("Does the paper's order hold?", paper_page.comparison_rows(document), text_columns=2)
        print(paper_page.data_sentence(document))
        for remark in paper_page.remarks(document):
            print(f"- {remark}")


@app.command(rich_help_panel=LOOK, epilog="Example: cspops image-networks moco --also timm:resnet18,pretrained")
def image_networks(
    names: Annotated[list[str] | None, typer.Argument(help="Rows to compute; all without it.", metavar="[METHOD]...")] = None,
    also: Annotated[
        list[str] | None, typer.Option(help="A further network as it comes: timm:resnet18,pretrained.", metavar="MODEL,WEIGHTS")
    ] = None,
    seeds: Annotated[int, typer.Option(help="The first so many of `seeds` in params.yaml.", metavar="N")] = 3,
    again: Annotated[
        bool, typer.Option("--again", help="Compute these rows though they are there, as after new code.")
    ] = False,
    list_rows: Annotated[bool, typer.Option("--list", help="List the rows and compute nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare image networks and their pre-training by linear probes (the paper's Img. Only); write reports/tables/.

    Reads the catalogue and the split alone. A row that is there with the same params, data and seeds is not computed again.
    """
    import json as json_package

    from cspops.report import image_networks_page as pages
    from cspops.stages import image_networks as stage

    document: Any
    if list_rows:
        document = stage.listing(_params(), also=also or (), seeds=seeds)
    else:
        document = stage.run(_params(), _host(), names=names or (), also=also or (), seeds=seeds, again=again, say=_say)
    if json:
        print(json_package.dumps(document, indent=1, ensure_ascii=False))
    elif list_rows:
        _show("Image networks", pages.listing_rows(document), text_columns=4)
    else:
        for role in pages.roles(document):
            _show(pages.heading(role), pages.accuracy_rows(document, role), text_columns=1)
        if len(facts := pages.fact_rows(document)) > 1:
            _show("", facts, text_columns=2)
        print(pages.data_sentence(document))
        for remark in pages.remarks(document):
            print(f"- {remark}")


data = typer.Typer(
    help="Use your own images: point the project at them, and look at what is in them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data, name="data", rich_help_panel=DATA)


@data.command("use", epilog="Example: cspops data use ~/photos --source folder; then cspops data check; then dvc repro")
def data_use(
    path: Annotated[Path, typer.Argument(help="A folder of images, or a table that names them.", metavar="PATH")],
    source: Annotated[Literal["folder", "table"] | None, typer.Option(help="Set dataset.source in params.yaml too.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, say what would change.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make data.dvc import your own folder, whose images `dvc repro` then copies to data/."""
    from cspops.stages import data_use as stage

    document = stage.run(path, _params(), source=source, dry_run=dry_run)
    for warning in document["warnings"]:
        _say(f"warning: {warning}")
    if json:
        import json as json_package

        print(json_package.dumps(document, indent=1))
        return
    print(f"{document['path']}: {document['files']:,} files, {document['bytes'] / 1e6:,.1f} MB, {document['images']:,} images")
    print(f"source: {document['source']}")
    print(f"{'would change: data.dvc' if dry_run else 'changed: ' + ', '.join(document['changed'])} (was {document['was']})")
    for command in document["next"]:
        print(f"next: {command}")
    print(f"back: {document['back']}")


@data.command("check", epilog="Example: cspops data check ~/photos --source folder --map where.png")
def data_check(
    path: Annotated[Path | None, typer.Argument(help="Default: the folder that data.dvc names.", metavar="PATH")] = None,
    source: Annotated[
        Literal["blue_marble", "folder", "table", "inat2018", "fmow"] | None, typer.Option(help="Default: dataset.source.")
    ] = None,
    map_file: Annotated[Path | None, typer.Option("--map", help="Draw the map into a PNG.", metavar="FILE")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Read a source and report what is in it, good and bad; changes nothing.

    Exit code 3 when more rows would be set aside than dataset.max_rejected allows.
    """
    from cspops.stages import data_check as stage

    found = stage.run(_params(), _host(), path=path, source=source, report=_say)
    if map_file is not None:
        stage.draw(found, map_file)
    if json:
        import json as json_package

        print(json_package.dumps(found.document, indent=1, ensure_ascii=False))
    else:
        from cspops.report import data_page
        from cspops.report.character_map import character_map

        document = found.document
        _show(f"{document['source']}: {data_page.clean(document['path'])}", data_page.overview_rows(document), text_columns=1)
        for rows in (data_page.class_rows(document), data_page.reason_rows(document), data_page.note_rows(document)):
            if len(rows) > 1:
                _show("", rows, text_columns=len(rows[0]) - 1)
        for warning in document["warnings"]:
            print(f"warning: {data_page.clean(warning, wide=1000)}")
        print("\n".join(character_map(found.lonlat, width=min(_width(), 120))))
    found.refuse()


IN_PYTHON = """In Python: from cspops.models.loading import load_location_encoder;
load_location_encoder("FOLDER/encoder")(torch.tensor([[8.5, 47.4]])) embeds places, in degrees, longitude first."""


@app.command(rich_help_panel=OTHERS, epilog=IN_PYTHON)
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
        import json as json_package

        print(json_package.dumps(source, indent=1, sort_keys=True))
        return
    print(folder)
    _show(f"{source['kind']}, epoch {source['epoch']}", [["part", "what", "tensors"], *stage.parts(source)], text_columns=2)
    for name, reason in source["left_out"].items():
        _say(f"left out: {name}: {reason}")


def _show(title: str, rows: list[list[str]], *, text_columns: int) -> None:
    """A table on stdout, the header first; the first ``text_columns`` columns are set left, the others right."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    header, *body = rows
    table = Table(title=escape(title) or None, header_style="bold")
    for number, column in enumerate(header):
        table.add_column(escape(column), justify="left" if number < text_columns else "right")
    for row in body:
        table.add_row(*map(escape, row))
    Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _width()).print(table)


def _width() -> int:
    """Columns of stdout; into a file or a pipe rich would wrap at 80: a terminal, or COLUMNS, says its width."""
    import shutil

    return shutil.get_terminal_size((200, 24)).columns if sys.stdout.isatty() or "COLUMNS" in os.environ else 200
