"""Eq. 2 among the rows of a batch, with its gradient made on the way: one pass of exponentials over the scores."""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from cspops.kernels import product
from cspops.shapes import Float, Tensor


def mc_among_the_batch(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], *, first: int = 0) -> Float[Tensor, ""]:
    """Return the mean over i of - log [e^(a_i b_y) / sum over j of e^(a_i b_j)], y = ``first`` + i.

    It is the cross-entropy of a b^T. The gradient by the scores is (softmax - [j = y]) / n; it takes the place of the scores
    while they are at hand, and backward has only to scale what it makes of ``a`` and ``b``.
    """
    wanted = torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)
    out: Tensor = _AmongTheBatch.apply(a, b, first, wanted)
    return out


class _AmongTheBatch(torch.autograd.Function):
    """The loss, with the gradients by its first two arguments made on the way."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, first: int, wanted: bool) -> Float[Tensor, ""]:
        scores = product(a, b.T)
        top, own = scores.amax(1), scores.diagonal(first).clone()
        p = torch.softmax(scores, 1, out=scores)
        log_of_sum = top - p.amax(1).log()  # the top score's own p is e^top / sum, and at least 1 / m
        if wanted:
            p.diagonal(first).sub_(1)
            ctx.save_for_backward(product(p, b), product(p.T, a))
        return (log_of_sum - own).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        grad_a, grad_b = ctx.saved_tensors
        share = grad / len(grad_a)
        return share * grad_a, share * grad_b, None, None
