"""Scores against scikit-learn's, and intervals that resample blocks."""

import math

import numpy as np
import pytest
from sklearn import metrics

from cspops.probing.scores import classification_scores, regression_scores

STREAM = np.random.default_rng(0)
BLOCK = STREAM.integers(0, 20, 300)


def test_regression_scores_are_the_usual_ones() -> None:
    truth = 1e6 + STREAM.normal(size=300)
    predicted = truth + 0.5 * STREAM.normal(size=300)
    scores = regression_scores(truth, predicted, BLOCK, seed=0)
    assert scores["r2"].value == pytest.approx(metrics.r2_score(truth, predicted))
    assert scores["rmse"].value == pytest.approx(metrics.root_mean_squared_error(truth, predicted))
    assert scores["mae"].value == pytest.approx(metrics.mean_absolute_error(truth, predicted))
    for score in scores.values():
        assert score.low < score.value < score.high


def test_classification_scores_are_the_usual_ones_in_per_cent() -> None:
    truth, predicted = STREAM.integers(0, 4, 300), STREAM.integers(0, 5, 300)
    scores = classification_scores(truth, predicted, BLOCK, classes=6, seed=0)
    assert scores["top1"].value == pytest.approx(100 * (truth == predicted).mean())
    f1 = metrics.f1_score(truth, predicted, labels=range(4), average="macro", zero_division=0)
    assert scores["macro_f1"].value == pytest.approx(100 * f1)
    assert scores["top1"].low < scores["top1"].value < scores["top1"].high


def test_intervals_are_those_of_a_direct_loop_over_blocks() -> None:
    truth, predicted = STREAM.normal(size=300), STREAM.normal(size=300)
    found = regression_scores(truth, predicted, BLOCK, seed=3)["mae"]
    draws = []
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(one == BLOCK) for one in STREAM.integers(0, 20, 20)])
        draws.append(np.abs(truth[rows] - predicted[rows]).mean())
    assert [found.low, found.high] == pytest.approx(np.quantile(draws, (0.025, 0.975)), abs=0.02)


def test_rows_alike_within_blocks_have_a_wider_interval_than_independent_ones() -> None:
    truth, error = np.zeros(2000), STREAM.normal(size=20)
    truth[0] = 1.0
    block = np.repeat(np.arange(20), 100)
    alike = regression_scores(truth, error[block], block, seed=0)["mae"]
    mixed = regression_scores(truth, STREAM.permutation(error[block]), block, seed=0)["mae"]
    assert alike.high - alike.low > 3 * (mixed.high - mixed.low)


def test_a_difference_is_paired() -> None:
    """Two predictions whose errors differ by 0.1 in every row: the difference has no spread, each of them has one."""
    truth, error = STREAM.normal(size=300), np.abs(STREAM.normal(size=20))[BLOCK]
    worse, better = (regression_scores(truth, truth + error + more, BLOCK, seed=0)["mae"] for more in (0.1, 0.0))
    gain = worse.minus(better)
    assert [gain.value, gain.low, gain.high] == pytest.approx([0.1, 0.1, 0.1])
    assert better.high - better.low > 0.1


def test_few_blocks_have_no_interval() -> None:
    truth = STREAM.normal(size=30)
    scores = regression_scores(truth, truth + 1, np.arange(30) % 5, seed=0)
    assert math.isnan(scores["mae"].low)
    assert math.isnan(scores["mae"].minus(scores["rmse"]).high)
    assert scores["mae"].value == pytest.approx(1)
