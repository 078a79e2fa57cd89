"""`cspops evaluate`: print the scores on other images, or the last result of the stage."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from cspops.commands.layout import Cell, ending, shortened, show
from cspops.commands.options import table_names
from cspops.commands.output import print_json
from cspops.commands.runs import SCORES
from cspops.data.json_files import Document
from cspops.errors import DataError, ParamsError, listed
from cspops.pipeline import paths
from cspops.progress import Meter
from cspops.report.tables import LEAST_CALIBRATED, is_shown, percent, short_name
from cspops.terminal import Output, lines_of_stdin, say

if TYPE_CHECKING:
    from cspops.library.model import Model
    from cspops.library.taxonomy import RollUp
    from cspops.report.tables import Places

log = logging.getLogger(__name__)


KINDS = ("latitude", "cell", "distance", "density", "continent", "country")


def score(
    paths: Sequence[str],
    folder: Path,
    models: "Mapping[int, Model]",
    *,
    label: str | None,
    unseen: bool,
    by: str | None,
    by_class: bool,
    roll_up: "RollUp | None" = None,
) -> Document:
    """Score the models, which come from ``folder``, on the images that ``paths`` name.

    ``label`` is the column of labels of a table that ``paths`` name, or that lies beside their images.
    """
    from cspops.intake.sources.tree import printable
    from cspops.library import evaluate_on
    from cspops.library.inputs import count_inputs, read_inputs
    from cspops.library.loading import run_of
    from cspops.library.model import NO_FUSION

    tables, first = table_names(folder, label), next(iter(models.values()))
    rows = read_inputs(paths, stdin=lines_of_stdin(), position=None, tables=tables, dated=first.takes_time)
    with Meter("evaluate", count_inputs(paths, tables=tables), unit="rows") as meter:
        document = evaluate_on.score(
            models,
            meter.each(rows),
            run=run_of(folder),
            unseen=unseen,
            by_region=by is not None,
            by_class=by_class,
            roll_up=roll_up,
        )
    if first.leaves_fusion_out:
        log.info(NO_FUSION)
    document = {"on": list(map(printable, paths)), "model": folder.as_posix(), **document}
    if by is not None:
        document["regions"] = _of_kind(document["regions"], by)
    return document


def show_scores(document: Document) -> None:
    """Print what `score` returned as tables and sentences."""
    show(heading(document), metric_rows(document), text_columns=1)
    if document["rolled_up"]:
        show(*rolled_rows(document["rolled_up"]), text_columns=1)
    if len(reasons := reason_rows(document)) > 1:
        show("", reasons, text_columns=2)
    for note in notes(document):
        say(f"- {note}")
    if "regions" in document:
        _show_regions({"given": document["regions"]}, "")
    if "per_class" in document:
        _show_classes("", document["per_class"])


def show_last(label_ratio: float | None, *, by: str | None, by_class: bool, json: bool) -> None:
    """Print what stage evaluate wrote."""
    from cspops.report.tables import TITLES, accuracy_rows

    if json and label_ratio is None and by is None and not by_class:
        Output().write(metrics_text())
        return
    document = read_last(label_ratio=label_ratio, by_region=by is not None, by_class=by_class)
    if by is not None:
        document["regions"] = {role: _of_kind(kinds, by) for role, kinds in document["regions"].items()}
    if json:
        print_json(document, ensure_ascii=False)
        return
    for role, ratios in document["metrics"].items():
        title = f"Top-1 on {TITLES[role]}: {document['rows'][role]:,} rows, per cent, {over(document['seeds'])}"
        show(title, [row[1:] for row in accuracy_rows({role: ratios})], text_columns=1)
    title = f"{100 * document['label_ratio']:g} %"
    if by is not None:
        _show_regions(document["regions"], f", {title} of the labels")
        for role, kinds in document["regions"].items():
            unplaced = document["rows"][role] - sum(row["rows"] for row in next(iter(kinds.values()), []))
            if kinds and round(unplaced):
                outside = " or outside the shapes of all countries" if by in ("continent", "country") else ""
                say(f"- {TITLES[role]}: rows without a position{outside}, in no region: {round(unplaced):,}")
    if by_class:
        for role, classes in document["per_class"].items():
            _show_classes(f" on {TITLES[role]}, {title} of the labels", classes)


def _of_kind(places: "Places", by: str) -> "Places":
    """Return the regions of one kind, or of every kind for `region`."""
    return {kind: regions for kind, regions in places.items() if by in ("region", kind)}


def _show_regions(places: "Mapping[str, Places]", where: str) -> None:
    from cspops.report.tables import TITLES, region_rows

    for kind in KINDS:
        for role, kinds in places.items():
            if kinds.get(kind):
                rows = [row[1:] for row in region_rows({role: kinds}, kind)]
                show(f"Top-1 by {kind}{where and f' on {TITLES[role]}{where}'}", rows, text_columns=1)


def _show_classes(where: str, classes: "Sequence[Document]") -> None:
    show(f"Top-1 per class{where}", class_rows(classes), text_columns=2)
    if len(classes) > MOST_CLASSES:
        log.info(f"and {len(classes) - MOST_CLASSES} smaller classes: --json has all")


MOST_CLASSES = 100


def heading(document: Document) -> str:
    """Return the title of the table of scores."""
    seeds = len(document["seeds"] or [None])
    parts = [f"{', '.join(map(ending, document['on']))}: {document['scored']:,} of {document['rows']:,} rows"]
    if document["unseen"]:
        parts.append("unseen images only")
    if document["weights"]:
        parts.append(document["weights"])
    if document["label_ratio"] is not None:
        parts.append(f"models of {100 * document['label_ratio']:g} % of the labels")
    return ", ".join([*parts, over(seeds)])


def over(seeds: int) -> str:
    """Return what the numbers of a table are."""
    return f"mean (sd) over {seeds} seeds" if seeds > 1 else "one seed"


def metric_rows(document: Document) -> list[list[str]]:
    """Return a header and one row per metric, with the number of each model; a dash where there is none, or too few rows."""
    from cspops.report.tables import cell

    models, spread = document["metrics"], len(document["seeds"] or [None]) > 1
    names: list[str] = max(map(list, models.values()), key=len, default=[])
    return [
        ["metric", *map(short_name, models)],
        *(
            [
                name,
                *(
                    "-" if name not in scores or not is_shown(name, document["scored"]) else cell(scores[name], spread=spread)
                    for scores in models.values()
                ),
            ]
            for name in names
        ),
    ]


def rolled_rows(rolled: Document) -> tuple[str, list[list[str]]]:
    """Return a title, and a header and one row per model: how many rows have an answer, how many of these are right."""
    models = rolled["models"]
    most = max(len(one["by_steps"]) for one in models.values())
    header = ["model", "answered", "of these right", "the class itself", *(f"{steps} above" for steps in range(1, most))]
    body = [
        [
            short_name(model),
            f"{one['coverage']['mean']:.2f}",
            "-" if one["accuracy"] is None else f"{one['accuracy']['mean']:.2f}",
            *(f"{step['share']:.2f}" for step in one["by_steps"]),
        ]
        for model, one in models.items()
    ]
    return f"Answers that are at least {rolled['min_confidence']:g} sure, per cent of the rows", [header, *body]


def reason_rows(document: Document) -> list[list[Cell]]:
    """Return a header and one row per reason why rows are not scored."""
    body: list[list[Cell]] = [
        [reason, [ending(place) for place in about["such_as"]], f"{about['rows']:,}"]
        for reason, about in document["not_scored"].items()
    ]
    return [["not scored because", "such as", "rows"], *body]


def notes(document: Document) -> list[str]:
    """Return sentences on labels and positions."""
    sentences = [f"the rows are of {document['classes']:,} of the model's {document['classes_of_model']:,} classes"]
    sentences.append(_about_seen(document["images_of_the_run"], document["scored"]))
    if unknown := document["unknown_labels"]:
        names = listed(f"{shortened(name)!r} ({count:,})" for name, count in unknown.items())
        sentences.append(f"labels that the model does not know: {names}")
    if respelled := document["respelled_labels"]:
        pairs = listed(
            f"{shortened(name)!r} as {shortened(one['class'])!r} ({one['rows']:,})" for name, one in respelled.items()
        )
        sentences.append(f"labels matched regardless of case, blanks and Unicode form: {pairs}")
    if masks := document["candidates"]:
        sentences.append(_about_candidates(masks, document["scored"]))
    if unplaced := document["scored_without_position"]:
        reasons = "; ".join(f"{reason} ({count:,})" for reason, count in unplaced.items())
        sentences.append(f"scored without a position, by the image alone: {reasons}")
    if (dated := document.get("dated")) is not None and dated < document["scored"]:
        undated = document["scored"] - dated
        sentences.append(f"scored without a date, for the average over the year: {undated:,} of {document['scored']:,}")
    if unusable := document.get("unusable_dates"):
        which = "; the first" if unusable["rows"] > 1 else ""
        sentences.append(f"unusable dates: {unusable['rows']:,}{which}: {shortened(unusable['first'], wide=1000)}")
    if "pool" not in document["metrics"] and "image" in document["metrics"]:
        sentences.append("no pool of image, location and labelled neighbours: the run was not evaluated (dvc repro evaluate)")
    if not is_shown("ece", document["scored"]):
        sentences.append(
            f"no calibration error (ece) of {document['scored']:,} rows: below {LEAST_CALIBRATED} rows it is mostly chance"
        )
    if "image" not in document["metrics"]:
        sentences.append("location alone: the model has no image classifier")
    return sentences


def _about_candidates(masks: Document, scored: int) -> str:
    best = ", ".join(f"{short_name(model)} {rows:,g}" for model, rows in masks["best_is_none"].items())
    candidates = "class is a candidate" if masks["classes"] == 1 else "classes are candidates"
    said = f"{masks['classes']:,g} {candidates}; rows whose best class of all is none of them: {best}"
    wrong = masks["label_is_none"]
    return f"{said}; {wrong:,g} of {scored:,} labels are none, which counts as wrong, and so there is no nll" if wrong else said


def _about_seen(of_run: Mapping[str, int] | None, scored: int) -> str:
    """Return the sentence on how many of the images are the run's own, by their bytes."""
    from cspops.library.seen import SEEN

    if of_run is None:
        return "whether the model was trained on some of these images is not known: its run holds no hashes of images"
    seen = {role: count for role, count in of_run.items() if role in SEEN}
    held_out = sum(of_run.values()) - sum(seen.values())
    said = "none of the images was used to train or tune the model"
    if seen:
        parts = ", ".join(f"{role} {count:,}" for role, count in seen.items())
        used = f"{sum(seen.values()):,} of {scored:,} images were used to train or tune the model ({parts})"
        said = f"{used}, which --unseen leaves out"
    return f"{said}; its run held out {held_out:,}" if held_out else said


