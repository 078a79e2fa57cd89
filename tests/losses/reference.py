"""The equations as the paper writes them: the oracles of the fast forms that training runs."""

import torch

from cspops.losses import objectives
from cspops.shapes import Float, Int, Tensor


def in_batch(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n"], Float[Tensor, "n n_minus_1"]]:
    """Row i of ``a`` with row i of ``b`` is a positive, with every other row of ``b`` a negative.

    It serves both B (location, image): P^X, N^B, and D (location, its second dropout pass): P^D, N^D.
    """
    n = len(a)
    scores = objectives.unit(a) @ objectives.unit(b).T
    off_diagonal = scores.flatten()[1:].view(n - 1, n + 1)[:, :-1].reshape(n, n - 1)
    return scores.diagonal(), off_diagonal


def negative_locations(
    loc_emb: Float[Tensor, "n d"], neg_loc_emb: Float[Tensor, "n c d"], image_emb: Float[Tensor, "n d"]
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n c"]]:
    """L: an image with its own location is a positive (P^X), with each of c random locations a negative (N^L)."""
    image = objectives.unit(image_emb)
    return (objectives.unit(loc_emb) * image).sum(-1), (objectives.unit(neg_loc_emb) * image[:, None]).sum(-1)


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
