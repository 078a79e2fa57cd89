"""The main result in sentences that claim no more than the numbers support."""

from collections.abc import Iterator

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
    "image": "the image alone",
    "location": "the learned location alone",
    "combined": "the plain product of image and location",
} | {name: f"{words} alone, which learns nothing," for name, words in PRIORS.items()}
"""What the pool may be worse than, in words."""


LEAST = 0.05
"""Points that are not 0.0 when they are rounded."""


def main_sentences(metrics: Metrics, intervals: Intervals) -> list[str]:
    """Return, per test set, what location adds to the image by the pool with the fewest and with the most labels.

    Where another model is better than the pool, a sentence says which one and by how much.
    """
    return [
        " ".join(_sentences(role, ratio, ratios[ratio], intervals[role][ratio]["pool_minus_image"]))
        for role, ratios in metrics.items()
        for ratio in dict.fromkeys((next(iter(ratios)), list(ratios)[-1]))
    ]


def _sentences(role: str, ratio: str, models: Models, gap: Interval) -> Iterator[str]:
    top1 = {name: float(scores["top1"]["mean"]) for name, scores in models.items()}
    yield (
        f"With {ratio_title(ratio)} of the labels, the pool of image and location is right for {top1['pool']:.1f} % on the "
        f"{TITLES[role]} set: {_difference(gap)}"
    )
    best = max((name for name in OTHERS if name in top1), key=lambda name: top1[name])
    if top1[best] - top1["pool"] >= LEAST:
        yield f"There {OTHERS[best]} is better: {top1[best]:.1f} %, by {top1[best] - top1['pool']:.1f} points."


def _difference(gap: Interval) -> str:
    """Return what location adds, with its interval."""
    span = f"95 % interval {gap['low']:+.1f} to {gap['high']:+.1f}"
    if gap["low"] > 0:
        return f"location adds {gap['mean']:.1f} points to the image alone ({span})."
    if gap["high"] < 0:
        return f"location takes {-gap['mean']:.1f} points from the image alone ({span})."
    return f"{gap['mean']:+.1f} points against the image alone, which may be chance ({span})."
