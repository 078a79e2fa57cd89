"""What `cspops evaluate` prints: the scores on other images, or the stage's last result."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cspops.cli.loudness import report, say
from cspops.cli.models import load_models
from cspops.cli.surroundings import print_json, show
from cspops.progress import Meter

KINDS = ("latitude", "cell", "distance")


def score(
    paths: Sequence[str],
    folder: Path,
    seed: int | None,
    label_ratio: float | None,
    *,
    by: str | None,
    by_class: bool,
    json: bool,
) -> None:
    """Score the models in ``folder`` on the images that ``paths`` name, and print it."""
    from cspops.data.rows import Reading
    from cspops.library.asked import asked
    from cspops.library.loading import run_of
    from cspops.report import evaluation_page as pages
    from cspops.report.tables import metric_rows
    from cspops.stages import evaluate_on as stage

    models = load_models(folder, seed, label_ratio)
    image = next(iter(models.values())).image
    rows = asked(paths, stdin=sys.stdin, position=None, reading=image.reading if image is not None else Reading(), report=say)
    with Meter("evaluate", None, report(), unit="rows") as meter:
        document = stage.score(models, meter.each(rows), run=run_of(folder), by_region=by is not None, by_class=by_class)
    document = {"on": list(paths), "model": folder.as_posix()} | document
    if by is not None:
        document["regions"] = _of_kind(document["regions"], by)
    if json:
        print_json(document, ensure_ascii=False)
        return
    show(pages.heading(document), metric_rows(document["metrics"]), text_columns=1)
    if len(reasons := pages.reason_rows(document)) > 1:
        show("", reasons, text_columns=2)
    for note in pages.notes(document):
        print(f"- {note}")
    if by is not None:
        _show_regions({stage.ROLE: document["regions"]})
    if by_class:
        _show_classes("", document["per_class"])


def show_last(label_ratio: float | None, *, by: str | None, by_class: bool, json: bool) -> None:
    """Print what stage evaluate wrote."""
    from cspops.report.tables import TITLES, accuracy_rows
    from cspops.stages import last_evaluation

    if json and label_ratio is None and by is None and not by_class:
        print(last_evaluation.metrics_text(), end="")
        return
    document: dict[str, Any] = last_evaluation.read(label_ratio=label_ratio, by_region=by is not None, by_class=by_class)
    if by is not None:
        document["regions"] = {role: _of_kind(kinds, by) for role, kinds in document["regions"].items()}
    if json:
        print_json(document, ensure_ascii=False)
        return
    show("Top-1 accuracy, per cent, mean (sd) over seeds", accuracy_rows(document["metrics"]), text_columns=2)
    title = f"{100 * document['label_ratio']:g} %"
    if by is not None:
        _show_regions(document["regions"], f" at {title} of the labels")
    if by_class:
        for role, classes in document["per_class"].items():
            _show_classes(f" on {TITLES[role]}, {title} of the labels", classes)


def _of_kind(places: dict[str, Any], by: str) -> dict[str, Any]:
    """The regions of one kind, or of every kind for `region`."""
    return {kind: some for kind, some in places.items() if by in ("region", kind)}


def _show_regions(places: dict[str, Any], what: str = "") -> None:
    from cspops.report.tables import region_rows

    for kind in KINDS:
        if any(kind in kinds for kinds in places.values()):
            show(f"Top-1 by {kind}{what}", region_rows(places, kind), text_columns=2)


def _show_classes(what: str, classes: Sequence[dict[str, Any]]) -> None:
    from cspops.report.evaluation_page import MOST_CLASSES, class_rows

    show(f"Top-1 of each class{what}", class_rows(classes), text_columns=2)
    if len(classes) > MOST_CLASSES:
        say(f"and {len(classes) - MOST_CLASSES} smaller classes: --json has all")
