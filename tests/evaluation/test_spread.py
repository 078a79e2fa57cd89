"""Welch's interval against scipy's on the numbers themselves."""

import numpy as np
import pytest
from scipy import stats

from cspops.evaluation.spread import Spread, welch


def spread(values) -> Spread:
    return Spread(float(np.mean(values)), float(np.std(values, ddof=1)), len(values))


@pytest.mark.parametrize("level", [0.95, 0.99])
def test_the_interval_is_that_of_scipys_test(level):
    a, b = [54.1, 53.0, 55.2, 54.4, 53.9], [52.8, 53.3, 52.1]
    found = welch(spread(a), spread(b), level=level)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(np.mean(a) - np.mean(b))


def test_no_spread_is_certain_and_one_seed_says_nothing():
    same = welch(Spread(50.0, 0.0, 5), Spread(51.0, 0.0, 5), level=0.95)
    assert (same.mean, same.low, same.high) == (-1.0, -1.0, -1.0)
    one = welch(Spread(50.0, 0.0, 1), Spread(51.0, 0.4, 5), level=0.95)
    assert (one.mean, one.low, one.high) == (-1.0, None, None)
