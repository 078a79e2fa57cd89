"""How often a model is right when it is so and so sure, and how much of its calibration error is chance."""

from typing import NamedTuple

import numpy as np

from cspops.evaluation.metrics import BINS
from cspops.report.mistakes import JudgedRows
from cspops.shapes import Bool, Float, Int


class Bin(NamedTuple):
    """Rows of about the same confidence."""

    confidence: float
    """Mean P of the top class."""
    accuracy: float
    """Share of the rows whose top class is the true one."""
    rows: int


def reliability(confidence: Float[np.ndarray, "n"], hit: Bool[np.ndarray, "n"], *, least: int, bins: int = BINS) -> list[Bin]:
    """Return the bins of the expected calibration error with at least ``least`` rows, by rising confidence."""
    bin_of = _bins(confidence, bins)
    rows = np.bincount(bin_of, minlength=bins)
    sure = np.bincount(bin_of, confidence, minlength=bins)
    right = np.bincount(bin_of, hit.astype(float), minlength=bins)
    return [
        Bin(float(sure[one] / rows[one]), float(right[one] / rows[one]), int(rows[one]))
        for one in range(bins)
        if rows[one] >= max(least, 1)
    ]


def _bins(confidence: Float[np.ndarray, "n"], bins: int) -> Int[np.ndarray, "n"]:
    """Return the bin of each row, 0 for ]0, 1/bins]: those of `metrics.expected_calibration_error`."""
    bin_of: np.ndarray = np.digitize(confidence, np.arange(1, bins) / bins, right=True)
    return bin_of


def chance_error(confidence: Float[np.ndarray, "n"], *, bins: int = BINS) -> float:
    """Return the calibration error, in per cent, that a perfectly calibrated model is expected to have by chance.

    The sum of hit - p over the rows of a bin then has mean 0 and variance sum p (1 - p), and the mean of the absolute value of
    a normal number is sqrt(2 / pi) times its standard deviation.
    """
    variance = np.bincount(_bins(confidence, bins), confidence * (1 - confidence))
    return float(100 * np.sqrt(2 / np.pi * variance).sum() / len(confidence))


def chance_sentence(judged: JudgedRows, ratio: float) -> str:
    """Return a sentence on the calibration error that chance alone would give the pool at a share of the labels."""
    sure = judged.confidence["pool"][judged.first_seed]
    return (
        f"Over {len(sure):,} rows, a perfectly calibrated pool would have an error of about {chance_error(sure):.1f} % by "
        f"chance alone at {100 * ratio:g} % of the labels."
    )
