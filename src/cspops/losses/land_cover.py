"""The two losses of GeoKR on plain tensors: land cover around an image, and agreement with a teacher."""

from typing import Literal

from torch.nn.functional import log_softmax, softmax

from cspops.shapes import Float, Tensor

Reduction = Literal["entries", "rows"]


def land_cover_loss(
    student: Float[Tensor, "n c"], teacher: Float[Tensor, "n c"], share: Float[Tensor, "n c"], *, reduction: Reduction
) -> dict[str, Tensor]:
    """mean(-p log softmax(s)) + mean(-softmax(s) log softmax(t)) (Li et al. 2021).

    The second part is the cross-entropy of the student under the teacher's log-probabilities: it rewards a student that is
    sure of itself, too. With equal scores each part is ln(c) / c under `entries`, ln(c) under `rows`.

    Args:
        student: scores s of each class.
        teacher: scores t.
        share: p, of each class in the land around the image.
        reduction: `entries` is the mean over all n c numbers, as released; `rows` is c times that, the mean of a
            cross-entropy a row.

    Returns:
        `land_cover` and `consistency`, the two addends, and `total`.
    """
    weight = share.shape[1] if reduction == "rows" else 1
    parts = {
        "land_cover": weight * (-share * log_softmax(student, 1)).mean(),
        "consistency": weight * (-softmax(student, 1) * log_softmax(teacher, 1)).mean(),
    }
    return parts | {"total": parts["land_cover"] + parts["consistency"]}
