"""The presence-absence loss of fine-tuning (Mac Aodha et al. 2019; the paper's Eq. 5)."""

import torch

from cspops.losses import objectives
from cspops.shapes import Float, Int, Tensor


def presence_absence(
    scores: Float[Tensor, "n q"], label: Int[Tensor, "n"], neg_scores: Float[Tensor, "m q"], *, beta: float
) -> Float[Tensor, ""]:
    """Eq. 5: beta nce(P^y, none) + nce(none, N^y and N^R).

    P^y: each labelled location with its class. N^y: with every other class. N^R: each random location with every
    class. The second term is one mean over the union of N^y and N^R, as the paper writes it.

    Args:
        scores: e(x) T of labelled locations.
        label: their classes.
        neg_scores: e(x-) T of random locations.
        beta: weight of the positives; the unweighted binary cross-entropy has 1 / (2 q - 1) when m = n.

    Note: the released code adds two means over n q entries each, with pos_weight = q on the positives. That is about
    twice Eq. 5 with beta = 1/2.
    """
    is_label = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, label[:, None], True)
    pos = scores[is_label]
    neg = torch.cat((scores[~is_label], neg_scores.flatten()))
    return beta * objectives.nce(pos, None) + objectives.nce(None, neg)
