"""The paired bootstrap: exact where nothing varies, the normal interval where much does."""

import math

import pytest
import torch

from cspops.evaluation import bootstrap
from cspops.evaluation.bootstrap import paired_difference, paired_differences


def hits(p: float, seeds: int, n: int, seed: int = 0) -> torch.Tensor:
    return (torch.rand(seeds, n, generator=torch.Generator().manual_seed(seed)) < p).float()


def test_equal_models_differ_by_zero_and_a_difference_in_every_row_has_no_width():
    a = hits(0.6, 3, 50)
    got = paired_difference(a, a.clone(), draws=50)
    assert (got.mean, got.low, got.high) == (0, 0, 0)
    got = paired_difference(torch.ones(2, 30), torch.zeros(2, 30), draws=50)
    assert (got.mean, got.low, got.high) == pytest.approx((100, 100, 100))


def test_the_mean_is_the_difference_of_accuracies():
    a, b = hits(0.7, 2, 40), hits(0.4, 2, 40, seed=1)
    assert paired_difference(a, b, draws=20).mean == pytest.approx(100 * float(a.mean() - b.mean()))


def test_the_interval_covers_a_known_difference_and_not_zero():
    """Accuracies 0.7 and 0.5 on 2000 rows: the standard error is sqrt(.21 + .25) / sqrt(2000) = 1.5 per cent."""
    got = paired_difference(hits(0.7, 1, 2000), hits(0.5, 1, 2000, seed=1), draws=500)
    assert 0 < got.low < 20 < got.high


def test_one_seed_gives_the_normal_interval():
    """Half the width of a percentile interval of a mean of n rows is 1.96 sd / sqrt(n), here within bootstrap noise."""
    a, b = hits(0.7, 1, 400), hits(0.5, 1, 400, seed=1)
    got = paired_difference(a, b, draws=2000)
    expected = 1.96 * 100 * float((a - b).std(correction=0)) / math.sqrt(400)
    assert (got.high - got.low) / 2 == pytest.approx(expected, rel=0.1)


def test_seeds_are_resampled_too():
    """Seeds differ (100, 0), rows do not: draws of two seeds give 0, 50 or 100 with 1/4, 1/2, 1/4."""
    a = torch.tensor([[1.0] * 10, [0.0] * 10])
    got = paired_difference(a, torch.zeros(2, 10), draws=200)
    assert (got.mean, got.low, got.high) == pytest.approx((50, 0, 100))


def test_rows_are_paired_over_seeds():
    """A row that is right in one model and every seed is one row, not three: three equal seeds are as wide as one."""
    a = hits(0.5, 1, 200)
    one = paired_difference(a, torch.zeros(1, 200), draws=1000)
    three = paired_difference(a.expand(3, -1), torch.zeros(3, 200), draws=1000)
    assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.15)


def test_swapping_the_models_mirrors_the_interval():
    a, b = hits(0.7, 2, 60), hits(0.5, 2, 60, seed=1)
    one, other = paired_difference(a, b, draws=101), paired_difference(b, a, draws=101)
    assert (other.mean, other.low, other.high) == pytest.approx((-one.mean, -one.high, -one.low))


def test_same_seed_same_interval():
    a, b = hits(0.7, 2, 60), hits(0.5, 2, 60, seed=1)
    assert paired_difference(a, b, draws=50, seed=4) == paired_difference(a, b, draws=50, seed=4)
    assert paired_difference(a, b, draws=50, seed=4) != paired_difference(a, b, draws=50, seed=5)


@pytest.mark.parametrize("weights", [1, 130, 60 * 101])
def test_some_resamples_at_a_time_are_the_same_resamples(monkeypatch, weights):
    """The stream gives the same numbers in parts; sums of 60 float32 differ by rounding alone, 60 x 2^-24 of 100."""
    a, b = hits(0.7, 2, 60), hits(0.5, 2, 60, seed=1)
    whole = paired_difference(a, b, draws=101)
    monkeypatch.setattr(bootstrap, "WEIGHTS", weights)
    parts = paired_difference(a, b, draws=101)
    assert (parts.mean, parts.low, parts.high) == pytest.approx((whole.mean, whole.low, whole.high), abs=100 * 60 * 2**-24)


@pytest.mark.parametrize("weights", [2**24, 100])
def test_pairs_together_have_the_intervals_of_each_alone(monkeypatch, weights):
    monkeypatch.setattr(bootstrap, "WEIGHTS", weights)
    a, b, c = (torch.rand(3, 3, 40, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    together = paired_differences([(a, b), (c, b)], draws=50)
    assert together == [paired_difference(a, b, draws=50), paired_difference(c, b, draws=50)]
