"""The bins of the reliability charts are those of the calibration error."""

import numpy as np
import pytest
import torch

from cspops.evaluation.metrics import BINS, expected_calibration_error
from cspops.report.reliability import Bin, chance_error, reliability


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
