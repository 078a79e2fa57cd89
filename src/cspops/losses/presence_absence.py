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


def presence_absence_released(
    scores: Float[Tensor, "n q"],
    label: Int[Tensor, "n"],
    neg_scores: Float[Tensor, "m q"],
    *,
    weight_background: float = 1.0,
) -> Float[Tensor, ""]:
    """The released weighting: mean over n q entries with pos_weight q, and a mean of its own for random locations.

    - mean_i log sigma(s_iy) - 1 / (n q) sum_{c != y} log(1 - sigma(s_ic)) - weight_background mean log(1 - sigma(s-)).
    With ``weight_background`` 1 and m = n it is (2 q - 1) / q times Eq. 5 with beta = q / (2 q - 1).

    Note: the released code takes log(sigma + 1e-5).
    """
    is_label = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, label[:, None], True)
    absent = objectives.nce(None, scores[~is_label]) * (1 - 1 / scores.shape[1]) if scores.shape[1] > 1 else 0.0
    return objectives.nce(scores[is_label], None) + absent + weight_background * objectives.nce(None, neg_scores)
