"""The main result in a sentence or two, which say no more than the numbers hold."""

from cspops.report.tables import TITLES, Interval, Intervals, Metrics, ratio_title

PRODUCT = "image_x_"
"""What metrics.json calls the product of the image with a prior without learning, before the prior's name."""
PRIORS = {
    "frequency": "class frequency",
    "histogram": "longitude-latitude histogram",
    "knn": "nearest neighbours",
    "distance_knn": "nearest neighbours by distance",
    "kde": "kernel density",
}
"""Priors without learning, in words."""


def main_sentences(metrics: Metrics, intervals: Intervals) -> list[str]:
    """Top-1 of both combined at the largest label ratio and what location adds to the image, a sentence a test set."""
    out: list[str] = []
    for role, ratios in metrics.items():
        ratio = list(ratios)[-1]
        combined = ratios[ratio]["combined"]["top1"]["mean"]
        found = intervals[role][ratio]["combined_minus_image"]
        where = f"With {ratio_title(ratio)} of the labels" if not out else f"On the {TITLES[role]} set"
        rows = f" on the {TITLES[role]} set" if not out else ""
        out.append(f"{where}, image and location combined are right for {combined:.1f} %{rows}: {_difference(found)}")
    return out


def _difference(found: Interval) -> str:
    """What location adds, with its interval."""
    span = f"95 % interval {found['low']:+.1f} to {found['high']:+.1f}"
    if found["low"] > 0:
        return f"location adds {found['mean']:.1f} points to the image alone ({span})."
    if found["high"] < 0:
        return f"location takes {-found['mean']:.1f} points from the image alone ({span})."
    return f"{found['mean']:+.1f} points against the image alone, which may be chance ({span})."


def counting_sentence(metrics: Metrics) -> str:
    """Whether, at the largest label ratio of the first test set, a prior that only counts is better than what was learned."""
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
