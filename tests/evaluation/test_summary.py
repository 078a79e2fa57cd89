"""From runs to mean and standard deviation over seeds."""

import math

import pytest

from cspops.errors import DataError
from cspops.evaluation.summary import MODELS, summarise


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
