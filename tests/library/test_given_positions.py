"""Positions as users give them, and answers in the kind of what was given."""

import numpy as np
import pytest
import torch

from cspops.errors import DataError
from cspops.library.positions import as_lonlat, like

ROWS = [[8.54, 47.37], [-70.0, -33.4]]


@pytest.mark.parametrize(
    "given",
    [ROWS, tuple(map(tuple, ROWS)), np.array(ROWS), torch.tensor(ROWS, dtype=torch.float64), np.array(ROWS)[::1], iter(ROWS)],
)
def test_every_kind_of_table_is_taken(given):
    assert as_lonlat(given).tolist() == ROWS


def test_one_position_is_a_table_of_one():
    assert as_lonlat((8.54, 47.37)).tolist() == [[8.54, 47.37]]
    assert as_lonlat([]).shape == as_lonlat(np.empty(0)).shape == (0, 2)
    assert as_lonlat(torch.tensor([8.5, 47.5])).tolist() == [[8.5, 47.5]]


def test_rounding_beyond_a_border_is_on_it():
    found = as_lonlat([[1.0, 90.00000000000001], [-180.00000000000003, -90.00000000000001], [360.00000000000006, 1.0]])
    assert found.tolist() == [[1.0, 90.0], [-180.0, -90.0], [0.0, 1.0]]


def test_longitudes_to_360_are_wrapped_and_nan_rows_stay():
    found = as_lonlat([[359.0, 1.0], [180.0, 2.0], [float("nan"), float("nan")]])
    assert found[:2].tolist() == [[-1.0, 1.0], [-180.0, 2.0]]
    assert found[2].isnan().all()


def test_the_callers_array_is_not_changed():
    given = np.array([[200.0, 1.0]])
    as_lonlat(given)
    assert given.tolist() == [[200.0, 1.0]]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([[47.37, 108.54]], r"position 0 is \(47.37, 108.54\): latitude comes first"),
        ([[8.5, 47.4], [10.0, 91.0], [120.0, 1.0]], r"position 1 is \(10, 91\): that is nowhere on Earth"),
        ([[361.0, 0.0]], r"position 0 is \(361, 0\): that is nowhere on Earth"),
        ([[float("inf"), 0.0]], "position 0"),
        ([[1.0, float("nan")]], "position 0 has one number and one nan"),
        ([[1.0, 2.0, 3.0]], r"shape \(1, 3\), not \(n, 2\)"),
        ([1.0], r"shape \(1,\)"),
        ("8.5, 47.4", "must be numbers"),
        ([["a", "b"]], "must be numbers"),
    ],
)
def test_what_cannot_be_a_position_is_refused(given, says):
    with pytest.raises(DataError, match=says):
        as_lonlat(given)


def test_answers_are_of_the_kind_that_was_given():
    assert isinstance(like(torch.ones(1), torch.ones(1)), torch.Tensor)
    assert isinstance(like(torch.ones(1), [1.0]), np.ndarray)
