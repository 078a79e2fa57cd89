"""The main sentence says what the interval allows, no more."""

from typing import Any

import pytest

from cspops.report.headline import counting_sentence, main_sentences


def metrics(**top1: float) -> dict[str, Any]:
    return {name: {"top1": {"mean": value, "sd": 0.0}} for name, value in top1.items()}


def said(low: float, high: float) -> str:
    ratios = {"label_5": metrics(image=1.0, combined=2.0), "label_50": metrics(image=40.0, combined=45.0)}
    interval = {"combined_minus_image": {"mean": (low + high) / 2, "low": low, "high": high, "rows": 9, "seeds": 2}}
    (sentence,) = main_sentences({"test": ratios}, {"test": {"label_5": {}, "label_50": interval}})
    return sentence.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (4.0, 6.0, "location adds 5.0 points to the image alone (95 % interval +4.0 to +6.0)."),
        (-6.0, -4.0, "location takes 5.0 points from the image alone (95 % interval -6.0 to -4.0)."),
        (-1.0, 3.0, "+1.0 points against the image alone, which may be chance (95 % interval -1.0 to +3.0)."),
        (0.0, 0.0, "+0.0 points against the image alone, which may be chance (95 % interval +0.0 to +0.0)."),
    ],
)
def test_the_largest_label_ratio_and_what_its_interval_holds(low: float, high: float, says: str) -> None:
    start = "With 50 % of the labels, image and location combined are right for 45.0 % on the test set: "
    assert said(low, high) == start + says


def test_a_prior_that_beats_learning_is_not_hidden() -> None:
    models = metrics(combined=60.0, image_x_knn=61.0, image_x_kde=62.5)
    assert "kernel density, which only counts labelled places" in counting_sentence({"test": {"label_100": models}})
    assert "2.5 points more" in counting_sentence({"test": {"label_100": models}})
    models["combined"]["top1"]["mean"] = 70.0
    assert "more than" not in counting_sentence({"test": {"label_100": models}})
