"""How often a model is right when it is so and so sure, and how much of its calibration error is chance."""

from collections.abc import Sequence
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


LEAST_GUESSES = 50
"""Times per seed that a class must have been the first guess to be shown."""
COMMONEST, WORST = 5, 5
"""Most classes that are shown: those guessed most often, and of the rest those farthest from their confidence."""


class ClassReliability(NamedTuple):
    """The rows whose first guess is one class."""

    number: int
    rows: float
    """Per seed."""
    confidence: float
    """Mean P of the guess."""
    accuracy: float
    error: float
    """Of calibration, per cent."""
    chance: float
    """What `chance_error` expects of it over the rows of the first seed."""


def by_class(judged: JudgedRows, model: str, classes: int, *, least: int = LEAST_GUESSES) -> list[ClassReliability]:
    """Return the reliability of the classes as guesses of a model: the commonest first, then those farthest off.

    When a model says a class and is 70 % sure, 70 of 100 such rows should be of the class; a model may be calibrated in the
    whole and overconfident of some classes. Classes with fewer than ``least`` guesses per seed are left out.
    """
    guess, sure, hit = judged.guess[model], judged.confidence[model], judged.hit(model)
    first = np.zeros(len(guess), bool)
    first[judged.first_seed] = True
    count = np.bincount(guess, minlength=classes)
    ranked = [int(one) for one in np.argsort(-count, kind="stable") if count[one] >= least * judged.seeds]
    found = []
    for number in ranked:
        rows = guess == number
        bins = reliability(sure[rows], hit[rows], least=1)
        gaps = sum(one.rows * abs(one.accuracy - one.confidence) for one in bins)
        chance = chance_error(sure[rows & first]) if (rows & first).any() else float("nan")
        numbers = float(sure[rows].mean()), float(hit[rows].mean()), float(100 * gaps / rows.sum()), chance
        found.append(ClassReliability(number, float(rows.sum() / judged.seeds), *numbers))
    rest = sorted(found[COMMONEST:], key=lambda one: -abs(one.confidence - one.accuracy))
    return found[:COMMONEST] + rest[:WORST]


def class_rows(judged: JudgedRows, model: str, names: Sequence[str]) -> list[list[str]]:
    """Return a header and one row per class of `by_class`."""
    body = [
        [
            names[one.number], f"{one.rows:,.0f}", f"{100 * one.confidence:.1f}", f"{100 * one.accuracy:.1f}",
            f"{100 * (one.confidence - one.accuracy):+.1f}", f"{one.error:.1f}",
            "-" if np.isnan(one.chance) else f"{one.chance:.1f}",
        ]
        for one in by_class(judged, model, len(names))
    ]  # fmt: skip
    return [["guess", "rows per seed", "mean P, %", "right, %", "too sure by", "ece", "ece by chance"], *body]


CLASS_WORDS = (
    "Reliability by class: how sure the pool is of a class that is its first guess, and how often it is right then. The "
    f"{COMMONEST} commonest guesses, and, of the others with at least {LEAST_GUESSES} rows per seed, the {WORST} whose "
    "confidence is farthest off."
)


def chance_sentence(judged: JudgedRows, ratio: float) -> str:
    """Return a sentence on the calibration error that chance alone would give the pool at a share of the labels."""
    sure = judged.confidence["pool"][judged.first_seed]
    return (
        f"Over {len(sure):,} rows, a perfectly calibrated pool would have an error of about {chance_error(sure):.1f} % by "
        f"chance alone at {100 * ratio:g} % of the labels."
    )
