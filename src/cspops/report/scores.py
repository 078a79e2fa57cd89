"""The parts of report.html that show accuracy: by label ratio, by region, by confidence."""

from collections.abc import Iterator
from typing import Any

from cspops.data.splits import ratio_key
from cspops.evaluation.metrics import BINS
from cspops.report import charts, html_tables
from cspops.report.html_parts import Group, Picture, Table
from cspops.report.material import Material
from cspops.report.page import DENSITY, EFFORT, LEAST_ROWS, WORST, where_sentences
from cspops.report.reliability import CLASS_WORDS, chance_sentence, class_rows, reliability
from cspops.report.tables import (
    FUSION,
    LEAST_IN_BIN,
    TITLES,
    Metrics,
    cell,
    effort_rows,
    is_shown,
    ratio_title,
    shown_models,
    worst_rows,
)

CALIBRATION = ("image", "combined", "pool")
"""The models of the charts."""


def calibration_models(metrics: Metrics) -> list[str]:
    """Return the models of the table: `CALIBRATION`, and the fusion where it was scored."""
    return [model for model in shown_models(metrics) if model in (*CALIBRATION, FUSION)]


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
        "density": DENSITY,
        "continent": "By continent",
    }
    worst, effort = worst_rows(places), effort_rows(places)
    return {
        "regions_words": f"At {ratio_title(key)} of the labels, over all rows of all seeds. Charts leave out regions of fewer "
        f"than {LEAST_ROWS} rows per seed.",
        "where_sentences": where_sentences(places),
        "region_charts": drawn,
        "region_tables": [
            html_tables.region_table(places, kind, f"{caption}; top-1, per cent")
            for kind, caption in captions.items()
            if any(kinds.get(kind) for kinds in places.values())
        ],
        "group_words": [*([WORST] if len(worst) > 1 else []), *([EFFORT] if len(effort) > 1 else [])],
        "group_tables": [
            Table(caption, rows[0], [Group(None, rows[1:])], text_columns)
            for caption, rows, text_columns in (
                ("Worst continent and country; top-1, per cent, with 95 % intervals", worst, 4),
                ("Presence against effort", effort, 1),
            )
            if len(rows) > 1
        ],
    }


def calibration_part(material: Material) -> dict[str, Any]:
    """Return reliability at the smallest and the largest label ratio, and the calibration error at every one.

    Of few rows (`is_shown`) there are no charts, and no error but that of chance.
    """
    judged = material.judged[material.largest]
    by_chance, few = chance_sentence(judged, material.largest), not is_shown("ece", len(judged.first_seed))
    words = f"Over all seeds; bins of fewer than {LEAST_IN_BIN} rows are not drawn. {by_chance}"
    if few:
        words = f"The test rows are too few for a curve or an error. {by_chance}"
    by_class = class_rows(judged, "pool", material.class_titles)
    ratios, seeds = material.scores.metrics[material.main], len(material.view.seeds)
    groups = [
        Group(
            title,
            [
                [
                    html_tables.model_name(model),
                    *(cell(models[model][metric], spread=seeds > 1) for models in ratios.values()),
                ]
                for model in calibration_models(material.scores.metrics)
            ],
        )
        for metric, title in (("ece", "ece, per cent"), ("nll", "nll, nats"))
        if metric == "nll" or not few
    ]
    return {
        "bins": BINS,
        "reliability_charts": [] if few else list(_reliability_charts(material)),
        "calibration_words": f"{words} The pool's weights are those of least negative log-likelihood (nll) on the labelled "
        "validation rows, drawn a little towards the plain product.",
        "calibration_table": Table(
            f"Calibration on the {TITLES[material.main]} set", ["model", *(ratio_title(key) for key in ratios)], groups
        ),
        "class_reliability_words": CLASS_WORDS,
        "class_table": Table(
            f"The pool by class, {TITLES[material.main]}, {ratio_title(ratio_key(material.largest))} of the labels",
            by_class[0],
            [Group(None, by_class[1:])],
        )
        if len(by_class) > 1
        else None,
    }


def _reliability_charts(material: Material) -> Iterator[Picture]:
    for number, (ratio, judged) in enumerate(material.judged.items()):
        bins = {model: reliability(judged.confidence[model], judged.hit(model), least=LEAST_IN_BIN) for model in CALIBRATION}
        title = f"{TITLES[material.main].capitalize()}, {ratio_title(ratio_key(ratio))} of the labels"
        yield Picture(title, charts.reliability(bins, f"reliability-{number}", f"Reliability: {title}"))
