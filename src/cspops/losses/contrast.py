"""In-batch contrasts on the whole matrix of scores: what `pairs` and `objectives` say, without copies of the matrix.

All embeddings are unit vectors here (`pairs.unit`), so that each is normalised once, whatever it is compared with.
"""

import torch
from torch.nn.functional import cross_entropy

from cspops.kernels import product
from cspops.losses.presence_absence import presence_absence_in_blocks
from cspops.shapes import Float, Tensor


def mc_in_batch(
    a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], *, temperature: float | Tensor, symmetric: bool = False
) -> Float[Tensor, ""]:
    """``objectives.mc(*pairs.in_batch(a, b), temperature=temperature)``: the cross-entropy of row i's own column i.

    With ``symmetric``, the mean of that and of the same with ``a`` and ``b`` exchanged, from one matrix.
    """
    scores, own = product(a / temperature, b.T), torch.arange(len(a), device=a.device)
    loss = cross_entropy(scores, own)
    return (loss + cross_entropy(scores.T, own)) / 2 if symmetric else loss


def nce_in_batch(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """``objectives.nce(*pairs.in_batch(a, b))``: Eq. 5 with beta = 1, where row i's class is i, without random locations."""
    return presence_absence_in_blocks(a, a[:0], b, torch.arange(len(a), device=a.device), beta=1.0)


def negative_locations(
    loc_emb: Float[Tensor, "n d"], neg_loc_emb: Float[Tensor, "n c d"], image_emb: Float[Tensor, "n d"]
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n c"]]:
    """`pairs.negative_locations` of unit vectors."""
    return (loc_emb * image_emb).sum(-1), (neg_loc_emb * image_emb[:, None]).sum(-1)
