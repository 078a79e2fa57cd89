"""The fused loss against torch's cross-entropy, in value and gradient."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from cspops.losses.among_the_batch import mc_among_the_batch


def randn(*shape: int, seed: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=g).requires_grad_()


@pytest.mark.parametrize(("n", "m", "first"), [(1, 1, 0), (4, 4, 0), (3, 7, 2), (3, 7, 4)])
def test_is_the_cross_entropy_of_the_products(n, m, first):
    a, b = randn(n, 5, seed=0), randn(m, 5, seed=1)
    expected = cross_entropy(a @ b.T, torch.arange(first, first + n))
    torch.testing.assert_close(mc_among_the_batch(a, b, first=first), expected)
    assert torch.autograd.gradcheck(lambda *ab: mc_among_the_batch(*ab, first=first), (a, b))


def test_scores_far_apart_have_a_finite_loss_and_gradient():
    """Row 0 scores 1e4 with row 1's positive and 0 with its own: the loss is (1e4 + 1e4) / 2."""
    a, b = torch.eye(2).mul(1e4).requires_grad_(), torch.eye(2).flip(0).requires_grad_()
    loss = mc_among_the_batch(a, b)
    loss.backward()
    assert loss.item() == 1e4
    torch.testing.assert_close(a.grad, torch.tensor([[0.5, -0.5], [-0.5, 0.5]]))


def test_no_gradient_where_none_is_wanted():
    with torch.no_grad():
        assert not mc_among_the_batch(randn(2, 3, seed=0), randn(2, 3, seed=1)).requires_grad
