"""L-BFGS for smooth convex functions, with the same bits on every processor (Nocedal and Wright 2006, section 7.2).

`torch.optim.LBFGS` finds its steps by square roots, whose last bits differ between makers of processors (`cspops.kernels`), and
where a fit ends moves with them by more than rounding.
"""

from collections import deque
from collections.abc import Callable

from cspops.shapes import Float, Tensor

MEMORY = 20
"""Pairs of steps and changes of the gradient that are kept."""
TOLERANCE = 1e-5
"""The largest part of the gradient at which it ends."""
DECREASE = 1e-4
"""The share of the decrease that the gradient promises which a step must bring (Armijo)."""
PRECISION = 1e-7
"""It ends where the gradient promises a decrease of less than this share of the value: float32 scores show no smaller one."""
SHORTENINGS = 10
LEAST_CURVATURE = 1e-10

Objective = Callable[[Tensor], tuple[float, Tensor]]
"""From a point (k,) to the value there and the gradient (k,)."""


def minimum(objective: Objective, start: Float[Tensor, "k"], *, iterations: int) -> Float[Tensor, "k"]:
    """Return where a convex function is least, or the best point after so many iterations.

    Args:
        objective: scaled so that a first step of the length of the gradient is a good guess.
    """
    x = start
    value, gradient = objective(x)
    pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=MEMORY)
    for _ in range(iterations):
        if float(gradient.abs().max()) <= TOLERANCE:
            break
        direction = _direction(gradient, pairs)
        slope, share = float(gradient.dot(direction)), 1.0
        if -slope <= PRECISION * abs(value):
            break
        for _ in range(SHORTENINGS):
            step = share * direction
            new_value, new_gradient = objective(x + step)
            if new_value <= value + DECREASE * share * slope:
                break
            # the minimum of the parabola through both values and the slope
            excess = new_value - value - share * slope
            share *= min(0.5, max(0.1, -slope * share / (2 * excess)))
        else:
            break
        change = new_gradient - gradient
        curvature = float(change.dot(step))
        if curvature > LEAST_CURVATURE:
            pairs.append((step, change, curvature))
        x, value, gradient = x + step, new_value, new_gradient
    return x


def _direction(gradient: Float[Tensor, "k"], pairs: deque[tuple[Tensor, Tensor, float]]) -> Float[Tensor, "k"]:
    """Return minus the inverse Hessian that the pairs tell, times the gradient: the recursion of two loops."""
    direction, shares = -gradient, []
    for step, change, curvature in reversed(pairs):
        share = float(step.dot(direction)) / curvature
        direction.add_(change, alpha=-share)
        shares.append(share)
    if pairs:
        _, change, curvature = pairs[-1]
        direction.mul_(curvature / float(change.dot(change)))
    for (step, change, curvature), share in zip(pairs, reversed(shares), strict=True):
        direction.add_(step, alpha=share - float(change.dot(direction)) / curvature)
    return direction
