"""`cspops probe`: what an embedding is worth for other variables."""

import csv
import json as json_text
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cspops.commands.app import USE, app, examples
from cspops.commands.layout import JOINED, show
from cspops.commands.options import JsonOption, LeaveOutOption, SeedOption, left_out, model_folders, require_folder
from cspops.commands.output import print_json
from cspops.errors import ParamsError
from cspops.files import no_formula, whole, write_whole
from cspops.pipeline.run import read_host
from cspops.progress import Meter
from cspops.terminal import visible

if TYPE_CHECKING:
    from cspops.probing.folds import Scheme
    from cspops.probing.table import Row
    from cspops.probing.targets import Target

log = logging.getLogger(__name__)

SUFFIXES = (".csv", ".json")
LEAST_DEGREES = 0.01


@app.command(
    rich_help_panel=USE,
    epilog=examples(
        "cspops probe soil.csv --target ph",
        "cspops probe soil.csv --model artifacts --model ../other/artifacts --out ph.csv",
        "cspops probe --suite",
    ),
)
def probe(
    table: Annotated[
        Path | None, typer.Argument(help="A table with columns for longitude, latitude and a target.", metavar="TARGETS")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="A column, or one of the suite; repeatable; default: target, or the whole suite.", metavar="NAME"),
    ] = None,
    kind: Annotated[
        Literal["regression", "classification"] | None,
        typer.Option("--as", help="Default: regression where all values are numbers, classification where none is."),
    ] = None,
    suite: Annotated[bool, typer.Option("--suite", help="Targets that need no download (docs/probe.md).")] = False,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="A project (its encoder of stage pretrain), an export, or the folder of one model; repeatable.",
            metavar="FOLDER",
            autocompletion=model_folders,
        ),
    ] = None,
    seed: SeedOption = None,
    retrieval: Annotated[
        bool, typer.Option("--retrieval", help="Also probe retrieval embeddings of each model's training images.")
    ] = False,
    leave_out_km: LeaveOutOption = None,
    folds: Annotated[int, typer.Option(help="Folds of cross-validation.", metavar="K", min=2, max=100)] = 5,
    block_degrees: Annotated[
        float, typer.Option(help="Side of the blocks that are held out whole; 0: only random folds.", min=0.0, max=90.0)
    ] = 10.0,
    buffer_km: Annotated[
        float,
        typer.Option(help="Rows nearer to a tested block are not trained on.", metavar="KM", min=0.0, max=5000.0),
    ] = 100.0,
    rows: Annotated[
        int | None,
        typer.Option(help="Most rows to use, drawn at random; default: all, 2,000 for the suite.", metavar="N", min=20),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write: .csv or .json.", metavar="FILE")] = None,
    json: JsonOption = False,
) -> None:
    """Predict other variables from location embeddings, by ridge or logistic regression and by nearest neighbours.

    Beside each model stand its untrained twin and encodings of the position. Folds are random, and blocks of the map with a
    buffer. Every setting is chosen on inner folds of the training rows. Intervals are of 95 %, over resampled blocks.
    """
    if suite == (table is not None):
        raise ParamsError(
            "one of both is needed: a table of targets, or --suite", hint="cspops probe targets.csv, or cspops probe --suite"
        )
    if suite and kind is not None:
        raise ParamsError("--as is of a table: the suite knows what its targets are", hint="leave --as out")
    nearest_km = left_out(leave_out_km, retrieval=retrieval)
    if block_degrees and block_degrees < LEAST_DEGREES:
        raise ParamsError(f"--block-degrees {block_degrees:g} is too small", hint=f"{LEAST_DEGREES} or more; 0: random folds")
    if out is not None:
        if out.suffix.lower() not in SUFFIXES:
            raise ParamsError(f"{out}: scores are written as {' or '.join(SUFFIXES)}", hint="--out scores.csv")
        require_folder(out)
    from cspops.probing import models as probed
    from cspops.probing.folds import FOLD_SEED, INNER
    from cspops.probing.suite import suite as read_suite
    from cspops.probing.table import document, flat
    from cspops.probing.table import probe as run_probe
    from cspops.probing.targets import read_targets

    schemes = _schemes(folds, block_degrees, buffer_km)
    if table is None:
        targets = read_suite(target or (), most=rows, folds=folds, seed=FOLD_SEED)
    else:
        targets = read_targets(table, target or (), kind=kind, most=rows, folds=folds, seed=FOLD_SEED)
    models = probed.read_models(model or [Path()], seed=seed, device=read_host().torch_device(), retrieval=retrieval)
    documents, records = [], []
    for one in targets:
        _tell(one)
        encoders = list(probed.encoders(models, one, leave_out_km=nearest_km, seed=FOLD_SEED))
        tables = sum(len(encoder.probes) for encoder in encoders) * len(schemes)
        with Meter(f"probe {one.name}", tables, unit="scores") as meter:
            found = run_probe(one, encoders, schemes, seed=FOLD_SEED, done=meter.step)
        documents.append(document(one, found))
        records += flat(one, found)
        if not json:
            _show(one, found, schemes)
    settings = {"folds": folds, "inner_folds": INNER, "block_degrees": block_degrees or None, "buffer_km": buffer_km}
    whole_document = {"models": [one.name for one in models], **settings, "targets": documents}
    if out is not None and out.suffix.lower() == ".json":
        write_whole(out, json_text.dumps(whole_document, indent=1) + "\n")
    elif out is not None:
        _write_csv(records, out)
    if json:
        print_json(whole_document)


def _schemes(folds: int, block_degrees: float, buffer_km: float) -> "list[Scheme]":
    from cspops.probing.folds import INNER, Scheme

    schemes = [Scheme("random", folds, INNER, block_degrees, buffer_km)]
    return schemes + [Scheme("blocks", folds, INNER, block_degrees, buffer_km)] * bool(block_degrees)


def _tell(target: "Target") -> None:
    """Say what a target is taken for, and which rows are set aside."""
    what = f"{len(target.classes)} classes" if target.classes else "numbers"
    where = f"{target.source}" + (f", {target.licence}" if target.licence else "")
    log.info(f"{visible(target.name)}: {target.kind} of {what}, {len(target.value):,} rows ({visible(where)})")
    for reason, count in target.set_aside.items():
        log.info(f"{count:,} {'row' if count == 1 else 'rows'} set aside: {reason}")


def _show(target: "Target", found: "Sequence[Row]", schemes: "Sequence[Scheme]") -> None:
    """Print a table per kind of folds."""
    from cspops.probing.table import UNIT, cells

    for scheme in schemes:
        title = f"{visible(target.name)}: {target.kind}{UNIT[target.kind]}, {len(target.value):,} rows, {scheme.title}"
        show(title, cells(target, found, scheme, space=JOINED), text_columns=2)


def _write_csv(records: "Sequence[dict[str, object]]", out: Path) -> None:
    with whole(out) as new, new.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows({name: no_formula(cell) for name, cell in record.items()} for record in records)
