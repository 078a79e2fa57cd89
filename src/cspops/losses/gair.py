"""GAIR (Liu et al. 2025): an overhead image at a point, the photo taken there, and the place, aligned with one another.

With r the overhead image's feature at the point, o the photo's and l the place's, all of length 1, and a temperature T:

| term                | positive | negatives                           |
|---------------------|----------|-------------------------------------|
| overhead_to_photo   | r_i o_i  | r_i with the batch's other photos   |
| photo_to_overhead   | o_i r_i  | o_i with the batch's other overhead |
| photo_to_place      | o_i l_i  | o_i with the places of a queue      |
| overhead_to_place   | r_i l_i  | r_i with the places of a queue      |

Each is a cross-entropy of cosines over T, and the loss is half their sum. Nothing leads from a place to an image, and the
batch's own places are no negatives, as published. While all cosines of a row are alike, n rows and a queue of k places make
(2 ln n + 2 ln(1 + k)) / 2.
"""

from collections.abc import Sequence

import torch
from torch.nn.functional import cosine_similarity, normalize

from cspops.losses import objectives
from cspops.losses.csp import mc_in_batch
from cspops.losses.objectives import WHOLE, Share
from cspops.shapes import Bool, Float, Tensor

TERMS = ("overhead_to_photo", "photo_to_overhead", "photo_to_place", "overhead_to_place")
MASKED = -1e9
"""The cosine of what is no negative: its exponential is 0 over any temperature, whose gradient -inf would make nan."""
WITHOUT_PHOTO = ("overhead_to_place",)
"""The terms that rows without a photo can have."""


def among_places(
    image: Float[Tensor, "n d"],
    place: Float[Tensor, "n d"],
    queue: Float[Tensor, "k d"],
    *,
    temperature: float | Tensor,
    masked: Bool[Tensor, "n k"] | None = None,
) -> Float[Tensor, ""]:
    """Return the cross-entropy of each image's own place among it and the places of the queue.

    Args:
        image: of length 1, as the others.
        place: l_i of the same row.
        queue: negatives.
        masked: which of them are none for a row: those at the row's own coordinate.
    """
    negatives = image @ queue.T
    if masked is not None:
        negatives = negatives.masked_fill(masked, MASKED)
    return objectives.mc((image * place).sum(1), negatives, temperature=temperature)


def gair_loss(
    overhead: Float[Tensor, "n d"],
    photo: Float[Tensor, "n d"] | None,
    place: Float[Tensor, "n d"],
    queue: Float[Tensor, "k d"],
    *,
    temperature: float | Tensor = 0.07,
    masked: Bool[Tensor, "n k"] | None = None,
    terms: Sequence[str] = TERMS,
    share: Share = WHOLE,
) -> dict[str, Tensor]:
    """Return each term by its name, and `total`, half their sum.

    Args:
        overhead: features at the points, of any length, as those below.
        photo: None where there is none; ``terms`` is then at most `WITHOUT_PHOTO`.
        place: embeddings of the rows' own coordinates.
        queue: embeddings of earlier coordinates, with their gradient.
        masked: see `among_places`.
        terms: some of `TERMS`.
        share: where the rows are those of one of several processes.

    Raises:
        ValueError: shapes do not fit, a temperature given as a number is not above 0, or a term is none or needs photos.
    """
    _check(overhead, photo, place, queue, masked)
    if not isinstance(temperature, Tensor) and not temperature > 0:
        raise ValueError(f"temperature is {temperature}, not above 0")
    for term in terms:
        if term not in TERMS:
            raise ValueError(f"terms are some of {', '.join(TERMS)}, not {term}")
    r, l_own, l_queue = (normalize(x, dim=1) for x in (overhead, place, queue))
    o = None if photo is None else normalize(photo, dim=1)
    parts = {}
    for term in terms:
        if o is None:
            if term not in WITHOUT_PHOTO:
                raise ValueError(f"{term} needs photos")
            parts[term] = among_places(r, l_own, l_queue, temperature=temperature, masked=masked)
        elif term in ("overhead_to_photo", "photo_to_overhead"):
            one, other = (r, o) if term == "overhead_to_photo" else (o, r)
            parts[term] = mc_in_batch(one, other, temperature=temperature, share=share)
        else:
            image = o if term == "photo_to_place" else r
            parts[term] = among_places(image, l_own, l_queue, temperature=temperature, masked=masked)
    return parts | {"total": torch.stack(list(parts.values())).sum() / 2}


def _check(overhead: Tensor, photo: Tensor | None, place: Tensor, queue: Tensor, masked: Tensor | None) -> None:
    """Raise a ValueError unless all have the rows and the width of ``overhead``, or the rows of ``queue``."""
    n, d, k = len(overhead), overhead.shape[-1], len(queue)
    given = {"overhead": (overhead, (n, d)), "photo": (photo, (n, d)), "place": (place, (n, d))}
    for name, (tensor, shape) in (given | {"queue": (queue, (k, d)), "masked": (masked, (n, k))}).items():
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, not {shape}")


def distillation(student: Float[Tensor, "n d"], teacher: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Return minus the mean cosine of features and those of the frozen network that training started from."""
    return -cosine_similarity(student, teacher, dim=1).mean()
