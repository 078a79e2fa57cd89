"""The fast in-batch contrasts against the simple ones, in value and gradient, in float64."""

import pytest
import reference
import torch

from cspops.losses import csp, objectives


def unit_rows(*shape: int, seed: int = 0) -> torch.Tensor:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x / x.norm(dim=-1, keepdim=True)).requires_grad_()


def gradients(loss: torch.Tensor, *inputs: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, inputs))


def agree(fast, simple, *inputs: torch.Tensor) -> None:
    """`objectives.unit` adds 1e-8 to squared lengths of 1, which changes a cosine by 1e-8 and a score by 1e-8 / temperature."""
    one, other = fast(*inputs), simple(*inputs)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    tangent = [g - (g * x).sum(-1, keepdim=True) * x for g, x in zip(gradients(one, *inputs), inputs, strict=True)]
    for g, expected in zip(tangent, gradients(other, *inputs), strict=True):
        torch.testing.assert_close(g.detach(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 1.0, 7.0])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_mc_is_mc_of_the_pairs(n, temperature):
    """Gradients along the sphere: the simple form normalises, so its own have no part along the vector."""

    def simple(a, b):
        return objectives.mc(*reference.in_batch(a, b), temperature=temperature)

    agree(lambda a, b: csp.mc_in_batch(a, b, temperature=temperature), simple, unit_rows(n, 5), unit_rows(n, 5, seed=1))


@pytest.mark.parametrize("n", [1, 2, 9])
def test_nce_is_nce_of_the_pairs(n):
    def simple(a, b):
        return objectives.nce(*reference.in_batch(a, b))

    agree(csp.nce_in_batch, simple, unit_rows(n, 5), unit_rows(n, 5, seed=1))


def test_negative_locations_are_those_of_the_pairs():
    a, b, c = unit_rows(4, 3), unit_rows(4, 2, 3, seed=1), unit_rows(4, 3, seed=2)
    for one, other in zip(csp.negative_locations(a, b, c), reference.negative_locations(a, b, c), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-7)


def test_symmetric_mc_is_the_mean_of_both_directions():
    def simple(a, b):
        return (
            objectives.mc(*reference.in_batch(a, b), temperature=0.3)
            + objectives.mc(*reference.in_batch(b, a), temperature=0.3)
        ) / 2

    def fast(a, b):
        return csp.mc_in_batch(a, b, temperature=0.3, symmetric=True)

    agree(fast, simple, unit_rows(6, 5), unit_rows(6, 5, seed=1))


def test_a_learned_temperature_gets_the_gradient_of_the_simple_form():
    a, b, t = unit_rows(6, 5), unit_rows(6, 5, seed=1), torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    (one,) = gradients(csp.mc_in_batch(a, b, temperature=t), t)
    (other,) = gradients(objectives.mc(*reference.in_batch(a, b), temperature=t), t)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
