"""The triplet loss against a loop, in closed form, and its gradient where tiles are identical."""

import math

import pytest
import torch

from cspops.losses.image import length, triplet


def embeddings(n: int = 7, k: int = 5, seed: int = 0) -> list[torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return [3 * torch.randn(n, k, generator=draws, dtype=torch.float64) for _ in range(3)]


@pytest.mark.parametrize(("margin", "l2"), [(0.1, 0.0), (2.0, 0.01), (10.0, 0.3)])
def test_it_is_that_of_a_double_loop(margin, l2):
    anchor, neighbour, distant = embeddings()

    def euclid(x, y):
        return math.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)))

    hinge, squares = 0.0, [0.0, 0.0, 0.0]
    for a, n, d in zip(anchor.tolist(), neighbour.tolist(), distant.tolist(), strict=True):
        hinge += max(0.0, euclid(a, n) - euclid(a, d) + margin) / 7
        for which, row in enumerate((a, n, d)):
            for value in row:
                squares[which] += value**2
    norm = l2 * sum(math.sqrt(one) for one in squares)
    parts = triplet(anchor, neighbour, distant, margin=margin, l2=l2)
    assert float(parts["triplet"]) == pytest.approx(hinge, abs=1e-9)
    assert float(parts["norm"]) == pytest.approx(norm, abs=1e-9)
    assert float(parts["total"]) == pytest.approx(hinge + norm, abs=1e-9)


def test_a_collapsed_network_pays_the_margin():
    """Equal distances leave relu(margin); the norm of n equal rows of length r is r sqrt(n)."""
    z = torch.full((9, 4), 2.0)
    parts = triplet(z, z, z, margin=1.5, l2=0.1)
    assert float(parts["triplet"]) == pytest.approx(1.5)
    assert float(parts["norm"]) == pytest.approx(0.1 * 3 * 4 * 3)


def test_a_distant_tile_beyond_the_margin_pulls_no_more():
    """|a - n| = 1 and |a - d| = 5: the hinge is 0 with a margin below 4, and 1 with one of 5."""
    a, n, d = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    assert float(triplet(a, n, d, margin=3.9, l2=0.0)["total"]) == 0
    assert float(triplet(a, n, d, margin=5.0, l2=0.0)["total"]) == pytest.approx(1)


@pytest.mark.parametrize("same", ["neighbour", "distant", "all", "zero"])
def test_identical_tiles_have_a_finite_gradient(same):
    """The root has an infinite slope at 0, which times the square's slope, 0, would be nan."""
    anchor, neighbour, distant = embeddings()
    if same in ("neighbour", "all"):
        neighbour = anchor.clone()
    if same in ("distant", "all"):
        distant = anchor.clone()
    if same == "zero":
        anchor, neighbour, distant = (torch.zeros(7, 5, dtype=torch.float64) for _ in range(3))
    given = [x.requires_grad_() for x in (anchor, neighbour, distant)]
    triplet(*given, margin=10.0, l2=0.01)["total"].backward()
    assert all(bool(x.grad.isfinite().all()) for x in given)


def test_the_gradient_is_that_of_differences():
    given = [x.requires_grad_() for x in embeddings(3, 2)]
    assert torch.autograd.gradcheck(lambda *z: triplet(*z, margin=20.0, l2=0.1)["total"], given)


def test_a_length_is_the_euclidean_one():
    assert float(length(torch.tensor([3.0, 4.0]))) == pytest.approx(5)
