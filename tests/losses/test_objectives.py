"""Objectives: closed forms, double loops, and scores at the ends of the range."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.losses import objectives

scores = st.floats(-1, 1, width=32)


def sigma(v: float) -> float:
    return 1 / (1 + math.exp(-v))


def doubles(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(("m", "temperature", "score"), [(1, 0.05, -1.0), (4, 1.0, 0.0), (100, 20.0, 0.7), (100, 0.05, 0.7)])
def test_mc_of_equal_scores_is_log_of_the_number_of_candidates(m, temperature, score):
    """All 1 + m candidates have softmax 1 / (1 + m), whatever the score and the temperature: - log of it is log(1 + m)."""
    got = objectives.mc(torch.full((3,), score).double(), torch.full((3, m), score).double(), temperature=temperature)
    assert got.item() == pytest.approx(math.log(1 + m), rel=1e-12)


def test_mc_without_negatives_is_zero():
    """The softmax over one candidate is 1."""
    assert objectives.mc(torch.tensor([0.3, -0.2]), torch.empty(2, 0), temperature=0.1).item() == 0


def test_mc_of_two_candidates_is_the_logistic_loss():
    """e^(p/t) / (e^(p/t) + e^(q/t)) = sigma((p - q) / t)."""
    got = objectives.mc(doubles([0.9]), doubles([[0.2]]), temperature=0.5)
    assert got.item() == pytest.approx(math.log(1 + math.exp(-0.7 / 0.5)), rel=1e-12)


@given(
    pos=st.lists(scores, min_size=3, max_size=3),
    neg=st.lists(st.lists(scores, min_size=4, max_size=4), min_size=3, max_size=3),
    t=st.floats(0.05, 20),
)
@settings(max_examples=50, deadline=None)
def test_mc_is_the_double_loop(pos, neg, t):
    """Eq. 2 with - log: mean over i of - log [e^(s_ii/t) / (e^(s_ii/t) + sum_j e^(s_ij/t))]."""
    total = 0.0
    for i in range(3):
        denominator = math.exp(pos[i] / t)
        for j in range(4):
            denominator += math.exp(neg[i][j] / t)
        total -= math.log(math.exp(pos[i] / t) / denominator)
    assert objectives.mc(doubles(pos), doubles(neg), temperature=t).item() == pytest.approx(total / 3, rel=1e-9, abs=1e-9)


def test_mc_at_a_tiny_temperature_is_finite():
    """For t -> 0 the loss is (s_neg - s_pos) / t where the negative wins: 2 / 1e-4."""
    pos = torch.tensor([-1.0], requires_grad=True)
    got = objectives.mc(pos, torch.tensor([[1.0]]), temperature=1e-4)
    got.backward()
    assert got.item() == pytest.approx(2e4, rel=1e-6)
    assert pos.grad.item() == pytest.approx(-1e4, rel=1e-6)


def test_nce_at_zero_is_two_log_two():
    """- log sigma(0) - log(1 - sigma(0)) = 2 log 2, whatever the numbers of pairs: each set is a mean."""
    assert objectives.nce(torch.zeros(3), torch.zeros(5, 7)).item() == pytest.approx(2 * math.log(2), rel=1e-6)


def test_nce_with_one_set_empty_is_log_two_at_zero():
    assert objectives.nce(torch.zeros(3), None).item() == pytest.approx(math.log(2), rel=1e-6)
    assert objectives.nce(None, torch.zeros(2, 2)).item() == pytest.approx(math.log(2), rel=1e-6)


@given(pos=st.lists(scores, min_size=1, max_size=5), neg=st.lists(scores, min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_nce_is_the_loop(pos, neg):
    """Eq. 1."""
    expected = -sum(math.log(sigma(s)) for s in pos) / len(pos) - sum(math.log(1 - sigma(s)) for s in neg) / len(neg)
    assert objectives.nce(doubles(pos), doubles(neg)).item() == pytest.approx(expected, rel=1e-9)


def test_nce_of_huge_scores_is_finite():
    """- log sigma(-1e4) = 1e4 and - log(1 - sigma(1e4)) = 1e4, where log(1 - sigma) as written would be log 0."""
    assert objectives.nce(torch.tensor([-1e4]), torch.tensor([1e4])).item() == pytest.approx(2e4)


def test_nce_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="positive or negative"):
        objectives.nce(None, None)


def test_nce_with_no_negatives_in_the_batch_is_the_positives_alone():
    """An empty set adds nothing: a batch of one row has no in-batch negatives, and its loss must not be nan."""
    got = objectives.nce(torch.tensor([0.5]), torch.empty(1, 0))
    assert got.item() == pytest.approx(-math.log(sigma(0.5)), rel=1e-6)


def test_mse_is_the_mean_over_rows_and_features():
    """Squares 1, 4, 9, 16, 0, 0 have the mean 5."""
    got = objectives.mse(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), torch.tensor([[0.0, 0.0, 0.0], [0.0, 5.0, 6.0]]))
    assert got.item() == 5


def test_unit_has_length_one_and_the_gradient_of_its_formula():
    """A row of zeros stays one, with a finite gradient: 1 / sqrt(epsilon) times what comes."""
    x = torch.randn(3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    torch.testing.assert_close(objectives.unit(x).norm(dim=-1), torch.ones(3, 4, dtype=torch.float64))
    assert torch.autograd.gradcheck(objectives.unit, x)
    zero = torch.zeros(1, 2, requires_grad=True)
    objectives.unit(zero).backward(torch.tensor([[1.0, -2.0]]))
    torch.testing.assert_close(zero.grad, torch.tensor([[1e4, -2e4]]))
