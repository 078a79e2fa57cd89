"""Tables of metrics, as rows of text for a terminal or as Markdown."""

from collections.abc import Sequence
from typing import Any

TITLES = {
    "val": "validation",
    "test": "test",
    "spatial_val": "spatial validation",
    "spatial_test": "spatial test",
    "buffer": "in the buffer",
}
MODELS = ("image", "location", "combined")


def ratio_title(key: str) -> str:
    """`5 %` for `label_5`."""
    return f"{key.removeprefix('label_').replace('p', '.')} %"


def cell(value: dict[str, float]) -> str:
    """`48.21 (0.33)`: mean and standard deviation."""
    return f"{value['mean']:.2f} ({value['sd']:.2f})"


def accuracy_rows(summary: dict[str, Any], metric: str = "top1") -> list[list[str]]:
    """A header and a row for each set and label ratio: image, location and combined."""
    rows = [["set", "labels", *MODELS]]
    for role, ratios in summary.items():
        for ratio, models in ratios.items():
            rows.append([TITLES[role], ratio_title(ratio), *(cell(models[model][metric]) for model in MODELS)])
    return rows


def metric_rows(models: dict[str, Any]) -> list[list[str]]:
    """A header and a row a model: every metric of one set and label ratio."""
    names = list(models["combined"])
    return [["model", *names], *([model, *(cell(models[model][name]) for name in names)] for model in MODELS)]


def markdown(rows: Sequence[Sequence[str]], *, text_columns: int) -> str:
    """A Markdown table; the first ``text_columns`` columns are set left, the others right."""
    header, *body = rows
    rule = ["---" if column < text_columns else "---:" for column in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *body))
