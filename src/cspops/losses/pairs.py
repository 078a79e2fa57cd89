"""Pairs: which embeddings are compared with which. Each function answers (positive, negative) cosine scores."""

import torch

from cspops.shapes import Float, Tensor

EPSILON = 1e-8
"""Added to squared lengths, so that a row of zeros (all units dropped out) has cosine 0 and a finite gradient."""


def unit(x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
    """x / |x|, safe at zero."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + EPSILON)


def in_batch(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n"], Float[Tensor, "n n_minus_1"]]:
    """Row i of ``a`` with row i of ``b`` is a positive, with every other row of ``b`` a negative.

    It serves both B (location, image): P^X, N^B, and D (location, its second dropout pass): P^D, N^D.
    """
    n = len(a)
    scores = unit(a) @ unit(b).T
    off_diagonal = scores.flatten()[1:].view(n - 1, n + 1)[:, :-1].reshape(n, n - 1)
    return scores.diagonal(), off_diagonal


def negative_locations(
    loc_emb: Float[Tensor, "n d"], neg_loc_emb: Float[Tensor, "n c d"], image_emb: Float[Tensor, "n d"]
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n c"]]:
    """L: an image with its own location is a positive (P^X), with each of c random locations a negative (N^L)."""
    image = unit(image_emb)
    return (unit(loc_emb) * image).sum(-1), (unit(neg_loc_emb) * image[:, None]).sum(-1)
