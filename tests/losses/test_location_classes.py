"""Cross-entropy and focal loss against loops, and the limits that tie them together."""

import math

import pytest
import torch

from cspops.losses.finetuning import focal, softmax_cross_entropy


def example(n: int = 5, q: int = 4, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(n, q, generator=g, dtype=torch.float64), torch.randint(q, (n,), generator=g)


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(s) for s in row)
    return [math.exp(s) / total for s in row]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_the_loop(smoothing):
    """The target is 1 - smoothing at the label and smoothing / q everywhere on top."""
    scores, label = example()
    total = 0.0
    for row, y in zip(scores.tolist(), label.tolist(), strict=True):
        for j, p in enumerate(softmax(row)):
            total -= ((1 - smoothing) * (j == y) + smoothing / 4) * math.log(p)
    assert softmax_cross_entropy(scores, label, label_smoothing=smoothing).item() == pytest.approx(total / 5, rel=1e-9)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_is_the_loop(gamma):
    scores, label = example()
    values = [
        -((1 - p) ** gamma) * math.log(p)
        for p in (softmax(row)[y] for row, y in zip(scores.tolist(), label.tolist(), strict=True))
    ]
    assert focal(scores, label, gamma=gamma).item() == pytest.approx(sum(values) / 5, rel=1e-9)


def test_focal_of_gamma_zero_is_cross_entropy():
    scores, label = example()
    torch.testing.assert_close(focal(scores, label, gamma=0.0), softmax_cross_entropy(scores, label))


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_has_a_finite_gradient_where_the_label_is_certain_or_impossible(gamma):
    scores = torch.tensor([[200.0, 0.0], [-200.0, 0.0]], requires_grad=True)
    value = focal(scores, torch.tensor([0, 0]), gamma=gamma)
    value.backward()
    assert value.item() == pytest.approx(100.0)  # 0 and 200, averaged
    assert bool(scores.grad.isfinite().all())