def class_rows(classes: Sequence[Document]) -> list[list[str]]:
    """Return a header and one row per class, the largest first: top-1 of each model, and what it is most often taken for."""
    models = list(classes[0]["top1"]) if classes else []
    judge = models[-1] if models else ""
    body = []
    for one in classes[:MOST_CLASSES]:
        other = one["taken_for"][judge]
        taken = f"{shortened(other['class'])} ({other['share']:.1f} %)" if other else "-"
        body.append([shortened(one["class"]), taken, f"{one['rows']:,}", *(f"{one['top1'][model]:.2f}" for model in models)])
    return [["class", f"most often taken for ({short_name(judge)})", "rows", *map(short_name, models)], *body]


REMAKE = "dvc repro evaluate"


class Judged(BaseModel):
    """Of a difference in intervals.json, what it was measured on."""

    rows: int
    seeds: int


def metrics_text() -> str:
    """Return the text of reports/scores.json; raise a DataError where it is missing or broken."""
    from cspops.evaluation.results import read_metrics

    read_metrics(SCORES)
    return SCORES.read_text(encoding="utf-8")


def read_last(*, label_ratio: float | None = None, by_region: bool = False, by_class: bool = False) -> Document:
    """Return `metrics`, and `regions` and `per_class` of one label ratio (None: the largest), each by role.

    `metrics` holds every label ratio, or only the one that is named; `rows` is by role, `seeds` the number of seeds.

    Raises:
        DataError: a file is missing or broken.
        ParamsError: it holds no such label ratio.
    """
    from cspops.evaluation.results import read_metrics, read_regions

    metrics = read_metrics(SCORES)
    ratios = list(dict.fromkeys(ratio for ratios in metrics.values() for ratio in ratios))
    if not ratios:
        raise DataError("reports/scores.json holds no results", hint=REMAKE)
    near = [one for one in ratios if label_ratio is not None and math.isclose(percent(one), 100 * label_ratio, rel_tol=1e-5)]
    if label_ratio is not None and not near:
        has = ", ".join(f"{percent(one) / 100:g}" for one in ratios)
        raise ParamsError(f"reports/scores.json has no label ratio {label_ratio:g}: it has {has}", hint=REMAKE)
    key = near[0] if near else max(ratios, key=percent)
    if near:
        metrics = {role: {key: by_ratio[key]} for role, by_ratio in metrics.items()}
    judged = _judged(metrics)
    document: Document = {
        "label_ratio": percent(key) / 100,
        "rows": {role: one.rows for role, one in judged.items()},
        "seeds": max(one.seeds for one in judged.values()),
        "metrics": metrics,
    }
    if by_region:
        places = read_regions(paths.REPORTS / "regions.json")
        document["regions"] = {role: by_ratio[key] for role, by_ratio in places.items() if key in by_ratio}
    if by_class:
        from cspops.data.catalogue import CLASSES, read_classes
        from cspops.evaluation.per_class import classes_of_predictions

        classes = read_classes(paths.folder_of("download") / CLASSES)
        document["per_class"] = classes_of_predictions(paths.folder_of("evaluate") / "predictions.parquet", key, classes)
    return document


def _judged(metrics: Mapping[str, Mapping[str, object]]) -> dict[str, Judged]:
    """Return on how many rows and seeds each role was scored; DataError where intervals.json does not say."""
    from cspops.artefacts import json_as

    file = paths.REPORTS / "intervals.json"
    known: dict[str, dict[str, dict[str, Judged]]] = json_as(file, dict[str, dict[str, dict[str, Judged]]], remake=REMAKE)
    found = {role: one for role in metrics for gaps in known.get(role, {}).values() for one in gaps.values()}
    if lacking := [role for role in metrics if role not in found]:
        raise DataError(f"{file} holds nothing on {lacking[0]}", hint=REMAKE)
    return found
