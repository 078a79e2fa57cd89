"""Scores of predictions, each row of which was tested once, with intervals by resampled blocks of the map.

| name     | of             | formula                                                                         |
|----------|----------------|---------------------------------------------------------------------------------|
| r2       | regression     | 1 - sum (y - p)^2 / sum (y - mean y)^2, over all rows of all folds together     |
| rmse     | regression     | sqrt(mean (y - p)^2)                                                            |
| mae      | regression     | mean |y - p|                                                                    |
| top1     | classification | per cent of the rows whose class is predicted                                   |
| macro_f1 | classification | 100 times the mean over classes of 2 tp / (predicted + true)                    |

Neighbouring rows are alike, so that rows are not resampled one by one: whole blocks are, with replacement. The interval is that
of the middle 95 % of the resamples. R2 is not cut off below. The resamples are the same for all predictions of a target: they
are paired, and the difference of two has an interval of its own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cspops.seeds import numpy_stream
from cspops.shapes import Float, Int

DRAWS = 1000
LEAST_BLOCKS = 8
"""Fewer blocks than that have no interval: their resamples are too few and too different."""
REGRESSION = ("r2", "rmse", "mae")
CLASSIFICATION = ("top1", "macro_f1")
Totals = Float[np.ndarray, "draws sums"]


@dataclass(frozen=True)
class Score:
    """A score of all rows and its 95 % interval, nan where there are too few blocks."""

    value: float
    low: float
    high: float
    draws: Float[np.ndarray, "draws"] = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)
    """Of each resample; empty where there are too few blocks."""

    def minus(self, other: "Score") -> "Score":
        """Return the difference from the score of other predictions of the same rows, whose resamples are the same."""
        return _of(self.value - other.value, self.draws - other.draws)


def _of(value: float, draws: Float[np.ndarray, "draws"]) -> Score:
    low, high = np.nanquantile(draws, (0.025, 0.975)) if len(draws) else (math.nan, math.nan)
    return Score(float(value), float(low), float(high), draws)


def regression_scores(
    truth: Float[np.ndarray, "n"], predicted: Float[np.ndarray, "n"], block: Int[np.ndarray, "n"], *, seed: int
) -> dict[str, Score]:
    """Return `REGRESSION` of predictions; ``block`` is the number of the block that each row lies in, from 0."""
    centred, error = truth - truth.mean(), truth - predicted  # centred: squares of large numbers would lose their digits
    rows = np.stack((np.ones_like(truth), centred, centred**2, error**2, np.abs(error)), 1)

    def scores(sums: Totals) -> Float[np.ndarray, "draws 3"]:
        n, y, y2, e2, e1 = sums.T
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.stack((1 - e2 / (y2 - y**2 / n), np.sqrt(e2 / n), e1 / n), 1)

    return _with_intervals(REGRESSION, _by_block(rows, block), scores, seed)


def classification_scores(
    truth: Int[np.ndarray, "n"], predicted: Int[np.ndarray, "n"], block: Int[np.ndarray, "n"], *, classes: int, seed: int
) -> dict[str, Score]:
    """Return `CLASSIFICATION` of predicted classes; ``block`` as in `regression_scores`. Classes without a row do not count."""
    blocks = int(block.max()) + 1
    hit = truth == predicted
    tables = [
        np.bincount(block[rows] * classes + label[rows], minlength=blocks * classes).reshape(blocks, classes)
        for rows, label in ((hit, truth), (slice(None), predicted), (slice(None), truth))
    ]

    def scores(sums: Totals) -> Float[np.ndarray, "draws 2"]:
        right, guessed, true = sums.reshape(len(sums), 3, classes).transpose(1, 0, 2)
        f1 = 2 * right / np.maximum(guessed + true, 1)
        return 100 * np.stack((right.sum(1) / true.sum(1), (f1 * (true > 0)).sum(1) / (true > 0).sum(1)), 1)

    return _with_intervals(CLASSIFICATION, np.concatenate(tables, 1).astype(np.float64), scores, seed)


def _by_block(rows: Float[np.ndarray, "n sums"], block: Int[np.ndarray, "n"]) -> Float[np.ndarray, "blocks sums"]:
    return np.stack([np.bincount(block, weights=column) for column in rows.T], 1)


def _with_intervals(
    names: tuple[str, ...], sums: Float[np.ndarray, "blocks sums"], scores: Callable[[Totals], np.ndarray], seed: int
) -> dict[str, Score]:
    value = scores(sums.sum(0, keepdims=True))[0]
    if len(sums) < LEAST_BLOCKS:
        return {name: _of(one, np.zeros(0)) for name, one in zip(names, value, strict=True)}
    times = numpy_stream(seed, "probe", "bootstrap").multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=DRAWS)
    return {name: _of(one, draws) for name, one, draws in zip(names, value, scores(times @ sums).T, strict=True)}
