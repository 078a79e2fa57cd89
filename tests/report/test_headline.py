"""The main sentences say what the intervals allow, no more."""

from typing import Any

import pytest

from cspops.report.headline import FEW, few_rows, main_sentences, meaning, measured


def metrics(**top1: float) -> dict[str, Any]:
    return {name: {"top1": {"mean": value, "sd": 0.0}} for name, value in top1.items()}


def gap(low: float, high: float, rows: int = 5000, minus: str = "image") -> dict[str, Any]:
    return {f"pool_minus_{minus}": {"mean": (low + high) / 2, "low": low, "high": high, "rows": rows, "seeds": 2}}


RATIOS = ("label_0p5", "label_5", "label_50")


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (4.0, 6.0, "+5.0 points [+4.0, +6.0]"),
        (-6.0, -4.0, "-5.0 points [-6.0, -4.0]"),
        (-1.0, 3.0, "+1.0 points [-1.0, +3.0], which may be chance"),
        (0.0, 0.0, "+0.0 points [+0.0, +0.0], which may be chance"),
    ],
)
def test_the_fewest_and_the_most_labels_and_what_their_intervals_hold(low: float, high: float, says: str) -> None:
    scores = [metrics(image=10.0 * n, pool=10.0 * n + 5, kde=1.0) for n in (1, 2, 4)]
    intervals = {"test": dict(zip(RATIOS, (gap(4.0, 6.0), {}, gap(low, high)), strict=True))}
    assert main_sentences({"test": dict(zip(RATIOS, scores, strict=True))}, intervals) == [
        "On the test set (5,000 rows), the pool of image and location is right for 15.0 % with 0.5 % of the labels "
        f"(+5.0 points against the image alone [+4.0, +6.0]) and for 45.0 % with 50 % of the labels ({says})."
    ]


PRODUCT = "With 100 % of the labels, the plain product of image and location is right for 61.0 %, the pool for 60.0 %"


@pytest.mark.parametrize(
    ("better", "minus_product", "says"),
    [
        ({"combined": 61.0}, (-2.0, -0.5), f"{PRODUCT}: -1.2 points [-2.0, -0.5]."),
        ({"combined": 61.0}, (-2.0, 0.5), f"{PRODUCT}: -0.8 points [-2.0, +0.5], which may be chance."),
        (
            {"location": 61.0},
            (1.0, 2.0),
            "With 100 % of the labels, the learned location alone is right for 61.0 %, the pool for 60.0 %; no interval was "
            "computed for this difference.",
        ),
        (
            {"kde": 62.5, "knn": 61.0},
            (1.0, 2.0),
            "With 100 % of the labels, the prior without learning (kernel density) is right for 62.5 %, the pool for 60.0 %; "
            "no interval was computed for this difference.",
        ),
        ({"kde": 60.0, "knn": 59.0}, (1.0, 2.0), None),
        ({"kde": 60.04}, (1.0, 2.0), None),
    ],
)
def test_a_model_that_is_right_more_often_is_named_and_better_only_by_its_interval(
    better: dict[str, float], minus_product: tuple[float, float], says: str | None
) -> None:
    models = metrics(**({"image": 40.0, "location": 50.0, "combined": 55.0, "pool": 60.0} | better))
    gaps = gap(4.0, 6.0) | gap(*minus_product, minus="combined")
    (sentence,) = main_sentences({"spatial_test": {"label_100": models}}, {"spatial_test": {"label_100": gaps}})
    assert says is None or sentence.endswith(f" {says}")
    assert sentence.count("With 100 % of the labels,") == (says is not None)


@pytest.mark.parametrize(
    ("intervals", "says"),
    [
        ([(1, 2), (0.1, 9)], "Here the position of an image helps: every interval of pool minus image (2, "),
        ([(-2, -1), (-9, -0.1)], "Here the position of an image does harm: every interval of pool minus image (2, "),
        ([(-2, 1), (0, 3)], "Whether the position of an image helps is open here: every interval of pool minus image (2, "),
        (
            [(1, 2), (-2, -1), (-1, 1), (3, 4)],
            "labels), 2 lie above zero, where the position of an image helps, 1 below, ",
        ),
    ],
)
def test_what_it_means_is_what_all_intervals_say(intervals: list[tuple[float, float]], says: str) -> None:
    ratios = {f"label_{number}": gap(*ends) for number, ends in enumerate(intervals, 1)}
    said = meaning({"test": {key: {} for key in ratios}}, {"test": ratios, "val": {"label_1": gap(-9, -8)}})
    assert said is not None
    assert says in said


@pytest.mark.parametrize(
    ("seeds", "intervals", "ending"),
    [
        (5, True, "mean over 5 seeds; 95 % intervals in brackets."),
        (1, True, "one seed; 95 % intervals in brackets, without the chance of the seed."),
        (1, False, "one seed."),
    ],
)
def test_what_was_measured_on_what(seeds: int, intervals: bool, ending: str) -> None:
    said = measured("birds", classes=1200, seeds=seeds, intervals=intervals)
    assert said == f"Top-1 (how often the first guess is right) on birds: 1,200 classes, {ending}"


def test_of_few_rows_there_are_numbers_and_a_warning_but_no_conclusion() -> None:
    ratios = {"label_5": metrics(image=5.0, pool=95.0, kde=99.0), "label_100": metrics(image=10.0, pool=95.0)}
    intervals = {"test": {"label_5": gap(80.0, 99.0, rows=20), "label_100": gap(70.0, 90.0, rows=20)}}
    assert main_sentences({"test": ratios}, intervals) == [
        "On the test set (20 rows), the pool of image and location is right for 95.0 % with 5 % of the labels (the image alone "
        "for 5.0 %) and for 95.0 % with 100 % of the labels (the image alone for 10.0 %)."
    ]
    assert meaning({"test": ratios}, intervals) is None
    assert few_rows(intervals, ["test"]) == [
        "The test set has only 20 rows: one is 5 points, and the 95 % interval of an accuracy of 50 % reaches 22 points to "
        "each side. From fewer than 100 rows (10 points) this report concludes nothing: it shows numbers."
    ]


@pytest.mark.parametrize(("rows", "few"), [(1, True), (FEW - 1, True), (FEW, False)])
def test_the_number_of_rows_decides(rows: int, few: bool) -> None:
    assert bool(few_rows({"test": {"label_5": gap(1, 2, rows)}}, ["test"])) == few
