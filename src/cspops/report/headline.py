"""The main result in a sentence or two that claim no more than the numbers support."""

from cspops.report.tables import TITLES, Interval, Intervals, Metrics, ratio_title

PRODUCT = "image_x_"
"""The prefix, before a prior's name, that metrics.json gives to the product of image and prior."""
PRIORS = {
    "frequency": "class frequency",
    "histogram": "longitude-latitude histogram",
    "knn": "nearest neighbours",
    "distance_knn": "nearest neighbours by distance",
    "kde": "kernel density",
}
"""Priors without learning, in words."""


def main_sentences(metrics: Metrics, intervals: Intervals) -> list[str]:
    """Return one sentence per test set: top-1 of both combined at the largest label ratio, and what location adds."""
    out: list[str] = []
    for role, ratios in metrics.items():
        ratio = list(ratios)[-1]
        combined = ratios[ratio]["combined"]["top1"]["mean"]
        gap = intervals[role][ratio]["combined_minus_image"]
        where = f"With {ratio_title(ratio)} of the labels" if not out else f"On the {TITLES[role]} set"
        rows = f" on the {TITLES[role]} set" if not out else ""
        out.append(f"{where}, image and location combined are right for {combined:.1f} %{rows}: {_difference(gap)}")
    return out


def _difference(gap: Interval) -> str:
    """Return what location adds, with its interval."""
    span = f"95 % interval {gap['low']:+.1f} to {gap['high']:+.1f}"
    if gap["low"] > 0:
        return f"location adds {gap['mean']:.1f} points to the image alone ({span})."
    if gap["high"] < 0:
        return f"location takes {-gap['mean']:.1f} points from the image alone ({span})."
    return f"{gap['mean']:+.1f} points against the image alone, which may be chance ({span})."


def counting_sentence(metrics: Metrics) -> str:
    """Return whether, at the largest label ratio of the first test set, a prior that only counts beats the learned model."""
    role = next(iter(metrics))
    ratio = list(metrics[role])[-1]
    models = {name: float(scores["top1"]["mean"]) for name, scores in metrics[role][ratio].items()}
    best = max((name for name in models if name.startswith(PRODUCT)), key=lambda name: models[name])
    gain = models[best] - models["combined"]
    prior = PRIORS.get(best.removeprefix(PRODUCT), best.removeprefix(PRODUCT))
    if gain > 0:
        return (
            f"Counting does better than learning here: image x {prior}, which only counts labelled places, reaches "
            f"{models[best]:.1f} %, {gain:.1f} points more than the learned location model."
        )
    return f"Image x {prior}, the best of the priors that only count labelled places, reaches {models[best]:.1f} %."
