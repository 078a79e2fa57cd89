"""What `cspops evaluate` prints beside the table of accuracies: rows of text, safe for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from cspops.data.intake.labels import listed
from cspops.report.data_page import clean

MOST_CLASSES = 100


def heading(document: Mapping[str, Any]) -> str:
    """What the table of scores is about."""
    seeds = len(document["seeds"] or [None])
    parts = [f"{', '.join(map(clean, document['on']))}: {document['scored']:,} of {document['rows']:,} rows"]
    if document["label_ratio"] is not None:
        parts.append(f"models of {100 * document['label_ratio']:g} % of the labels")
    return ", ".join([*parts, f"mean (sd) over {seeds} seed{'s' if seeds > 1 else ''}"])


def reason_rows(document: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each reason why rows are not scored."""
    body = [
        [clean(reason, wide=200), ", ".join(map(clean, about["such_as"])), f"{about['rows']:,}"]
        for reason, about in document["not_scored"].items()
    ]
    return [["not scored because", "such as", "rows"], *body]


def notes(document: Mapping[str, Any]) -> list[str]:
    """Sentences on labels and positions."""
    said = [f"{document['classes']:,} of the model's {document['classes_of_model']:,} classes have rows"]
    if unknown := document["unknown_labels"]:
        said.append(
            f"labels that the model does not know: {listed(f'{clean(name)!r} ({count:,})' for name, count in unknown.items())}"
        )
    if respelt := document["respelt_labels"]:
        pairs = listed(f"{clean(name)!r} as {clean(one['class'])!r} ({one['rows']:,})" for name, one in respelt.items())
        said.append(f"labels read without regard to case, blanks and Unicode form: {pairs}")
    if unplaced := document["scored_without_position"]:
        reasons = "; ".join(f"{reason} ({count:,})" for reason, count in unplaced.items())
        said.append(f"scored without a position, by the image alone: {reasons}")
    if "calibrated" not in document["metrics"] and "image" in document["metrics"]:
        said.append("no calibrated product: the run was not evaluated (dvc repro evaluate)")
    if "image" not in document["metrics"]:
        said.append("location alone: the model has no image classifier")
    return said


def class_rows(classes: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A header and a row for each of the largest classes: top-1 of each model, and what the last model takes it for."""
    models = list(classes[0]["top1"]) if classes else []
    judge = "combined" if "combined" in models else models[-1] if models else ""
    body = []
    for one in classes[:MOST_CLASSES]:
        other = one["taken_for"][judge]
        taken = f"{clean(other['class'])} ({other['share']:.1f} %)" if other else "-"
        body.append([clean(one["class"]), taken, f"{one['rows']:,}", *(f"{one['top1'][model]:.2f}" for model in models)])
    return [["class", f"most often taken for ({judge})", "rows", *models], *body]
