"""The part of report.html that shows how losses fell: a chart a term, and one for the label ratios together."""

import re
from collections.abc import Mapping
from typing import Any

from cspops.report import charts
from cspops.report.html_parts import Picture
from cspops.report.image_section import MEANINGS
from cspops.training.loop import Curve

TERMS = {"B": "B, in-batch: the image against other images", "L": "L, negative locations", "D": "D, dropout positives"}
UNITS = {"knn_km": "km", "neighbour_share": "share"}
OF_RATIOS = {
    "": ("training loss at each label ratio", "loss"),
    "_val_nll": ("validation loss at each label ratio", "nll"),
    "_val_top1": ("validation accuracy at each label ratio", "top-1, per cent"),
}
"""Columns `label_5`, `label_5_val_nll` ... by the end of their names: what they are, and in which unit."""
RATIO = re.compile(r"(label_[0-9p]+)(_val_nll|_val_top1|)")


def training_part(curves: Mapping[str, Curve]) -> dict[str, Any]:
    """Charts of every curve by its title; curves without a row are left out."""
    groups = []
    for number, (title, rows) in enumerate(curves.items()):
        if rows:
            drawn = [
                Picture(caption, charts.curve(part, columns, f"curve-{number}-{place}", f"{title}: {caption}", unit=unit))
                for place, (caption, unit, columns, part) in enumerate(_charts(rows))
            ]
            groups.append((title[0].upper() + title[1:], drawn))
    return {
        "curve_groups": groups,
        "training_words": "Means over seeds where there are several. Each chart has a scale of its own.",
    }


def _charts(rows: Curve) -> list[tuple[str, str, list[str], Curve]]:
    """Caption, unit, columns and rows of each chart."""
    x, *columns = dict.fromkeys(name for row in rows for name in row)
    found = {name: RATIO.fullmatch(name) for name in columns}
    out = [
        (TERMS.get(name, MEANINGS.get(name, name)), UNITS.get(name, "loss"), [name], rows)
        for name, match in found.items()
        if match is None
    ]
    for end, (caption, unit) in OF_RATIOS.items():
        ratios = {match[1]: name for name, match in found.items() if match is not None and match[2] == end}
        if ratios:
            part = [{x: row[x]} | {ratio: row[name] for ratio, name in ratios.items() if name in row} for row in rows]
            out.append((caption, unit, list(ratios), part))
    return out
