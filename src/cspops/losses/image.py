"""The losses of the image network's pre-training on plain tensors: GeoKR's two and Tile2Vec's triplet."""

from typing import Literal

import torch
from torch.nn.functional import log_softmax, softmax

from cspops.kernels import sqrt
from cspops.shapes import Float, Tensor

Reduction = Literal["entries", "rows"]


def land_cover_loss(
    student: Float[Tensor, "n c"], teacher: Float[Tensor, "n c"], share: Float[Tensor, "n c"], *, reduction: Reduction
) -> dict[str, Tensor]:
    """Return mean(-p log softmax(s)) + mean(-softmax(s) log softmax(t)) (Li et al. 2021).

    The second part is the cross-entropy of the student under the teacher's log-probabilities: it rewards a student that is
    sure of itself, too. With equal scores each part is ln(c) / c under `entries`, ln(c) under `rows`.

    Args:
        student: scores s of each class.
        teacher: scores t.
        share: p, of each class in the land around the image.
        reduction: `entries` is the mean over all n c numbers, as released; `rows` is c times that, the mean of one
            cross-entropy per row.

    Returns:
        `land_cover` and `consistency`, the two addends, and `total`.
    """
    weight = share.shape[1] if reduction == "rows" else 1
    parts = {
        "land_cover": weight * (-share * log_softmax(student, 1)).mean(),
        "consistency": weight * (-softmax(student, 1) * log_softmax(teacher, 1)).mean(),
    }
    return parts | {"total": parts["land_cover"] + parts["consistency"]}


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
    """Return mean relu(|z_a - z_n| - |z_a - z_d| + margin) + l2 (|Z_a|_F + |Z_n|_F + |Z_d|_F) (Jean et al. 2019).

    The lengths are euclidean, not squared, of embeddings that are not normalised. |Z|_F is the Frobenius
    norm of the matrix of a batch: it grows with the root of the batch's size.

    Returns:
        `triplet` and `norm`, the two addends, and `total`.
    """
    gap = length(anchor - neighbour) - length(anchor - distant)
    norms = torch.stack([length(z.flatten()) for z in (anchor, neighbour, distant)])
    parts = {"triplet": (gap + margin).relu().mean(), "norm": l2 * norms.sum()}
    return parts | {"total": parts["triplet"] + parts["norm"]}


def length(x: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Return the Euclidean length along the last axis, safe at zero."""
    return sqrt(x.square().sum(-1) + EPSILON)
