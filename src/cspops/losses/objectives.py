"""Objectives: from scores of positive and negative pairs to a number to minimise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid

from cspops.shapes import Float, Tensor


def _itself(rows: Tensor) -> Tensor:
    return rows


@dataclass(frozen=True)
class Share:
    """Which rows of a batch an in-batch loss is the mean over: all that are given, or those of one of several processes."""

    first: int = 0
    """The number of the first of them in the batch."""
    whole: Callable[[Tensor], Tensor] = _itself
    """From these rows to those of the batch, with gradient."""

    @property
    def is_all(self) -> bool:
        """Whether they are the batch."""
        return self.whole is _itself


WHOLE = Share()


def nce(pos: Float[Tensor, "*p"] | None, neg: Float[Tensor, "*m"] | None) -> Float[Tensor, ""]:
    """Return noise contrastive estimation, Eq. 1: - mean log sigma(pos) - mean log(1 - sigma(neg)).

    An empty set (None) adds nothing. log(1 - sigma(s)) is computed as log sigma(-s).

    Note: the released code takes log(sigma + 1e-5).
    """
    parts = [logsigmoid(pos).mean()] if pos is not None and pos.numel() else []
    if neg is not None and neg.numel():
        parts.append(logsigmoid(-neg).mean())
    if not parts:
        raise ValueError("nce needs positive or negative scores")
    return -torch.stack(parts).sum()


def mc(pos: Float[Tensor, "n"], neg: Float[Tensor, "n m"], *, temperature: float | Tensor) -> Float[Tensor, ""]:
    """Return multi-class classification (InfoNCE), Eq. 2: the mean of - log of the positive's softmax among its negatives.

    Note: the paper prints Eq. 2 without the - log; the released code minimises the cross-entropy, as here.
    """
    pos, neg = pos / temperature, neg / temperature
    return (torch.cat((pos[:, None], neg), 1).logsumexp(1) - pos).mean()


def mse(predicted: Float[Tensor, "n k"], target: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
    """Return the mean squared error of image features regressed from locations (the paper's MSE baseline)."""
    return (predicted - target).square().mean()


EPSILON = 1e-8
"""Added to squared lengths, so that a row of zeros (all units dropped out) has cosine 0 and a finite gradient."""


def unit(x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
    """Return x / |x|, safe at zero."""
    out: Tensor = _Unit.apply(x)
    return out


class _Unit(torch.autograd.Function):
    """u = x / |x| with the gradient (g - u (u g)) / |x|, in half the passes that autograd takes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        inverse = torch.rsqrt(x.square().sum(-1, keepdim=True) + EPSILON)
        u = x * inverse
        ctx.save_for_backward(u, inverse)
        return u

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        u, inverse = ctx.saved_tensors
        along = (u * g).sum(-1, keepdim=True)
        return torch.addcmul(g, u, along, value=-1).mul_(inverse)
