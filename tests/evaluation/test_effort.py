"""Presence against effort where the answer is known, and the rank correlation against scipy."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from cspops.evaluation.effort import LEAST_CELLS, effort_correlation, spearman

CELLS = 12
PLACES = torch.tensor([[5.0 * cell + 1, 2.0] for cell in range(CELLS)]).double()
TRAINING = torch.cat([PLACES[cell : cell + 1].expand(cell * cell, 2) for cell in range(CELLS)])
"""In the cell of place i there are i^2 training observations: none in the first."""


def log_p(first: torch.Tensor) -> torch.Tensor:
    """Of two classes with a label, and a third without: the first takes what is left of the second."""
    return torch.stack((first, 1 - first, torch.zeros_like(first)), 1).log().double()


def test_spearman_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    columns, other = rng.integers(0, 6, (40, 5)).astype(float), rng.integers(0, 5, 40).astype(float)
    want = [spearmanr(columns[:, one], other).statistic for one in range(5)]
    assert spearman(columns, other) == pytest.approx(want)
    assert math.isnan(spearman(np.ones((4, 1)), np.arange(4.0))[0])


def test_presence_that_rises_with_effort_is_found() -> None:
    """P of one class rises with effort, that of the other falls; P from 0.5 on: ever fewer classes are expected."""
    p = torch.linspace(0.5, 0.99, CELLS)
    got = effort_correlation(PLACES, TRAINING, lambda rows: log_p(p[rows]), lived=torch.tensor([0, 1]))
    assert got == {
        "cells": CELLS, "cell_degrees": 5.0, "mean": 0.0, "mean_abs": 1.0, "classes_expected": -1.0,
        "by_chance": pytest.approx(math.sqrt(2 / math.pi / 11), abs=1e-4),
    }  # fmt: skip


def test_a_cell_counts_once_with_its_first_place_and_effort_is_per_area() -> None:
    """Twice the cells at 62.5 N with as many observations each: of half the area, they are of twice the effort."""
    north = PLACES + torch.tensor([0.0, 60.0]).double()
    again = torch.cat((PLACES, north, PLACES, torch.full((1, 2), torch.nan).double()))
    training = torch.cat((PLACES, north))
    p = torch.cat((torch.full((CELLS,), 0.2), torch.full((CELLS,), 0.6), torch.rand(CELLS + 1)))
    got = effort_correlation(again, training, lambda rows: log_p(p[rows]), lived=torch.tensor([0, 2]))
    assert got is not None and (got["cells"], got["mean"]) == (2 * CELLS, 1.0)  # the constant class does not count


@pytest.mark.parametrize("training", [TRAINING[:0], PLACES])
def test_without_differences_of_effort_there_is_no_correlation(training: torch.Tensor) -> None:
    p = torch.linspace(0.5, 0.9, CELLS)
    assert effort_correlation(PLACES, training, lambda rows: log_p(p[rows]), lived=torch.tensor([0])) is None


def test_few_cells_have_no_correlation() -> None:
    few = PLACES[: LEAST_CELLS - 1]
    p = torch.linspace(0.5, 0.9, CELLS)
    assert effort_correlation(few, TRAINING, lambda rows: log_p(p[rows]), lived=torch.tensor([0])) is None
