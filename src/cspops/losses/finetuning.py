"""The losses of fine-tuning: presence-absence (Mac Aodha et al. 2019; the paper's Eq. 5), cross-entropy and focal loss."""

import math
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy, softplus

from cspops.kernels import product
from cspops.losses import objectives
from cspops.shapes import Float, Int, Tensor

CPU_BLOCK, BLOCK = 2**20, 2**26
"""Scores held at a time: as many as fit the caches of a CPU core; on other devices, as many as keep them busy."""


def presence_absence_in_blocks(
    loc_emb: Float[Tensor, "n d"],
    neg_loc_emb: Float[Tensor, "m d"],
    class_emb: Float[Tensor, "q d"],
    label: Int[Tensor, "n"],
    *,
    beta: float,
    block: int | None = None,
) -> Float[Tensor, ""]:
    """Return Eq. 5, beta nce(P^y, none) + nce(none, N^y and N^R), of the scores s = e(x) T, never holding all of them:

    - beta mean over P^y of log sigma(s) - mean over N^y and N^R of log(1 - sigma(s)).

    P^y: each labelled location with its class. N^y: with every other class. N^R: each random location with every
    class. The second term is one mean over the union of N^y and N^R, as the paper writes it.

    The loss and its gradient are formed together, for ``block`` classes at a time: each block's scores are used while
    they are in the cache, and backward has only to scale gradients that are there.

    Args:
        loc_emb: e(x) of labelled locations.
        neg_loc_emb: e(x-) of random locations.
        class_emb: T, one row per class.
        label: classes of the labelled locations.
        beta: weight of the positives; the unweighted binary cross-entropy has 1 / (2 q - 1) when m = n.
        block: classes at a time; None for as many as suit the device.

    Raises:
        ValueError: for labels that are no rows of ``class_emb`` (on a CPU; elsewhere the check would wait for the device).

    Note: the released code adds two means over n q entries each, with pos_weight = q on the positives. That is about
    twice Eq. 5 with beta = 1/2.
    """
    if label.device.type == "cpu" and bool(((label < 0) | (label >= len(class_emb))).any()):
        raise ValueError(f"labels lie in 0..{len(class_emb) - 1}, not {int(label.min())}..{int(label.max())}")
    rows = torch.cat((loc_emb, neg_loc_emb))
    if block is None:
        block = max(1, (CPU_BLOCK if rows.device.type == "cpu" else BLOCK) // max(1, len(rows)))
    wanted = torch.is_grad_enabled() and (rows.requires_grad or class_emb.requires_grad)
    out: Tensor = _InBlocks.apply(rows, class_emb, label, beta, block, wanted)
    return out


class _InBlocks(torch.autograd.Function):
    """The loss, with the gradients by its first two arguments made on the way."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, class_emb: Tensor, label: Tensor, beta: float, block: int, wanted: bool
    ) -> Float[Tensor, ""]:
        n, q = len(label), len(class_emb)
        pos_weight, neg_weight = beta / max(1, n), 1 / max(1, len(rows) * q - n)
        grad_x, grad_classes = torch.zeros_like(rows), torch.empty_like(class_emb)
        parts = []
        for first in range(0, q, block):
            own_classes = class_emb[first : first + block]
            scores = product(rows, own_classes.T)
            column = label - first
            here = ((column >= 0) & (column < len(own_classes)))[:, None]
            column = column.clamp(0, len(own_classes) - 1)[:, None]
            pos = scores[:n].gather(1, column)
            scores[:n].scatter_(1, column, pos.masked_fill(here, -math.inf))  # the label is none of its row's negatives
            parts += [neg_weight * softplus_sum(scores), pos_weight * softplus(-pos).masked_fill_(~here, 0).sum()]
            if wanted:
                grad = scores.sigmoid_()  # of the sum of negatives: the weight of their mean comes last
                of_pos = -pos_weight / neg_weight * (-pos).sigmoid()
                grad[:n].scatter_(1, column, torch.where(here, of_pos, grad[:n].gather(1, column)))
                grad_x += product(grad, own_classes)
                grad_classes[first : first + block] = product(grad.T, rows)
        ctx.neg_weight = neg_weight
        ctx.save_for_backward(grad_x, grad_classes)
        return torch.stack(parts).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        grad_x, grad_classes = ctx.saved_tensors
        weight = grad * ctx.neg_weight
        return weight * grad_x, weight * grad_classes, None, None, None, None


HALVES = 100
"""Factors from 1/2 to 1 whose product is no less than the least number of float32 with full precision."""


def softplus_sum(scores: Float[Tensor, "n q"]) -> Float[Tensor, ""]:
    """Return the sum of log(1 + e^s) = max(s, 0) - log sigma(|s|), with one logarithm for many rows.

    It is off by at most one rounding of 1, 6e-8 in float32, for each score.
    """
    sigma = scores.abs().sigmoid_()
    return scores.relu().sum() - torch.stack([part.prod(0) for part in sigma.split(HALVES)]).log_().sum()


def presence_absence_released(
    scores: Float[Tensor, "n q"],
    label: Int[Tensor, "n"],
    neg_scores: Float[Tensor, "m q"],
    *,
    weight_background: float = 1.0,
) -> Float[Tensor, ""]:
    """Return the released weighting: a mean over n q entries with pos_weight q, and one of its own for random locations.

    - mean_i log sigma(s_iy) - 1 / (n q) sum_{c != y} log(1 - sigma(s_ic)) - weight_background mean log(1 - sigma(s-)).
    With ``weight_background`` 1 and m = n it is (2 q - 1) / q times Eq. 5 with beta = q / (2 q - 1).

    Note: the released code takes log(sigma + 1e-5).
    """
    n, q = scores.shape
    # by numbers, not by a mask: how many a mask picks, a GPU would have to say first
    others = softplus(scores).scatter(1, label[:, None], 0.0).sum() / max(1, n * (q - 1))
    own, background = objectives.nce(scores.gather(1, label[:, None]), None), objectives.nce(None, neg_scores)
    return own + others * (1 - 1 / q) + weight_background * background


def softmax_cross_entropy(
    scores: Float[Tensor, "n q"], label: Int[Tensor, "n"], *, label_smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Return the mean of - log softmax(e(x) T) at the label.

    ``label_smoothing`` spreads that share of the target over all classes.
    """
    return cross_entropy(scores, label, label_smoothing=label_smoothing)


def focal(scores: Float[Tensor, "n q"], label: Int[Tensor, "n"], *, gamma: float = 2.0) -> Float[Tensor, ""]:
    """Return the focal loss (Lin et al. 2017, Eq. 4): the mean of - (1 - p)^gamma log p, p the softmax at the label.

    ``gamma`` 0 is the cross-entropy; above it, places that are classified well count less.
    """
    log_p = scores.log_softmax(1).gather(1, label[:, None])[:, 0]
    return -(-torch.expm1(log_p)).clamp_min(1e-12).pow(gamma).mul(log_p).mean()
