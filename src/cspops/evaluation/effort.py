"""Does a location model tell where a class lives, or where people looked?

Opportunistic observations are dense where people are. A model that has learned their density predicts a class, or many
classes, wherever there was much effort. So predicted presence is correlated, over cells of the map, with the effort there.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import rankdata

from cspops.geo import blocks
from cspops.shapes import Float, Int, Tensor

CELL_DEGREES = 5.0
LEAST_CELLS = 10
"""With fewer cells no correlation is computed."""
TOGETHER = 128
"""Classes that are ranked at once."""


def effort_correlation(
    places: Float[Tensor, "n 2"],
    training: Float[Tensor, "m 2"],
    log_p: Callable[[Int[Tensor, "c"]], Float[Tensor, "c q"]],
    *,
    lived: Int[Tensor, "l"],
) -> dict[str, float | int] | None:
    """Return Spearman's correlations of predicted presence with effort, over cells of ``CELL_DEGREES``.

    A cell's effort is its number of training observations, labelled or not, per area (divided by the cosine of its middle
    latitude); it may be 0. Its predicted presence of a class is P(y|x) at its first test place.

    Args:
        places: of the test rows, in degrees; nan without a position. Their cells are those that count.
        training: positions of all training observations.
        log_p: from numbers of ``places`` to log P(y|x).
        lived: the classes that have a label.

    Returns:
        `cells`; `mean` and `mean_abs`, over classes, of the correlation of P(y|x); `classes_expected`, that of
        exp(entropy of P(y|x)), how many classes are as good as expected; `by_chance`, the mean absolute correlation of
        unrelated numbers. None with fewer than ``LEAST_CELLS`` cells, and where effort is the same in all of them.
    """
    located = (~places.isnan().any(1)).nonzero()[:, 0]
    cell = blocks(places[located], CELL_DEGREES).numpy()
    cells, first = np.unique(cell, return_index=True)
    columns = math.ceil(360 / CELL_DEGREES)
    count = np.bincount(blocks(training, CELL_DEGREES).numpy(), minlength=columns * math.ceil(180 / CELL_DEGREES))[cells]
    middle = -90 + CELL_DEGREES * (cells // columns + 0.5)
    effort = count / np.cos(np.radians(middle))
    if len(cells) < LEAST_CELLS or (effort == effort[0]).all():
        return None
    every = log_p(located[torch.from_numpy(first)]).double()
    expected = torch.special.entr(every.exp()).sum(1).exp().numpy()
    rho = spearman(every[:, lived].numpy(), effort)
    rho = rho[~np.isnan(rho)]
    numbers = {
        "mean": float(rho.mean()) if len(rho) else math.nan,
        "mean_abs": float(np.abs(rho).mean()) if len(rho) else math.nan,
        "classes_expected": float(spearman(expected[:, None], effort)[0]),
        "by_chance": math.sqrt(2 / math.pi / (len(cells) - 1)),
    }
    return {"cells": len(cells), "cell_degrees": CELL_DEGREES} | {
        name: round(value, 4) for name, value in numbers.items() if not math.isnan(value)
    }


def spearman(columns: Float[np.ndarray, "n q"], other: Float[np.ndarray, "n"]) -> Float[np.ndarray, "q"]:
    """Return the rank correlation of each column with ``other``, ties at their mean rank; nan where one is constant."""
    n, out = len(columns), np.empty(columns.shape[1])
    ranks = np.arange(1, n + 1) - (n + 1) / 2
    b = rankdata(other) - (n + 1) / 2
    for first in range(0, len(out), TOGETHER):
        here = slice(first, first + TOGETHER)
        rows = np.ascontiguousarray(columns[:, here].T)
        order = rows.argsort(axis=1)
        in_order = np.take_along_axis(rows, order, 1)
        tied = (in_order[:, 1:] == in_order[:, :-1]).any(1)  # rare, and `rankdata` takes several times as long
        a = rankdata(rows[tied], axis=1) - (n + 1) / 2
        with np.errstate(invalid="ignore"):
            out[here] = b[order] @ ranks / np.sqrt((ranks @ ranks) * (b @ b))
            out[here][tied] = a @ b / np.sqrt((a * a).sum(1) * (b @ b))
    return out
