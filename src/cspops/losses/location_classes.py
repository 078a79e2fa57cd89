"""Losses of fine-tuning besides Eq. 5: cross-entropy and focal loss over the classes at a place."""

import torch
from torch.nn.functional import cross_entropy

from cspops.shapes import Float, Int, Tensor


def softmax_cross_entropy(
    scores: Float[Tensor, "n q"], label: Int[Tensor, "n"], *, label_smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Mean of - log softmax(e(x) T) at the label; ``label_smoothing`` spreads that share of the target over all classes."""
    return cross_entropy(scores, label, label_smoothing=label_smoothing)


def focal(scores: Float[Tensor, "n q"], label: Int[Tensor, "n"], *, gamma: float = 2.0) -> Float[Tensor, ""]:
    """Focal loss (Lin et al. 2017, Eq. 4): mean of - (1 - p)^gamma log p, p the softmax at the label.

    ``gamma`` 0 is the cross-entropy; above it, places that are classified well count less.
    """
    log_p = scores.log_softmax(1).gather(1, label[:, None])[:, 0]
    return -(-torch.expm1(log_p)).clamp_min(1e-12).pow(gamma).mul(log_p).mean()
