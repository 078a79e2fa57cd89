"""The main result in a few sentences that claim no more than the numbers support."""

import math
from collections.abc import Iterable, Iterator, Mapping

from cspops.report.tables import TITLES, Interval, Intervals, Metrics, Models, ratio_title

PRIORS = {
    "frequency": "class frequency",
    "histogram": "longitude-latitude histogram",
    "knn": "nearest neighbours",
    "distance_knn": "nearest neighbours by distance",
    "kde": "kernel density",
}
"""Priors without learning, in words."""
OTHERS = {
    "location": "the learned location alone",
    "combined": "the plain product of image and location",
    "fusion": "the fusion of image and location in one network",
} | {name: f"the prior without learning ({words})" for name, words in PRIORS.items()}
"""What may be right more often than the pool, in words."""

LEAST = 0.05
"""Points that are not 0.0 when they are rounded."""
FEW = 100
"""With fewer test rows nothing is concluded: the 95 % interval of an accuracy near a half reaches 10 points to each side."""


def few_rows(intervals: Intervals, roles: Iterable[str]) -> list[str]:
    """Return a sentence for each test set of fewer than ``FEW`` rows."""
    return [
        f"The {TITLES[role]} set has only {rows:,} {'row' if rows == 1 else 'rows'}: one is {100 / rows:.3g} points, and the "
        f"95 % interval of an accuracy of 50 % reaches {_reach(rows):.0f} points to each side. From fewer than {FEW} rows "
        f"({_reach(FEW):.0f} points) this report concludes nothing: it shows numbers."
        for role in roles
        if (rows := _rows(intervals, role)) < FEW
    ]


def _rows(intervals: Intervals, role: str) -> int:
    return next(iter(intervals[role].values()))["pool_minus_image"]["rows"]


def _reach(rows: int) -> float:
    """Return half the width, in points, of the normal approximation's 95 % interval of an accuracy of 50 %."""
    return 98 / math.sqrt(rows)


def measured(data: str, *, classes: int, seeds: int, intervals: bool) -> str:
    """Return a sentence on what was measured, and on which data; ``intervals`` says whether sentences after it have some."""
    what = f"Top-1 (how often the first guess is right) on {data}: {classes:,} classes"
    over = f"mean over {seeds} seeds" if seeds > 1 else "one seed"
    brackets = "; 95 % intervals in brackets" + ("" if seeds > 1 else ", without the chance of the seed")
    return f"{what}, {over}{brackets if intervals else ''}."


def main_sentences(metrics: Metrics, intervals: Intervals) -> list[str]:
    """Return, per test set, how often the pool is right with the fewest and with the most labels, beside the image alone.

    Where another model is right more often than the pool, a sentence says which one.
    """
    return [" ".join(_sentences(role, ratios, intervals)) for role, ratios in metrics.items()]


def _sentences(role: str, ratios: Mapping[str, Models], intervals: Intervals) -> Iterator[str]:
    rows = _rows(intervals, role)
    ends = list(dict.fromkeys((next(iter(ratios)), list(ratios)[-1])))
    parts: list[str] = []
    for ratio in ends:
        pool, image = (float(ratios[ratio][model]["top1"]["mean"]) for model in ("pool", "image"))
        gap = intervals[role][ratio]["pool_minus_image"]
        of_image = (
            f"the image alone for {image:.1f} %" if rows < FEW else _signed(gap, "" if parts else " against the image alone")
        )
        parts.append(f"{pool:.1f} % with {ratio_title(ratio)} of the labels ({of_image})")
    yield f"On the {TITLES[role]} set ({rows:,} rows), the pool of image and location is right for {' and for '.join(parts)}."
    if rows >= FEW:
        for ratio in ends:
            yield from _better(ratios[ratio], intervals[role][ratio], f"With {ratio_title(ratio)} of the labels")


def _signed(gap: Interval, against: str = "") -> str:
    """Return a difference with its interval."""
    chance = "" if gap["low"] > 0 or gap["high"] < 0 else ", which may be chance"
    return f"{gap['mean']:+.1f} points{against} [{gap['low']:+.1f}, {gap['high']:+.1f}]{chance}"


def _better(models: Models, gaps: Mapping[str, Interval], where: str) -> Iterator[str]:
    """Yield a sentence on the best of the other models where it is right more often than the pool."""
    top1 = {name: float(scores["top1"]["mean"]) for name, scores in models.items()}
    best = max((name for name in OTHERS if name in top1), key=lambda name: top1[name])
    more, gap = top1[best] - top1["pool"], gaps.get(f"pool_minus_{best}")
    if more < LEAST:
        return
    both = f"{where}, {OTHERS[best]} is right for {top1[best]:.1f} %, the pool for {top1['pool']:.1f} %"
    if gap is None:
        yield f"{both}; no interval was computed for this difference."
    else:
        yield f"{both}: {_signed(gap)}."


def meaning(metrics: Metrics, intervals: Intervals) -> str | None:
    """Return what the intervals of pool minus image say together; None where every test set has few rows."""
    roles = [role for role in metrics if _rows(intervals, role) >= FEW]
    gaps = [intervals[role][ratio]["pool_minus_image"] for role in roles for ratio in metrics[role]]
    if not gaps:
        return None
    each = f"{len(gaps)}, one per test set and share of labels"
    above, below = sum(gap["low"] > 0 for gap in gaps), sum(gap["high"] < 0 for gap in gaps)
    if above == len(gaps):
        return f"Here the position of an image helps: every interval of pool minus image ({each}) lies above zero."
    if below == len(gaps):
        return f"Here the position of an image does harm: every interval of pool minus image ({each}) lies below zero."
    if not above and not below:
        return f"Whether the position of an image helps is open here: every interval of pool minus image ({each}) holds zero."
    return (
        f"Of the intervals of pool minus image ({each}), {above} lie above zero, where the position of an image helps, "
        f"{below} below, where it does harm, and {len(gaps) - above - below} hold zero, where the difference may be chance."
    )
