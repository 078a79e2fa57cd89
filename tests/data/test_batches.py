import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from cspops.data.batches import Labelled, Unlabelled, epoch_of_rows
from cspops.seeds import torch_stream

prop = settings(deadline=None, derandomize=True, max_examples=100)


def epoch(n, batch_size, seed=0):
    return [rows.tolist() for rows in epoch_of_rows(n, batch_size, generator=torch_stream(seed, "rows"))]


def test_a_pre_training_set_has_no_room_for_a_label():
    assert [field.name for field in dataclasses.fields(Unlabelled)] == ["lonlat", "image_features", "when"]
    with pytest.raises(TypeError):
        Unlabelled(lonlat=torch.zeros(2, 2), image_features=torch.zeros(2, 3), label=torch.zeros(2).long())


def test_positions_of_another_set_than_the_labels_are_refused():
    with pytest.raises(Exception, match="label"):
        Labelled(lonlat=torch.zeros(2, 2), label=torch.zeros(3, dtype=torch.long), classes=1)


@prop
@given(st.integers(0, 200), st.integers(2, 50))
def test_an_epoch_visits_every_row_once_but_a_lonely_last_one(n, batch_size):
    batches = epoch(n, batch_size)
    visited = [row for rows in batches for row in rows]
    lonely = n > 1 and n % batch_size == 1
    assert len(visited) == len(set(visited)) == n - lonely
    assert set(visited) <= set(range(n))
    assert all(len(rows) == batch_size for rows in batches[:-1])
    assert all(2 <= len(rows) <= batch_size for rows in batches) or n == 1


def test_a_set_of_one_row_is_one_batch():
    assert epoch(1, 8) == [[0]]


def test_which_row_is_left_out_changes_with_the_stream():
    left_out = {(set(range(9)) - {row for rows in epoch(9, 4, seed) for row in rows}).pop() for seed in range(60)}
    assert len(left_out) > 5


def test_the_order_is_the_streams():
    assert epoch(100, 7) == epoch(100, 7)
    assert epoch(100, 7) != epoch(100, 7, seed=1)


def test_every_row_is_equally_likely_at_every_place():
    """720 epochs of 6 rows: each of the 36 (row, place) pairs is expected 120 times; the table has 25 degrees of freedom.

    A right shuffle passes the threshold but at one seed in 10^4; the seed is fixed.
    """
    generator = torch_stream(0, "uniform")
    counts = torch.zeros(6, 6)
    for _ in range(720):
        order = torch.cat(list(epoch_of_rows(6, 3, generator=generator)))
        counts[order, torch.arange(6)] += 1
    assert chi2.sf(float(((counts - 120) ** 2 / 120).sum()), 25) > 1e-4
