"""The parts of report.html that show accuracy: by label ratio, by region, by confidence."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from cspops.data.splits import ratio_key
from cspops.evaluation.metrics import BINS
from cspops.report import charts, html_tables
from cspops.report.html_parts import Group, Picture, Table, mean_text
from cspops.report.material import Material
from cspops.report.page import LEAST_ROWS, where_sentence
from cspops.report.tables import TITLES, ratio_title
from cspops.shapes import Bool, Float


class Bin(NamedTuple):
    """Rows of about the same confidence."""

    confidence: float
    """Mean P of the top class."""
    accuracy: float
    """Share of the rows whose top class is the true one."""
    rows: int


def reliability(confidence: Float[np.ndarray, "n"], hit: Bool[np.ndarray, "n"], *, least: int, bins: int = BINS) -> list[Bin]:
    """Return the bins of the expected calibration error with at least ``least`` rows, by rising confidence."""
    bin_of = (np.ceil(confidence * bins).astype(int) - 1).clip(0, bins - 1)
    rows = np.bincount(bin_of, minlength=bins)
    sure = np.bincount(bin_of, confidence, minlength=bins)
    right = np.bincount(bin_of, hit.astype(float), minlength=bins)
    return [
        Bin(float(sure[one] / rows[one]), float(right[one] / rows[one]), int(rows[one]))
        for one in range(bins)
        if rows[one] >= max(least, 1)
    ]


CALIBRATION = ("image", "combined", "pool")
LEAST_IN_BIN = 20
"""Least rows of a bin of the reliability charts."""


def accuracy_charts(material: Material) -> Iterator[Picture]:
    """Yield one chart per test set."""
    best = max(
        models[model]["top1"]["mean"] + models[model]["top1"]["sd"]
        for ratios in material.scores.metrics.values()
        for models in ratios.values()
        for model in charts.LINES
    )
    spread = ", bars of one standard deviation over seeds" if len(material.view.seeds) > 1 else ""
    for role, ratios in material.scores.metrics.items():
        title = f"{TITLES[role].capitalize()}: top-1 against the share of labels{spread}"
        top = min(100.0, max(1.06 * best, 1.0))
        yield Picture(title, charts.accuracy(ratios, f"acc-{role}", title, top=top, seeds=len(material.view.seeds)))


def regions_part(material: Material) -> dict[str, Any]:
    """Return accuracy by region at the largest label ratio."""
    key = ratio_key(material.largest)
    places = {role: ratios[key] for role, ratios in material.scores.regions.items() if any(ratios[key].values())}
    drawn = []
    for kind, what in (("distance", "distance to the nearest labelled row"), ("latitude", "latitude")):
        for role, kinds in places.items():
            large = [row for row in kinds[kind] if row["rows"] >= LEAST_ROWS]
            title = f"{TITLES[role].capitalize()}, by {what}"
            if large:
                drawn.append(Picture(title, charts.regions(large, kind, f"region-{kind}-{role}", title)))
    captions = {
        "distance": "By distance to the nearest labelled row",
        "latitude": "By latitude",
        "cell": "By cells of 30 degrees",
    }
    return {
        "regions_words": f"At {ratio_title(key)} of the labels, over all rows of all seeds. Charts leave out regions of fewer "
        f"than {LEAST_ROWS} rows per seed.",
        "where_sentences": [where_sentence(kinds["cell"], role) for role, kinds in places.items()],
        "region_charts": drawn,
        "region_tables": [
            html_tables.region_table(places, kind, f"{caption}; top-1, per cent")
            for kind, caption in captions.items()
            if places
        ],
    }


def calibration_part(material: Material) -> dict[str, Any]:
    """Return reliability at the smallest and the largest label ratio, and the calibration error at every one."""
    drawn = []
    for number, (ratio, judged) in enumerate(material.judged.items()):
        bins = {model: reliability(judged.confidence[model], judged.hit(model), least=LEAST_IN_BIN) for model in CALIBRATION}
        title = f"{TITLES[material.main].capitalize()}, {ratio_title(ratio_key(ratio))} of the labels"
        drawn.append(Picture(title, charts.reliability(bins, f"reliability-{number}", f"Reliability: {title}")))
    ratios, seeds = material.scores.metrics[material.main], len(material.view.seeds)
    groups = [
        Group(
            title,
            [
                [html_tables.model_name(model), *(mean_text(models[model][metric], seeds=seeds) for models in ratios.values())]
                for model in CALIBRATION
            ],
        )
        for metric, title in (("ece", "ece, per cent"), ("nll", "nll, nats"))
    ]
    return {
        "bins": BINS,
        "reliability_charts": drawn,
        "calibration_words": f"Over all seeds; bins of fewer than {LEAST_IN_BIN} rows are not drawn. The "
        "pool's weights are those of least negative log-likelihood on the labelled validation rows.",
        "calibration_table": Table(
            f"Calibration on the {TITLES[material.main]} set", ["model", *(ratio_title(key) for key in ratios)], groups
        ),
    }
