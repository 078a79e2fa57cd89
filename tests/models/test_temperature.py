"""Learned temperatures: where they start, their bound, their gradient."""

import pytest

from cspops.models.temperature import LearnedTemperatures


def test_they_start_where_they_are_told():
    taus = LearnedTemperatures({"tau_batch": 0.07, "tau_dropout": 2.0})()
    assert {name: tau.item() for name, tau in taus.items()} == pytest.approx({"tau_batch": 0.07, "tau_dropout": 2.0}, rel=1e-6)


def test_clamp_keeps_the_scale_of_scores_at_most_100_and_leaves_others_alone():
    module = LearnedTemperatures({"low": 0.001, "high": 50.0})
    module.clamp()
    assert {name: tau.item() for name, tau in module().items()} == pytest.approx({"low": 0.01, "high": 50.0}, rel=1e-5)


def test_the_gradient_is_that_of_the_logarithm():
    """d tau / d log(1 / tau) = - tau."""
    module = LearnedTemperatures({"tau": 0.2})
    module()["tau"].backward()
    assert module.log_scale["tau"].grad.item() == pytest.approx(-0.2, rel=1e-6)
