"""Metrics against a brute-force ranking, with ties, absent classes and broken rows."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.evaluation.metrics import ranks, score


def test_ranks_count_ties_half():
    """Scores 3 1 2 2: the best has rank 1; the two 2s share places 2 and 3, 1 + 1 + 1/2 each; the last is 4."""
    log_p = torch.tensor([[3.0, 1.0, 2.0, 2.0]]).expand(4, 4)
    assert ranks(log_p, torch.arange(4)).tolist() == [1, 4, 2.5, 2.5]


def test_all_equal_is_the_middle_rank():
    """A constant answer has the mean rank of a random one, (q + 1) / 2, and hits nothing at the top."""
    log_p = torch.zeros(3, 7)
    assert ranks(log_p, torch.tensor([0, 3, 6])).tolist() == [4.0, 4.0, 4.0]
    assert score(log_p, torch.tensor([0, 3, 6]))["top1"] == 0


@given(st.lists(st.tuples(st.lists(st.integers(0, 3), min_size=6, max_size=6), st.integers(0, 5)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_score_is_the_brute_force(table):
    """Small integers as scores, so that ties are common: a class's place is the mean of the places it shares."""
    place, by_class = [], {}
    for row, label in table:
        better = sum(value > row[label] for value in row)
        shared = sum(value == row[label] for value in row)
        place.append(sum(range(better + 1, better + shared + 1)) / shared)
        by_class.setdefault(label, []).append(place[-1] == 1)
    n = len(table)
    expected = {f"top{k}": 100 * sum(p <= k for p in place) / n for k in (1, 3, 5)}
    expected["mrr"] = 100 * sum(1 / p for p in place) / n
    expected["balanced_top1"] = 100 * sum(sum(hits) / len(hits) for hits in by_class.values()) / len(by_class)
    got = score(torch.tensor([row for row, _ in table]).double(), torch.tensor([label for _, label in table]))
    assert got == pytest.approx(expected)


def test_balanced_top1_weighs_classes_not_rows():
    """Nine rows of class 0 are right, one of class 1 is wrong: top1 is 90, balanced (100 + 0) / 2; class 2 is absent."""
    log_p = torch.tensor([[0.0, -1.0, -2.0]]).expand(10, 3)
    got = score(log_p, torch.tensor([0] * 9 + [1]))
    assert got["top1"] == pytest.approx(90)
    assert got["balanced_top1"] == pytest.approx(50)


def test_perfect_answers_score_a_hundred_everywhere():
    assert score(torch.eye(6), torch.arange(6)) == dict.fromkeys(("top1", "top3", "top5", "mrr", "balanced_top1"), 100.0)


def test_mrr_of_the_second_place_is_a_half():
    assert score(torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([1]))["mrr"] == 50


def test_fewer_classes_than_k_always_hit():
    assert score(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))["top3"] == 100


def test_an_empty_set_is_nan():
    assert all(math.isnan(value) for value in score(torch.empty(0, 3), torch.empty(0, dtype=torch.long)).values())


def test_the_order_of_rows_and_a_shift_of_a_row_do_not_matter():
    g = torch.Generator().manual_seed(0)
    log_p, label = torch.randn(20, 4, generator=g).double(), torch.randint(4, (20,), generator=g)
    assert score(log_p.flip(0) + torch.arange(20.0).flip(0)[:, None], label.flip(0)) == pytest.approx(score(log_p, label))


def test_a_row_of_nan_is_no_hit():
    """nan compares false with everything: counted naively it would be better than the first place."""
    log_p = torch.full((1, 4), torch.nan)
    assert ranks(log_p, torch.tensor([2])).item() >= 1
    assert score(log_p, torch.tensor([2]))["top1"] == 0
