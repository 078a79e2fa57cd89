"""Metrics against a brute-force ranking, with ties, absent classes and broken rows; mean and sd over seeds."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.errors import DataError
from cspops.evaluation import metrics
from cspops.evaluation.metrics import METRICS, MODELS, blank, expected_calibration_error, judge, ranks, score, summarise


def scored(log_p: torch.Tensor, label: torch.Tensor) -> dict[str, float]:
    return score(judge(log_p, label), label, classes=log_p.shape[1])


def test_ranks_count_ties_half():
    """Scores 3 1 2 2: the best has rank 1; the two 2s share places 2 and 3, 1 + 1 + 1/2 each; the last is 4."""
    log_p = torch.tensor([[3.0, 1.0, 2.0, 2.0]]).expand(4, 4)
    assert ranks(log_p, torch.arange(4)).tolist() == [1, 4, 2.5, 2.5]


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


def test_balanced_top1_weighs_classes_not_rows():
    """Nine rows of class 0 are right, one of class 1 is wrong: top1 is 90, balanced (100 + 0) / 2; class 2 is absent."""
    log_p = torch.tensor([[0.0, -1.0, -2.0]]).expand(10, 3)
    got = scored(log_p, torch.tensor([0] * 9 + [1]))
    assert got["top1"] == pytest.approx(90)
    assert got["balanced_top1"] == pytest.approx(50)


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


def test_calibration_error_of_an_honest_and_of_a_boastful_answer():
    """Confidence 0.75, three of four right: 0. Confidence 1, one of four right: 75 %."""
    hit = torch.tensor([True, True, True, False])
    assert expected_calibration_error(torch.full((4,), 0.75), hit).item() == 0
    assert expected_calibration_error(torch.ones(4), ~hit).item() == 75


def test_a_confidence_on_a_border_is_in_the_lower_bin():
    """Of 4 bins 0.5 and 0.4 share the second; one of the two is right: |1/2 - 0.45| = 5 %."""
    got = expected_calibration_error(torch.tensor([0.5, 0.4], dtype=torch.float64), torch.tensor([True, False]), bins=4)
    assert got.item() == pytest.approx(5)


def test_hits_are_those_that_top1_counts():
    log_p = torch.tensor([[3.0, 1.0], [1.0, 3.0], [2.0, 2.0]])
    assert judge(log_p, torch.zeros(3, dtype=torch.long)).hits.tolist() == [True, False, False]


def test_mrr_of_the_second_place_is_a_half():
    assert scored(torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([1]))["mrr"] == 50


def test_fewer_classes_than_k_always_hit():
    got = scored(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))
    assert (got["top1"], got["top3"], got["top5"], got["top10"]) == (0, 100, 100, 100)


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


@pytest.mark.parametrize(("q", "k"), [(3, 10), (12, 10), (1280, 10), (1343, 10), (8142, 10), (8142, 1)])
def test_best_classes_are_those_of_topk(q, k):
    log_p = torch.randn(7, q, generator=torch.Generator().manual_seed(0)).double().log_softmax(1)
    log_p[0, -1], log_p[1] = 1.0, torch.arange(q).flip(0)
    values, classes = metrics.best_classes(log_p, k)
    want = log_p.topk(min(k, q), dim=1)
    assert torch.equal(classes, want.indices)
    assert torch.equal(values, want.values)


def test_best_classes_of_equals_are_some_of_them():
    values, classes = metrics.best_classes(torch.zeros(2, 2000), 10)
    assert torch.equal(values, torch.zeros(2, 10))
    assert all(len(set(row)) == 10 for row in classes.tolist())


def test_ranks_with_ties_in_a_judgement_are_those_counted():
    log_p = torch.randint(5, (50, 30), generator=torch.Generator().manual_seed(0)).double()
    label = torch.arange(50) % 30
    assert torch.equal(judge(log_p, label).rank, ranks(log_p, label))


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


def test_each_class_that_occurs_counts_once_however_many_there_are():
    """Of 40 classes two occur, one always right and one always wrong: 50 %, whatever the other 38."""
    log_p = torch.zeros(6, 40).double()
    log_p[:, 3] = 1
    assert scored(log_p, torch.tensor([3, 3, 3, 3, 3, 7]))["balanced_top1"] == pytest.approx(50)


# --- over seeds


def runs(values: dict[int, float], role: str = "test", ratio: str = "r05") -> dict:
    """Each model has its own offset, so that models cannot be taken for one another."""
    return {
        (role, ratio, model, seed): {"top1": value + 10 * i, "mrr": 2 * value}
        for seed, value in values.items()
        for i, model in enumerate(MODELS)
    }


def test_mean_and_sample_standard_deviation():
    """1, 2, 6 have the mean 3 and the squares 4 + 1 + 9 = 14 over n - 1 = 2: sd sqrt 7."""
    got = summarise(runs({0: 1.0, 1: 2.0, 2: 6.0}), roles=["test"], ratios=["r05"], seeds=[0, 1, 2])
    assert got["test"]["r05"]["image"]["top1"] == {"mean": 3.0, "sd": round(math.sqrt(7), 4)}
    assert got["test"]["r05"]["combined"]["top1"] == {"mean": 23.0, "sd": round(math.sqrt(7), 4)}
    assert got["test"]["r05"]["location"]["mrr"] == {"mean": 6.0, "sd": round(2 * math.sqrt(7), 4)}


def test_one_seed_has_sd_zero():
    got = summarise(runs({7: 5.0}), roles=["test"], ratios=["r05"], seeds=[7])
    assert got["test"]["r05"]["image"]["top1"] == {"mean": 5.0, "sd": 0.0}


def test_only_the_seeds_asked_for_count():
    got = summarise(runs({0: 1.0, 1: 3.0, 2: 100.0}), roles=["test"], ratios=["r05"], seeds=[0, 1])
    assert got["test"]["r05"]["image"]["top1"]["mean"] == 2


def test_values_are_rounded_to_four_digits():
    got = summarise(runs({0: 0.0, 1: 0.0, 2: 1.0}), roles=["test"], ratios=["r05"], seeds=[0, 1, 2])
    assert got["test"]["r05"]["image"]["top1"] == {"mean": 0.3333, "sd": 0.5774}


def test_a_role_without_rows_is_left_out():
    scores = runs({0: 1.0}) | runs({0: math.nan}, role="spatial_test")
    got = summarise(scores, roles=["test", "spatial_test"], ratios=["r05"], seeds=[0])
    assert set(got) == {"test"}


def test_the_tree_keeps_the_order_asked_for():
    scores = runs({0: 1.0}) | runs({0: 2.0}, ratio="r20") | runs({0: 3.0}, role="val") | runs({0: 4.0}, role="val", ratio="r20")
    got = summarise(scores, roles=["val", "test"], ratios=["r20", "r05"], seeds=[0])
    assert list(got) == ["val", "test"]
    assert list(got["val"]) == ["r20", "r05"]
    assert list(got["val"]["r20"]) == list(MODELS)
    assert got["val"]["r20"]["image"]["top1"]["mean"] == 4


def test_a_run_that_is_missing_is_an_error():
    with pytest.raises(KeyError):
        summarise(runs({0: 1.0}), roles=["test"], ratios=["r05"], seeds=[0, 1])


def test_only_the_models_asked_for_are_there_and_each_has_its_own_metrics():
    scores = {("test", "r05", "kde", 0): {"nll": 1.5}, ("test", "r05", "image", 0): {"top1": 2.0, "nll": 3.0}}
    got = summarise(scores, roles=["test"], ratios=["r05"], seeds=[0], models=["image", "kde"])["test"]["r05"]
    assert {model: list(metrics) for model, metrics in got.items()} == {"image": ["top1", "nll"], "kde": ["nll"]}


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_one_number_that_is_not_finite_is_an_error_that_names_it(broken):
    """A role without rows is nan in every metric and run; anything less is a fault, not a gap."""
    scores = runs({0: 1.0, 1: 2.0})
    scores["test", "r05", "location", 1] = {"top1": 1.0, "mrr": broken}
    with pytest.raises(DataError, match="mrr of location on test, r05"):
        summarise(scores, roles=["test"], ratios=["r05"], seeds=[0, 1])
