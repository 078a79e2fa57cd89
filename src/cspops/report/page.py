"""report.md: the tables and figures of one run."""

from collections.abc import Mapping
from typing import Any

from cspops.report.tables import (
    TITLES,
    accuracy_rows,
    markdown,
    metric_rows,
    ratio_title,
)


def page(
    *,
    loss: str,
    seeds: tuple[int, ...],
    metrics: Mapping[str, Any],
    classes: list[str],
    roles: Mapping[str, int],
    rejected: Mapping[str, int],
) -> str:
    """The whole page as Markdown; figures are named relative to reports/."""
    first = next(iter(metrics["test"]))
    observations = ", ".join(f"{count:,} {TITLES.get(role, role)}" for role, count in roles.items())
    set_aside = "; ".join(f"{count} ({why})" for why, count in rejected.items()) or "none"
    parts = [
        "# Report",
        f"Pre-training loss `{loss}`, seeds {', '.join(map(str, seeds))}. Accuracies are per cent: mean over seeds "
        "(standard deviation). A seed draws its own few-shot labels, pre-trains and fine-tunes; all meet the same test rows.",
        "## Top-1 accuracy",
        markdown(accuracy_rows(dict(metrics)), text_columns=2),
        "`image`: P(y|I) alone. `location`: P(y|x) alone. `combined`: P(y|I) P(y|x). The spatial test set lies in blocks of "
        "the map that hold no training row.",
        "![Top-1 accuracy against the share of labels, for image, location and combined](figures/accuracy.png)",
        f"## All metrics at {ratio_title(first)} labels, test",
        markdown(metric_rows(metrics["test"][first]), text_columns=1),
        "## Training",
        "![Loss of each term against epochs or steps, for each training stage](figures/curves.png)",
        "## Observations",
        f"{observations}. {len(classes)} classes: {', '.join(classes)}. Rows set aside: {set_aside}.",
        "![Where the observations are: unlabelled, few-shot labelled, validation and test](figures/observations.png)",
    ]
    return "\n\n".join(parts) + "\n"
