"""The bins of the reliability charts are those of the calibration error."""

import numpy as np
import pytest
import torch

from cspops.evaluation.metrics import BINS, expected_calibration_error
from cspops.report.mistakes import JudgedRows
from cspops.report.reliability import COMMONEST, WORST, Bin, by_class, chance_error, class_rows, reliability


def test_the_weighted_gaps_of_the_bins_are_the_calibration_error() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(400)
    hit = rng.random(400) < confidence**2
    bins = reliability(confidence, hit, least=1)
    error = sum(one.rows * abs(one.accuracy - one.confidence) for one in bins) / 400
    expected = expected_calibration_error(torch.from_numpy(confidence), torch.from_numpy(hit))
    assert 100 * error == pytest.approx(float(expected))
    assert sum(one.rows for one in bins) == 400
    assert len(bins) == BINS


def test_a_confidence_at_an_edge_counts_to_the_bin_below() -> None:
    """(b-1)/bins < p <= b/bins, as in the calibration error."""
    edges = np.array([1 / 5, 2 / 5, 4 / 5, 1.0])
    assert [one.rows for one in reliability(edges, np.ones(4, bool), least=1, bins=5)] == [1, 1, 1, 1]
    expected = expected_calibration_error(torch.from_numpy(edges), torch.ones(4, dtype=torch.bool), bins=5)
    bins = reliability(edges, np.ones(4, bool), least=1, bins=5)
    assert 25 * sum(abs(1 - one.confidence) for one in bins) == pytest.approx(float(expected))


@pytest.mark.parametrize("rows", [20, 400])
def test_the_error_by_chance_is_that_of_drawn_hits(rows: int) -> None:
    """The mean over 2,000 perfectly calibrated models of their calibration error; the formula takes sums for normal."""
    rng = np.random.default_rng(0)
    sure = torch.from_numpy(rng.uniform(0.3, 0.9, rows))
    drawn = [float(expected_calibration_error(sure, torch.from_numpy(rng.random(rows)) < sure)) for _ in range(2000)]
    assert chance_error(sure.numpy()) == pytest.approx(np.mean(drawn), rel=0.12)


def test_small_bins_are_left_out_and_no_row_is_no_bin() -> None:
    confidence, hit = np.array([0.1, 0.95, 0.96, 1.0]), np.array([True, True, False, True])
    assert reliability(confidence, hit, least=2, bins=10) == [Bin(pytest.approx(0.97), pytest.approx(2 / 3), 3)]
    assert reliability(np.zeros(0), np.zeros(0, bool), least=1) == []


def judged(guess: np.ndarray, label: np.ndarray, confidence: np.ndarray, seeds: int = 1) -> JudgedRows:
    seed = np.repeat(np.arange(seeds), len(guess) // seeds)
    nothing = {"pool": np.zeros(len(guess))}
    return JudgedRows(seed, np.arange(len(guess)), label, {"pool": guess}, nothing, {"pool": confidence})


def test_reliability_by_class_is_of_the_guess() -> None:
    """Class 0: guessed 4 times at 0.9, right 3 times. Class 1: twice at 0.5, right once. Class 2 is never guessed."""
    guess, label = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 2, 1, 0])
    got = by_class(judged(guess, label, np.where(guess == 0, 0.9, 0.5)), "pool", 3, least=2)
    assert [(one.number, one.rows, one.accuracy) for one in got] == [(0, 4.0, 0.75), (1, 2.0, 0.5)]
    assert [one.confidence for one in got] == pytest.approx([0.9, 0.5])
    assert [one.error for one in got] == pytest.approx([15.0, 0.0])
    assert [one.chance for one in got] == pytest.approx([chance_error(np.full(4, 0.9)), chance_error(np.full(2, 0.5))])
    assert [one.number for one in by_class(judged(guess, label, np.full(6, 0.5)), "pool", 3, least=3)] == [0]
    assert by_class(judged(guess, label, np.full(6, 0.5), seeds=2), "pool", 3, least=3) == []  # of each seed 2 rows


def test_the_commonest_classes_come_first_and_then_those_farthest_off() -> None:
    """Class c is guessed 100 - c times, always right, with confidence 1 - c / 50: the last ones are the farthest off."""
    guess = np.repeat(np.arange(20), 100 - np.arange(20))
    got = by_class(judged(guess, guess, 1 - guess / 50), "pool", 20)
    assert [one.number for one in got] == [*range(COMMONEST), *range(19, 19 - WORST, -1)]
    rows = class_rows(judged(guess, guess, 1 - guess / 50), "pool", [f"c{number}" for number in range(20)])
    assert rows[2] == ["c1", "99", "98.0", "100.0", "-2.0", "2.0", "1.1"]
