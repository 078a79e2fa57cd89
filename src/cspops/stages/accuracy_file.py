"""accuracy.tsv: top-1 against the label ratio, a column a test set and model, which `dvc plots` draws as lines."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cspops.evaluation.summary import MODELS
from cspops.report.tables import percent

SETS = ("test", "spatial_test")
"""Columns do not depend on which sets have rows, so that dvc.yaml can name them."""


def write_accuracy(file: Path, metrics: Mapping[str, Any]) -> None:
    """One line a label ratio, in per cent, under a header; empty where a set has no row."""
    ratios = list(next(iter(metrics.values())))
    lines = ["\t".join(("labels", *(f"{role}_{model}" for role in SETS for model in MODELS)))]
    for ratio in ratios:
        cells = [f"{percent(ratio):g}"]
        for role in SETS:
            scores = metrics.get(role, {}).get(ratio, {})
            cells += [f"{scores[model]['top1']['mean']:.4f}" if model in scores else "" for model in MODELS]
        lines.append("\t".join(cells))
    file.write_text("\n".join(lines) + "\n")
