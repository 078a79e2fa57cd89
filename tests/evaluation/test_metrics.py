"""Metrics against a brute-force ranking, with ties, absent classes and broken rows."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.evaluation.metrics import METRICS, blank, expected_calibration_error, judge, ranks, score


def scored(log_p: torch.Tensor, label: torch.Tensor) -> dict[str, float]:
    return score(judge(log_p, label), label, classes=log_p.shape[1])


def test_all_equal_is_the_middle_rank():
    """A constant answer has the mean rank of a random one, (q + 1) / 2, and hits nothing at the top."""
    log_p = torch.zeros(3, 7)
    assert ranks(log_p, torch.tensor([0, 3, 6])).tolist() == [4.0, 4.0, 4.0]
    assert scored(log_p, torch.tensor([0, 3, 6]))["top1"] == 0


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
    expected = {f"top{k}": 100 * sum(p <= k for p in place) / n for k in (1, 3, 5, 10)}
    expected["mrr"] = 100 * sum(1 / p for p in place) / n
    expected["balanced_top1"] = 100 * sum(sum(hits) / len(hits) for hits in by_class.values()) / len(by_class)
    got = scored(torch.tensor([row for row, _ in table]).double(), torch.tensor([label for _, label in table]))
    assert {name: got[name] for name in expected} == pytest.approx(expected)


def test_perfect_answers_score_a_hundred_everywhere():
    """Class y of row y has P 1 - 5e-9: ranks are perfect, NLL is that of it, and so is the confidence short of 100 %."""
    log_p = torch.full((6, 6), 1e-9, dtype=torch.float64).fill_diagonal_(1 - 5e-9).log()
    got = scored(log_p, torch.arange(6))
    assert list(got) == list(METRICS)
    assert [got[name] for name in METRICS[:-2]] == [100.0] * 6
    assert got["nll"] == pytest.approx(5e-9, rel=1e-6)
    assert got["ece"] == pytest.approx(5e-7, rel=1e-6)


def test_nll_of_a_uniform_answer_is_log_q_and_its_error_is_what_accuracy_misses():
    """P = 1/4 for each class: NLL log 4; the confidence is 1/4 in one bin, and ties hit nothing: the error is 25 %."""
    got = scored(torch.full((8, 4), 0.25, dtype=torch.float64).log(), torch.arange(8) % 4)
    assert got["nll"] == pytest.approx(math.log(4))
    assert got["ece"] == pytest.approx(25)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40), st.sampled_from([1, 3, 15]))
@settings(max_examples=60, deadline=None)
def test_calibration_error_is_the_brute_force(rows, bins):
    """A row at a time into bins ((b-1)/bins, b/bins], 0 into the first; then the weighted mean of the bins' gaps."""
    members = {}
    for confidence, hit in rows:
        number = next(b for b in range(1, bins + 1) if confidence * bins <= b)
        members.setdefault(number, []).append((confidence, hit))
    expected = 0.0
    for inside in members.values():
        accuracy = sum(hit for _, hit in inside) / len(inside)
        confidence = sum(one for one, _ in inside) / len(inside)
        expected += len(inside) / len(rows) * abs(accuracy - confidence)
    confidence = torch.tensor([one for one, _ in rows], dtype=torch.float64)
    got = expected_calibration_error(confidence, torch.tensor([hit for _, hit in rows]), bins=bins)
    assert got.item() == pytest.approx(100 * expected, abs=1e-9)


def test_hits_are_those_that_top1_counts():
    log_p = torch.tensor([[3.0, 1.0], [1.0, 3.0], [2.0, 2.0]])
    assert judge(log_p, torch.zeros(3, dtype=torch.long)).hits.tolist() == [True, False, False]


def test_logits_at_the_ends_have_a_finite_nll():
    """log softmax of (0, -1e4) is (0, -1e4): a wrong answer costs 1e4 nats, not infinity."""
    got = scored(torch.tensor([[0.0, -1e4]]).double().log_softmax(1), torch.tensor([1]))
    assert got["nll"] == pytest.approx(1e4)
    assert all(map(math.isfinite, got.values()))


def test_an_empty_set_is_nan():
    assert all(math.isnan(value) for value in scored(torch.empty(0, 3), torch.empty(0, dtype=torch.long)).values())


def test_the_order_of_rows_and_a_shift_of_a_row_do_not_matter():
    g = torch.Generator().manual_seed(0)
    log_p, label = torch.randn(20, 4, generator=g).double(), torch.randint(4, (20,), generator=g)
    shifted, got = scored(log_p.flip(0) + torch.arange(20.0).flip(0)[:, None], label.flip(0)), scored(log_p, label)
    for name in METRICS[:-2]:  # nll and ece speak of P itself, not of its order
        assert shifted[name] == pytest.approx(got[name])


def test_a_row_of_nan_is_no_hit():
    """nan compares false with everything: counted naively it would be better than the first place."""
    log_p = torch.full((1, 4), torch.nan)
    assert ranks(log_p, torch.tensor([2])).item() >= 1
    assert scored(log_p, torch.tensor([2]))["top1"] == 0


def test_judgements_of_parts_are_those_of_the_whole_and_of_some_rows_those_rows():
    g = torch.Generator().manual_seed(3)
    log_p, label = torch.randn(11, 4, generator=g).double().log_softmax(1), torch.randint(4, (11,), generator=g)
    whole, parts = judge(log_p, label), blank(11)
    for some in torch.arange(11).split(5):
        parts.put(some, judge(log_p[some], label[some]))
    rows = torch.arange(11) % 3 == 0
    for one, other, numbers in zip(whole, parts, whole.of(rows), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one[rows], numbers)
