"""Pairs against a double loop over rows, and their behaviour at zero."""

import math

import pytest
import torch
from reference import in_batch, negative_locations

from cspops.losses import objectives


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def test_in_batch_is_the_double_loop():
    """Positives (a_i, b_i); negatives of row i are (a_i, b_j) for j != i, in the order of j (N^B of section 3.2)."""
    a, b = rows(5, 3), rows(5, 3, seed=1)
    pos, neg = in_batch(a, b)
    x, y = a.tolist(), b.tolist()
    assert pos.tolist() == pytest.approx([cosine(x[i], y[i]) for i in range(5)], abs=1e-7)
    for i in range(5):
        assert neg[i].tolist() == pytest.approx([cosine(x[i], y[j]) for j in range(5) if j != i], abs=1e-7)


def test_in_batch_of_two_rows():
    pos, neg = in_batch(torch.eye(2), torch.tensor([[2.0, 0.0], [3.0, 3.0]]))
    half = math.sqrt(0.5)
    torch.testing.assert_close(pos, torch.tensor([1.0, half]))
    torch.testing.assert_close(neg, torch.tensor([[half], [0.0]]))


def test_one_row_has_no_negatives():
    pos, neg = in_batch(rows(1, 3), rows(1, 3))
    assert pos.shape == (1,)
    assert neg.shape == (1, 0)


def test_negative_locations_is_the_double_loop():
    """Positives (e(x_i), f(I_i)); negatives (e(x-_ij), f(I_i)) for j in 1..C (N^L of section 3.2)."""
    loc, neg_loc, image = rows(4, 3), rows(4, 2, 3, seed=1), rows(4, 3, seed=2)
    pos, neg = negative_locations(loc, neg_loc, image)
    x, m, y = loc.tolist(), neg_loc.tolist(), image.tolist()
    assert pos.tolist() == pytest.approx([cosine(x[i], y[i]) for i in range(4)], abs=1e-7)
    for i in range(4):
        assert neg[i].tolist() == pytest.approx([cosine(m[i][j], y[i]) for j in range(2)], abs=1e-7)


def test_scores_do_not_depend_on_lengths():
    a, b = rows(4, 3), rows(4, 3, seed=1)
    for one, other in zip(in_batch(a, b), in_batch(7 * a, 0.5 * b), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_a_row_with_itself_scores_one():
    """The dropout positives at dropout 0. The error is |x|^-2 EPSILON / 2 at most."""
    a = rows(6, 8)
    pos, _ = in_batch(a, a.clone())
    bound = float(objectives.EPSILON / a.square().sum(1).min())
    assert float((pos - 1).abs().max()) < bound


def test_permuting_the_rows_permutes_the_scores():
    a, b, order = rows(5, 3), rows(5, 3, seed=1), torch.tensor([3, 0, 4, 1, 2])
    pos, neg = in_batch(a, b)
    pos_2, neg_2 = in_batch(a[order], b[order])
    torch.testing.assert_close(pos_2, pos[order])
    torch.testing.assert_close(neg_2.sort(1).values, neg[order].sort(1).values)


def test_a_row_of_zeros_has_cosine_zero_and_a_finite_gradient():
    a, b = rows(3, 4), rows(3, 4, seed=1)
    a[1] = 0
    a.requires_grad_()
    pos, neg = in_batch(a, b)
    assert pos[1] == 0
    assert neg[1].tolist() == [0, 0]
    (pos.sum() + neg.sum()).backward()
    assert bool(a.grad.isfinite().all())


def test_unit_rows_have_length_one():
    torch.testing.assert_close(
        objectives.unit(rows(2, 5, 3)).norm(dim=-1), torch.ones(2, 5, dtype=torch.float64), rtol=0, atol=1e-6
    )
