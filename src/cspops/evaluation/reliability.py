"""Whether a model is as often right as it says: accuracy against confidence, in bins."""

from typing import NamedTuple

import numpy as np

from cspops.evaluation.metrics import BINS
from cspops.shapes import Bool, Float


class Bin(NamedTuple):
    """Rows of about the same confidence."""

    confidence: float
    """Mean P of the top class."""
    accuracy: float
    """Share of the rows whose top class is the true one."""
    rows: int


def reliability(confidence: Float[np.ndarray, "n"], hit: Bool[np.ndarray, "n"], *, least: int, bins: int = BINS) -> list[Bin]:
    """The bins of the expected calibration error that hold ``least`` rows or more, by rising confidence."""
    bin_of = (np.ceil(confidence * bins).astype(int) - 1).clip(0, bins - 1)
    rows = np.bincount(bin_of, minlength=bins)
    sure = np.bincount(bin_of, confidence, minlength=bins)
    right = np.bincount(bin_of, hit.astype(float), minlength=bins)
    return [
        Bin(float(sure[one] / rows[one]), float(right[one] / rows[one]), int(rows[one]))
        for one in range(bins)
        if rows[one] >= max(least, 1)
    ]
