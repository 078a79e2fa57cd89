"""P(y|I, x) from P(y|I) and P(y|x) (paper, section 3.4)."""

import torch
from torch.nn.functional import logsigmoid

from cspops.models.location_encoder import Link
from cspops.shapes import Bool, Float, Int, Tensor


def image_log_p(logits: Float[Tensor, "n q"]) -> Float[Tensor, "n q"]:
    """log P(y|I), the softmax of the classifier g."""
    return logits.double().log_softmax(-1)


def location_log_p(scores: Float[Tensor, "n q"], located: Bool[Tensor, "n"], *, link: Link = "sigmoid") -> Float[Tensor, "n q"]:
    """log P(y|x) of the scores e(x) T; uniform where ``located`` is false.

    Args:
        link: `sigmoid`, P(y|x) proportional to sigma(e(x) T) (paper); `softmax`, for a classifier that was trained with
            the cross-entropy over classes.
    """
    scores = scores.double().where(located[:, None], 0)
    return (logsigmoid(scores) if link == "sigmoid" else scores).log_softmax(-1)


def combined_log_p(
    image: Float[Tensor, "n q"], location: Float[Tensor, "n q"], located: Bool[Tensor, "n"]
) -> Float[Tensor, "n q"]:
    """log of P(y|I) P(y|x), normalised; the image alone where there is no location.

    Image and location are taken as independent given the class. In log space the product underflows nowhere; rows
    of ``location`` where ``located`` is false may hold anything, nan too.
    """
    return torch.where(located[:, None], (image + location).log_softmax(-1), image)


TABLE = 2**20
"""Numbers of such a table: 8 MB in float64."""


def row_blocks(rows: Int[Tensor, "n"], classes: int) -> list[Int[Tensor, "b"]]:
    """``rows`` in parts of at most ``TABLE // classes``, in order; none where there is no row."""
    return [part for part in rows.split(max(1, TABLE // classes)) if len(part)]
