"""The main sentences say what the intervals allow, no more."""

from typing import Any

import pytest

from cspops.report.headline import main_sentences


def metrics(**top1: float) -> dict[str, Any]:
    return {name: {"top1": {"mean": value, "sd": 0.0}} for name, value in top1.items()}


def gap(low: float, high: float) -> dict[str, Any]:
    return {"pool_minus_image": {"mean": (low + high) / 2, "low": low, "high": high, "rows": 9, "seeds": 2}}


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (4.0, 6.0, "location adds 5.0 points to the image alone (95 % interval +4.0 to +6.0)."),
        (-6.0, -4.0, "location takes 5.0 points from the image alone (95 % interval -6.0 to -4.0)."),
        (-1.0, 3.0, "+1.0 points against the image alone, which may be chance (95 % interval -1.0 to +3.0)."),
        (0.0, 0.0, "+0.0 points against the image alone, which may be chance (95 % interval +0.0 to +0.0)."),
    ],
)
def test_the_fewest_and_the_most_labels_and_what_their_intervals_hold(low: float, high: float, says: str) -> None:
    scores = [metrics(image=10.0 * n, pool=10.0 * n + 5) for n in (1, 2, 4)]
    ratios = dict(zip(("label_0p5", "label_5", "label_50"), scores, strict=True))
    intervals = {"label_0p5": gap(4.0, 6.0), "label_5": {}, "label_50": gap(low, high)}
    few, many = main_sentences({"test": ratios}, {"test": intervals})
    assert few.startswith(
        "With 0.5 % of the labels, the pool of image and location is right for 15.0 % on the test set: location"
    )
    assert many == f"With 50 % of the labels, the pool of image and location is right for 45.0 % on the test set: {says}"


@pytest.mark.parametrize(
    ("better", "says"),
    [
        ({"image": 61.0}, "There the image alone is better: 61.0 %, by 1.0 points."),
        ({"location": 61.0}, "There the learned location alone is better: 61.0 %, by 1.0 points."),
        ({"combined": 61.0}, "There the plain product of image and location is better: 61.0 %, by 1.0 points."),
        ({"kde": 62.5, "knn": 61.0}, "There kernel density alone, which learns nothing, is better: 62.5 %, by 2.5 points."),
        ({"kde": 60.0, "knn": 59.0}, None),
        ({"kde": 60.04}, None),
    ],
)
def test_a_model_that_beats_the_pool_is_not_hidden(better: dict[str, float], says: str | None) -> None:
    models = metrics(**({"image": 40.0, "location": 50.0, "combined": 55.0, "pool": 60.0} | better))
    (sentence,) = main_sentences({"spatial_test": {"label_100": models}}, {"spatial_test": {"label_100": gap(4.0, 6.0)}})
    assert says is None or sentence.endswith(says)
    assert ("There" in sentence) == (says is not None)
