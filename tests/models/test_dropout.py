"""Dropout with cheap masks: its distribution, its scale, its borders."""

import math

import pytest
import torch

from cspops.models.networks import LEVELS, Dropout

N = 2**20


def dropped(rate: float, n: int = N, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return Dropout(rate).train()(torch.ones(n)) == 0


def six_sigma(p: float, n: int) -> float:
    """The share of successes among n independent draws stays within this of p but once in 10^9 runs."""
    return 6 * math.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
def test_share_dropped_is_the_rate(rate):
    """Binomial bound around the rate as rounded to a multiple of 2^-16."""
    exact = round(rate * LEVELS) / LEVELS
    assert abs(float(dropped(rate).double().mean()) - exact) < six_sigma(exact, N)


@pytest.mark.parametrize(("rate", "lanes"), [(0.3, 4), (1 / 256, 8), (0.25, 8), (0.5, 8), (255 / 256, 8)])
def test_each_unit_of_a_draw_has_the_rate(rate, lanes):
    """Four units of a 64-bit draw, whose rate is rounded to 2^-16; eight where the rate is of 256ths: exactly that."""
    zero = dropped(rate)
    for lane in range(lanes):
        share = float(zero[lane::lanes].double().mean())
        assert abs(share - rate) < six_sigma(rate, N // lanes) + (1 / LEVELS if lanes == 4 else 0)


def test_draws_are_eight_or_four_units_long(monkeypatch):
    sizes = []
    real = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *args, **keywords: sizes.append(args[0]) or real(*args, **keywords))
    for rate in (0.5, 0.3):
        Dropout(rate).train()(torch.ones(80))
    assert sizes == [10, 20]


@pytest.mark.parametrize("other", [1, 2, 3, 4, 7, 8])
def test_units_of_a_draw_are_independent(other):
    """P(both dropped) of a unit and its neighbour at this distance is rate^2, in one 64-bit draw and across two."""
    zero = dropped(0.5)
    both = (zero[:-other] & zero[other:])[:: other + 4]  # thinned, so that the pairs do not overlap
    assert abs(float(both.double().mean()) - 0.25) < six_sigma(0.25, len(both))


@pytest.mark.parametrize("rate", [0.1, 0.5, 1 / 3, 3 / 4])
def test_kept_units_are_scaled_by_the_inverse_of_the_exact_share_kept(rate):
    """E[out] = (share kept) x scale = 1, so the scale is LEVELS / (LEVELS - dropped levels) and nothing else."""
    torch.manual_seed(0)
    out = Dropout(rate).train()(torch.ones(4096))
    assert set(out.unique().tolist()) == {0.0, float(torch.tensor(LEVELS / (LEVELS - round(rate * LEVELS))))}


def test_rate_zero_and_eval_are_the_identity():
    x = torch.randn(7, 5)
    assert torch.equal(Dropout(0.0).train()(x), x)
    assert torch.equal(Dropout(0.9).eval()(x), x)


def test_reproducible_under_the_global_seed():
    assert torch.equal(dropped(0.5, seed=3), dropped(0.5, seed=3))
    assert not torch.equal(dropped(0.5, seed=3), dropped(0.5, seed=4))


def test_odd_sizes_and_strides_keep_shape_and_values():
    torch.manual_seed(0)
    inputs = [torch.rand(shape) + 1 for shape in [(), (1,), (3,), (5, 7), (2, 3, 5), (0, 4), (9, 1)]]
    for x in (*inputs, torch.arange(1.0, 16.0).view(3, 5).T):
        out = Dropout(0.5).train()(x)
        assert out.shape == x.shape
        assert bool(((out == 0) | (out == 2 * x)).all())


def test_gradient_is_the_mask():
    torch.manual_seed(0)
    x = torch.ones(1000, requires_grad=True)
    out = Dropout(0.5).train()(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_keeps_the_type(dtype):
    assert Dropout(0.5).train()(torch.ones(8, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, math.nan])
def test_a_rate_outside_0_to_1_is_an_error(rate):
    with pytest.raises(ValueError, match="dropout rate"):
        Dropout(rate)


def test_a_rate_that_rounds_to_all_levels_still_works():
    """0.999999 is a rate in [0, 1); rounded to levels of 2^-16 it must not become 1, of which the scale is 1 / 0."""
    out = Dropout(0.999999).train()(torch.ones(1000))
    assert bool(out.isfinite().all())
