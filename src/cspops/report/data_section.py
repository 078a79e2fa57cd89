"""What became of the rows of the source, as a section of report.md."""

from collections.abc import Mapping, Sequence
from typing import Any

from cspops.report.tables import as_text, markdown

NAMED = 40
"""Classes that are named."""


def data_section(account: Mapping[str, Any]) -> str:
    """Counts, reasons and remarks of account.json, as Markdown."""
    rows, rejected = account["rows"], account["rejected"]
    share = f" ({100 * rejected / rows:.2g} %)" if rejected else ""
    lacking = [f"{account[key]:,} without {key.removeprefix('without_')}" for key in ("without_position", "without_label")]
    parts = [
        "## Data",
        f"{rows:,} rows of the source: {account['observations']:,} observations, {rejected:,} rows set aside{share}. "
        f"Of the observations {' and '.join(lacking)}. {_classes(account['classes'])}",
    ]
    for title, counts in (("set aside because", account["reasons"]), ("kept, but", account["notes"])):
        if counts:
            parts.append(
                markdown([[title, "rows"], *([as_text(why), f"{count:,}"] for why, count in counts.items())], text_columns=1)
            )
    if account["warnings"]:
        parts.append("\n".join(f"- {as_text(warning)}" for warning in account["warnings"]))
    return "\n\n".join(parts)


def _classes(sizes: Mapping[str, int]) -> str:
    counts = sorted(sizes.values())
    if not counts:
        return "There is no class."
    span = f"{counts[0]:,} to {counts[-1]:,} observations, median {counts[len(counts) // 2]:,}"
    if counts[0] == counts[-1]:
        span = f"{counts[0]:,} observations each"
    return f"{len(sizes):,} classes of {span}: {_names(list(sizes))}."


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(as_text(name) for name in names[:NAMED])
    return f"{shown} and {len(names) - NAMED:,} more" if len(names) > NAMED else shown
