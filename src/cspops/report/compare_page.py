"""What `cspops compare` says, as rows for a terminal and as Markdown for a pull request."""

from collections.abc import Mapping
from typing import Any

from cspops.report.tables import TITLES, as_code, markdown, ratio_title

Document = Mapping[str, Any]


def metric_rows(document: Document) -> list[list[str]]:
    """Header and one row a role, label ratio and model."""
    rows = [["set", "labels", "model", document["base"], document["head"], "difference", "interval", "verdict"]]
    for row in document["rows"]:
        interval = "" if row["low"] is None else f"{row['low']:+.2f} to {row['high']:+.2f}"
        rows.append(
            [
                TITLES.get(row["role"], row["role"]),
                ratio_title(row["label_ratio"]),
                row["model"],
                f"{row['base']:.2f} ({row['base_sd']:.2f})",
                f"{row['head']:.2f} ({row['head_sd']:.2f})",
                f"{row['difference']:+.2f}",
                interval,
                row["verdict"],
            ]
        )
    return rows


def param_rows(document: Document) -> list[list[str]]:
    """Header and one row a key of params.yaml that differs."""
    rows = [["params.yaml", document["base"], document["head"]]]
    for one in document["params"]:
        rows.append([one["key"], *("-" if one[side] is None else str(one[side]) for side in ("base", "head"))])
    return rows


def conclusion(document: Document) -> str:
    """One sentence."""
    allowed = f"more than {document['max_drop']:g} points"
    if not document["drops"]:
        return (
            f"No accuracy of {document['head']} has dropped by {allowed} against {document['base']} beyond the spread of seeds."
        )
    count = f"{document['drops']} of {len(document['rows'])}"
    return f"{count} accuracies of {document['head']} have dropped by {allowed} against {document['base']}."


def as_markdown(document: Document) -> str:
    """The whole as Markdown."""
    parts = [
        f"### {as_code(document['head'])} against {as_code(document['base'])}",
        conclusion(document),
        "Top-1, per cent: mean (sd) over seeds. Intervals of the differences, in points, hold for all rows at once.",
        markdown(metric_rows(document), text_columns=3),
    ]
    if document["params"]:
        parts.append(markdown(param_rows(document), text_columns=1))
    parts += [f"- {note}" for note in document["notes"]]
    return "\n\n".join(parts) + "\n"
