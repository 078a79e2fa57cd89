"""Contrastive Spatial Pre-Training: which pairs feed which objective, with which weight and temperature.

| term | pairs                                | mc (Eq. 4)                  | nce (Eq. 3)                  |
|------|--------------------------------------|-----------------------------|------------------------------|
| B    | in-batch: location i, image j        | mc(P^X, N^B, tau_batch)     | nce(P^X, N^B)                |
| L    | image i, random locations            | mc(P^X, N^L, tau_locations) | nce(none, N^L)               |
| D    | location i, second dropout pass of j | mc(P^D, N^D, tau_dropout)   | nce(P^D, N^D)                |

In NCE, L has no positives because B has counted them; in MC each softmax needs its own.
Each function returns the named parts and their weighted sum `total`; only what ``terms`` names is computed.
"""

import torch
from torch.nn.functional import cross_entropy

from cspops.kernels import product
from cspops.losses import objectives
from cspops.losses.among_the_batch import mc_among_the_batch
from cspops.losses.finetuning import presence_absence_in_blocks
from cspops.losses.objectives import WHOLE, Share, unit
from cspops.shapes import Float, Tensor


def mc_in_batch(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "n d"],
    *,
    temperature: float | Tensor,
    symmetric: bool = False,
    share: Share = WHOLE,
) -> Float[Tensor, ""]:
    """Return Eq. 2 of unit vectors, where row i of ``b`` is the positive of row i of ``a`` and all its other rows negatives:

    mean over i of - log [e^(a_i b_i / temperature) / sum over j of e^(a_i b_j / temperature)],

    which is the cross-entropy of row i's own column i. With ``symmetric``, the mean of that and of the same with ``a``
    and ``b`` exchanged, from one matrix. Where the rows are a ``share``, i runs over them and j over the batch.
    """
    if not symmetric:
        return mc_among_the_batch(a / temperature, share.whole(b), first=share.first)
    scores = product(a / temperature, share.whole(b).T)
    own = torch.arange(share.first, share.first + len(a), device=a.device)
    loss = cross_entropy(scores, own)
    exchanged = scores.T if share.is_all else product(b / temperature, share.whole(a).T)
    return (loss + cross_entropy(exchanged, own)) / 2


def nce_in_batch(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], *, share: Share = WHOLE) -> Float[Tensor, ""]:
    """Return Eq. 1 of the same pairs: - mean over i of log sigma(a_i b_i) - mean over i != j of log(1 - sigma(a_i b_j)).

    It is Eq. 5 with beta = 1 and row i of class i, without random locations.
    """
    own = torch.arange(share.first, share.first + len(a), device=a.device)
    return presence_absence_in_blocks(a, a[:0], share.whole(b), own, beta=1.0)


def negative_locations(
    loc_emb: Float[Tensor, "n d"], neg_loc_emb: Float[Tensor, "n c d"], image_emb: Float[Tensor, "n d"]
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n c"]]:
    """Return scores of unit vectors: each image with its own location (P^X), and with each of its c random locations (N^L)."""
    return (loc_emb * image_emb).sum(-1), (neg_loc_emb * image_emb[:, None]).sum(-1)


Parts = dict[str, Tensor]
TERMS = ("B", "BL", "BD", "BLD")


def mc_loss(
    loc_emb: Float[Tensor, "n d"],
    image_emb: Float[Tensor, "n d"],
    *,
    neg_loc_emb: Float[Tensor, "n c d"] | None = None,
    loc_emb_2: Float[Tensor, "n d"] | None = None,
    terms: str = "BLD",
    symmetric: bool = False,
    tau_batch: float | Tensor = 1.0,
    tau_locations: float | Tensor = 1.0,
    tau_dropout: float | Tensor = 1.0,
    weight_locations: float = 1.0,
    weight_dropout: float = 1.0,
    share: Share = WHOLE,
) -> Parts:
    """Return Eq. 4: mc(B) + weight_locations mc(L) + weight_dropout mc(D). alpha_1, alpha_2 and tau_0..2 of the paper.

    Args:
        loc_emb: e(x).
        image_emb: f(I).
        neg_loc_emb: e(x-), needed by L.
        loc_emb_2: e'(x), the second dropout pass, needed by D.
        terms: `B`, `BL`, `BD` or `BLD`.
        symmetric: whether B is the mean of both directions, each location among the images (Eq. 4) and each image
            among the locations, as CLIP has it.
        share: where the rows are those of one of several processes. Their losses, weighted by their rows, add up to that
            of the batch.

    Raises:
        ValueError: for other ``terms``, or an embedding that one of them needs and that is not given.

    Note: the released symmetric variant adds both directions: its B is twice this one.
    """
    _check(terms)
    loc, image = unit(loc_emb), unit(image_emb)
    parts = {"B": mc_in_batch(loc, image, temperature=tau_batch, symmetric=symmetric, share=share)}
    total = parts["B"]
    if "L" in terms:
        pos, neg = negative_locations(loc, unit(_given(neg_loc_emb, "L")), image)
        parts["L"] = objectives.mc(pos, neg, temperature=tau_locations)
        total = total + weight_locations * parts["L"]
    if "D" in terms:
        parts["D"] = mc_in_batch(loc, unit(_given(loc_emb_2, "D")), temperature=tau_dropout, share=share)
        total = total + weight_dropout * parts["D"]
    return parts | {"total": total}


def nce_loss(
    loc_emb: Float[Tensor, "n d"],
    image_emb: Float[Tensor, "n d"],
    *,
    neg_loc_emb: Float[Tensor, "n c d"] | None = None,
    loc_emb_2: Float[Tensor, "n d"] | None = None,
    terms: str = "BLD",
    weight_locations: float = 1.0,
    weight_dropout: float = 1.0,
    share: Share = WHOLE,
) -> Parts:
    """Return Eq. 3: nce(B) + weight_locations nce(L) + weight_dropout nce(D). beta_1 and beta_2 of the paper.

    NCE looks at each pair alone, so B has no direction. Raises ValueError as `mc_loss`.
    """
    _check(terms)
    loc, image = unit(loc_emb), unit(image_emb)
    parts = {"B": nce_in_batch(loc, image, share=share)}
    total = parts["B"]
    if "L" in terms:
        _, neg = negative_locations(loc, unit(_given(neg_loc_emb, "L")), image)
        parts["L"] = objectives.nce(None, neg)
        total = total + weight_locations * parts["L"]
    if "D" in terms:
        parts["D"] = nce_in_batch(loc, unit(_given(loc_emb_2, "D")), share=share)
        total = total + weight_dropout * parts["D"]
    return parts | {"total": total}


def _check(terms: str) -> None:
    if terms not in TERMS:
        raise ValueError(f"terms {terms!r} is not one of {', '.join(TERMS)}")


def _given(embedding: Tensor | None, term: str) -> Tensor:
    if embedding is None:
        raise ValueError(f"term {term} needs {'neg_loc_emb' if term == 'L' else 'loc_emb_2'}")
    return embedding
