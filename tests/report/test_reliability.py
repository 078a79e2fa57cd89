"""The bins of the reliability charts are those of the calibration error."""

import numpy as np
import pytest
import torch

from cspops.evaluation.metrics import BINS, expected_calibration_error
from cspops.report.scores import Bin, reliability


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


def test_small_bins_are_left_out_and_no_row_is_no_bin() -> None:
    confidence, hit = np.array([0.1, 0.95, 0.96, 1.0]), np.array([True, True, False, True])
    assert reliability(confidence, hit, least=2, bins=10) == [Bin(pytest.approx(0.97), pytest.approx(2 / 3), 3)]
    assert reliability(np.zeros(0), np.zeros(0, bool), least=1) == []
