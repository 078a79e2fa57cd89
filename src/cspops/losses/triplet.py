"""The triplet loss of Tile2Vec on plain tensors."""

import torch

from cspops.shapes import Float, Tensor

EPSILON = 1e-12
"""Added below each square root, so that the distance of identical tiles has a gradient: zero."""


def triplet(
    anchor: Float[Tensor, "n k"],
    neighbour: Float[Tensor, "n k"],
    distant: Float[Tensor, "n k"],
    *,
    margin: float,
    l2: float,
) -> dict[str, Tensor]:
    """mean relu(|z_a - z_n| - |z_a - z_d| + margin) + l2 (|Z_a|_F + |Z_n|_F + |Z_d|_F) (Jean et al. 2019).

    The lengths are euclidean, not squared, of embeddings as they come, not brought to length 1. |Z|_F is the Frobenius
    norm of the matrix of a batch: it grows with the root of the batch's size.

    Returns:
        `triplet` and `norm`, the two addends, and `total`.
    """
    gap = length(anchor - neighbour) - length(anchor - distant)
    norms = torch.stack([length(z.flatten()) for z in (anchor, neighbour, distant)])
    parts = {"triplet": (gap + margin).relu().mean(), "norm": l2 * norms.sum()}
    return parts | {"total": parts["triplet"] + parts["norm"]}


def length(x: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Euclidean length along the last axis, safe at zero."""
    return (x.square().sum(-1) + EPSILON).sqrt()
