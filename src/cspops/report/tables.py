"""Tables of metrics, as rows of text for a terminal or as Markdown."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from cspops.evaluation.results import ratio_of
from cspops.terminal import visible


class Mean(TypedDict):
    """Mean and standard deviation over seeds."""

    mean: float
    sd: float


class Interval(TypedDict):
    """A difference of top-1 in percentage points, with the ends of its 95 % interval."""

    mean: float
    low: float
    high: float
    rows: int
    seeds: int


Region = Mapping[str, Any]
"""Its bounds, rows, top-1 of the models, and the gain over the image of both together: the pool, or without one the product."""
Models = Mapping[str, Mapping[str, Mean]]
"""By model and metric."""
Metrics = Mapping[str, Mapping[str, Models]]
"""reports/scores.json: by role and label ratio."""
Intervals = Mapping[str, Mapping[str, Mapping[str, Interval]]]
"""reports/intervals.json: by role, label ratio and difference."""
Places = Mapping[str, Sequence[Region]]
"""Regions by kind, such as `latitude` and `country`; `worst` groups of these kinds, and `effort`, which are no regions."""
Regions = Mapping[str, Mapping[str, Places]]
"""reports/regions.json: by role and label ratio."""


@dataclass(frozen=True)
class Scores:
    """What stage evaluate wrote into reports/, by test set and label ratio."""

    metrics: Metrics
    intervals: Intervals
    regions: Regions


TITLES = {
    "val": "validation",
    "test": "test",
    "spatial_val": "spatial validation",
    "spatial_test": "spatial test",
    "buffer": "in the buffer",
    "given": "given",
}
MODELS = ("image", "location", "combined", "pool")
FUSION = "fusion"
"""Shown where it was trained."""


def short_name(model: str) -> str:
    """Return what readers call a model: the plain product is `combined` in the files that a run writes, and only there."""
    return "product" if model == "combined" else model


def difference_title(name: str) -> str:
    """Return `pool minus product` for `pool_minus_combined`."""
    return " ".join(map(short_name, name.split("_")))


LEAST_CALIBRATED = 300
"""With fewer rows no calibration error is shown: with 20 in each of its 15 bins chance alone makes it some 7 points."""


LEAST_IN_BIN = 20
"""Bins and regions of fewer rows (of regions: per seed) are not shown one by one."""


def ratio_title(key: str) -> str:
    """Return `5 %` for `label_5`."""
    return f"{percent(key):g} %"


def percent(key: str) -> float:
    """Return the label ratio that a key of scores.json names, in per cent."""
    return round(100 * ratio_of(key), 6)


def cell(value: Mean, *, spread: bool = True) -> str:
    """Return mean and standard deviation as `48.21 (0.33)`; without ``spread``, as of one seed, only the mean."""
    return f"{value['mean']:.2f} ({value['sd']:.2f})" if spread else f"{value['mean']:.2f}"


def shown_models(metrics: Metrics) -> list[str]:
    """Return `MODELS`, and the fusion where it was scored."""
    scored = next(iter(next(iter(metrics.values()), {}).values()), {})
    return [*MODELS, FUSION] if FUSION in scored else [*MODELS]


def accuracy_rows(summary: Metrics, metric: str = "top1", models: Sequence[str] | None = None) -> list[list[str]]:
    """Return a header and one row per set and label ratio: the metric of each model; None: `shown_models`.

    One seed has no deviation, and its sd is 0 throughout: where no number has a deviation, none is shown.
    """
    models = shown_models(summary) if models is None else models
    chosen = {
        (role, ratio): [scores[model][metric] for model in models]
        for role, ratios in summary.items()
        for ratio, scores in ratios.items()
    }
    spread = any(value["sd"] for values in chosen.values() for value in values)
    body = [
        [TITLES[role], ratio_title(ratio), *(cell(value, spread=spread) for value in values)]
        for (role, ratio), values in chosen.items()
    ]
    return [["set", "labels", *map(short_name, models)], *body]


def is_shown(metric: str, rows: int) -> bool:
    """Return whether a metric is shown of so many rows: the calibration error is not of few."""
    return metric != "ece" or rows >= LEAST_CALIBRATED


def metric_rows(models: Models, *, rows: int) -> list[list[str]]:
    """Return a header and one row per model: every metric of one set and label ratio, a dash where a model lacks it.

    ``rows`` are those of the set (`is_shown`). Deviations are shown as in `accuracy_rows`.
    """
    names: list[str] = max(map(list, models.values()), key=len)
    spread = any(value["sd"] for scores in models.values() for value in scores.values())
    body = [
        [
            short_name(model),
            *(cell(scores[name], spread=spread) if name in scores and is_shown(name, rows) else "-" for name in names),
        ]
        for model, scores in models.items()
    ]
    return [["model", *names], *body]


def interval_rows(intervals: Intervals) -> list[list[str]]:
    """Return a header and one row per set and label ratio: each difference with its interval."""
    names = list(next(iter(next(iter(intervals.values())).values())))
    rows = [["set", "labels", "rows", *map(difference_title, names)]]
    for role, ratios in intervals.items():
        for ratio, gaps in ratios.items():
            spans = [f"{one['mean']:+.2f} [{one['low']:+.2f}, {one['high']:+.2f}]" for one in (gaps[name] for name in names)]
            rows.append([TITLES[role], ratio_title(ratio), f"{gaps[names[0]]['rows']:,}", *spans])
    return rows


def region_rows(places: Mapping[str, Places], kind: str) -> list[list[str]]:
    """Return a header and one row per set and region of a kind, such as `latitude` or `country`, at one label ratio."""
    models = region_models(places)
    rows = [["set", kind, "rows", *map(short_name, models), f"{short_name(models[-1])} - image"]]
    for role, kinds in places.items():
        for row in gathered(kinds.get(kind, ()), models):
            scores = [f"{row[model]:.2f}" for model in models]
            rows.append([TITLES[role], region_title(row, kind), counted(row["rows"]), *scores, f"{row['gain']:+.2f}"])
    return rows


def region_models(places: Mapping[str, Places]) -> list[str]:
    """Return the models that regions were scored by; the last is both together, whose gain over the image they show."""
    some = next((row for kinds in places.values() for rows in kinds.values() for row in rows if "gain" in row), None)
    known = (*MODELS[:-1], FUSION, MODELS[-1])
    return [model for model in known if model in some] if some is not None else [*MODELS]


def worst_rows(places: Mapping[str, Places]) -> list[list[str]]:
    """Return a header and one row per set, kind and model: the continent and the country of least top-1."""
    body = [
        [
            TITLES[role], f"{row['kind']}, of {row['of']}", short_name(row["model"]), row["name"], f"{row['rows']:,}",
            f"{row['top1']:.2f} [{row['low']:.2f}, {row['high']:.2f}]",
        ]
        for role, kinds in places.items()
        for row in kinds.get("worst", ())
    ]  # fmt: skip
    return [["set", "worst", "model", "name", "rows", "top-1"], *body]


def effort_rows(places: Mapping[str, Places]) -> list[list[str]]:
    """Return a header and one row per set: the rank correlations of predicted presence with effort."""
    names = {
        "mean": "mean",
        "mean_abs": "mean, unsigned",
        "by_chance": "unsigned by chance",
        "classes_expected": "classes expected",
    }
    body = [
        [TITLES[role], f"{row['cells']:g}", *(f"{row[name]:+.2f}" if name in row else "-" for name in names)]
        for role, kinds in places.items()
        for row in kinds.get("effort", ())
    ]
    return [["set", "cells", *names.values()], *body]


def gathered(regions: Sequence[Region], models: Sequence[str]) -> list[Region]:
    """Return the regions of at least `LEAST_IN_BIN` rows, and a last one of all rows of the `others`."""
    small = [row for row in regions if row["rows"] < LEAST_IN_BIN]
    if not small:
        return list(regions)
    rows = sum(row["rows"] for row in small)
    means = {name: sum(row["rows"] * row[name] for row in small) / rows for name in (*models, "gain")}
    return [*(row for row in regions if row["rows"] >= LEAST_IN_BIN), {"others": len(small), "rows": rows} | means]


def counted(rows: float) -> str:
    """Return a number of rows per seed, with a decimal where seeds differ."""
    return f"{rows:,.1f}".removesuffix(".0")


PARTS = {"cell": ("cell", "cells"), "continent": ("continent", "continents"), "country": ("country", "countries")}
"""One and several of the regions of a kind, where they are not bins of a number."""


def region_title(row: Region, kind: str) -> str:
    """Return `30 S - 15 S`, `50 - 100 km` or `60 E - 90 E, 30 N - 60 N`; for those of `gathered` `others (3 cells)`."""
    if "name" in row:
        return str(row["name"])
    if "others" in row:
        return f"others ({row['others']} {PARTS.get(kind, ('bin', 'bins'))[row['others'] > 1]})"
    if kind == "distance":
        return f"{row['from']:g} - {row['to']:g} km" if row["to"] is not None else f"{row['from']:g} km or more"
    if kind == "density":
        return _count_title(row["from"], row["to"])
    if kind == "latitude":
        return f"{_degrees(row['from'], 'NS')} - {_degrees(row['to'], 'NS')}"
    lon = f"{_degrees(row['west'], 'EW')} - {_degrees(row['east'], 'EW')}"
    return f"{lon}, {_degrees(row['south'], 'NS')} - {_degrees(row['north'], 'NS')}"


def _count_title(low: float, high: float | None) -> str:
    """Return `0`, `3 to 9` or `30 or more` for numbers from ``low`` to below ``high``."""
    if high is None:
        return f"{low:g} or more"
    return f"{low:g}" if high == low + 1 else f"{low:g} to {high - 1:g}"


def _degrees(value: int, sides: str) -> str:
    return f"{abs(value)} {sides[value < 0]}" if value else "0"


def probability(share: float) -> str:
    """Return a probability with two digits, none of which says that it is 0 or 1."""
    return f"{share:.2f}" if 0.01 <= share <= 0.99 else "< 0.01" if share < 0.01 else "> 0.99"


MARKUP = re.compile(r"([\\`*_\[\]<>|#~$])")


def as_text(name: str) -> str:
    """Return a name from the data as Markdown text on one line, with markup characters escaped."""
    return MARKUP.sub(r"\\\1", " ".join(name.split()))


def as_code(name: str) -> str:
    """Return a name from the data as Markdown code, between more backticks than it has in a row."""
    name = " ".join(name.split())
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", name)), default=0))
    return f"{ticks}{name}{ticks}" if len(ticks) == 1 else f"{ticks} {name} {ticks}"


def markdown(rows: Sequence[Sequence[str]], *, text_columns: int) -> str:
    """Return a Markdown table; the first ``text_columns`` columns are aligned left, the others right."""
    header, *body = rows
    rule = ["---" if column < text_columns else "---:" for column in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *body))


def joined(parts: Iterable[str]) -> str:
    """Return the parts of a page of Markdown as its text, which steers no terminal (`visible`)."""
    return visible("\n\n".join(parts), keep="\n") + "\n"
