"""L-BFGS against closed forms, scipy, and its own promises."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from cspops.training.lbfgs import minimum


def quadratic(k: int = 12, condition: float = 100.0):
    """Return an objective (x - m)^T A (x - m) / 2 + 1, A with eigenvalues from 1 to ``condition``, and m."""
    g = torch.Generator().manual_seed(0)
    q = torch.linalg.qr(torch.randn(k, k, generator=g, dtype=torch.float64)).Q
    a = q @ torch.diag(torch.logspace(0, np.log10(condition), k, dtype=torch.float64)) @ q.T
    at = torch.randn(k, generator=g, dtype=torch.float64)

    def objective(x: torch.Tensor) -> tuple[float, torch.Tensor]:
        of = a @ (x - at)
        return float((x - at).dot(of)) / 2 + 1, of

    return objective, at


def test_a_quadratic_ends_at_its_minimum():
    objective, at = quadratic()
    found = minimum(objective, torch.zeros(12, dtype=torch.float64), iterations=100)
    assert objective(found)[0] - 1 < 2e-7
    torch.testing.assert_close(found, at, rtol=0, atol=1e-3)


def test_a_convex_function_without_a_good_scale_equals_scipy():
    """sum_i log(1 + exp(-100 z_i x)) + |x|^2 / 2: the first step of the gradient's length is far too long."""
    z = 100 * torch.randn(50, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def objective(x: torch.Tensor) -> tuple[float, torch.Tensor]:
        x = x.detach().requires_grad_()
        value = torch.nn.functional.softplus(-z @ x).sum() + x.square().sum() / 2
        (slope,) = torch.autograd.grad(value, x)
        return float(value.detach()), slope

    found = minimum(objective, torch.zeros(5, dtype=torch.float64), iterations=200)
    theirs = minimize(
        lambda x: tuple(np.asarray(one) for one in objective(torch.tensor(x))), np.zeros(5), jac=True, method="BFGS", tol=1e-8
    )
    assert objective(found)[0] == pytest.approx(theirs.fun, rel=1e-6)


@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_iterations_bound_the_work_and_no_end_is_worse_than_the_start(iterations):
    objective, _ = quadratic(condition=1e6)
    start = torch.ones(12, dtype=torch.float64)
    calls = []

    def counted(x: torch.Tensor) -> tuple[float, torch.Tensor]:
        calls.append(objective(x)[0])
        return objective(x)

    found = minimum(counted, start, iterations=iterations)
    assert len(calls) <= 1 + 11 * iterations
    assert objective(found)[0] < calls[0] if iterations else torch.equal(found, start)


def test_a_value_that_shows_no_decrease_ends_it():
    """At the limit of precision a gradient promises what no step brings."""
    calls = []

    def flat(x: torch.Tensor) -> tuple[float, torch.Tensor]:
        calls.append(1)
        return 1.0, torch.full_like(x, 0.5)

    assert torch.equal(minimum(flat, torch.zeros(3), iterations=50), torch.zeros(3))
    assert len(calls) == 11


def test_no_square_root_decides_a_step(monkeypatch):
    """MKL's square roots differ in their last bits from one maker of processors to another."""
    monkeypatch.setattr(torch.Tensor, "sqrt", None)
    monkeypatch.setattr(torch, "sqrt", None)
    objective, at = quadratic()
    torch.testing.assert_close(minimum(objective, torch.zeros(12).double(), iterations=100), at, rtol=0, atol=1e-3)
