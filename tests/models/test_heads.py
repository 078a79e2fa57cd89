"""Heads: standardisation, projection, class embeddings, linear probe; learned temperatures."""

import pytest
import torch

from cspops.models.heads import ClassEmbedding, LearnedTemperatures, LinearProbe, Projection, Standardise


def features(n: int = 50, k: int = 3) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10.0, 0.1]) + 5


def test_standardised_training_rows_have_mean_zero_and_sd_one():
    x = features()
    z = Standardise(3).fit(x)(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(3), rtol=1e-5, atol=0)


def test_other_rows_use_the_training_rows_statistics():
    """Training rows -1 and 3 have mean 1 and (population) sd 2: 7 becomes 3."""
    head = Standardise(1).fit(torch.tensor([[-1.0], [3.0]]))
    assert head(torch.tensor([[7.0]])).item() == 3.0


@pytest.mark.parametrize("value", [0.0, 3.3, -100.1, 1e5])
def test_a_constant_feature_becomes_zero(value):
    x = torch.full((777, 1), value)
    head = Standardise(1).fit(x)
    assert head.scale.item() == 1
    torch.testing.assert_close(head(x), torch.zeros(777, 1), rtol=0, atol=abs(value) * 1e-6)


def test_half_precision_features_are_standardised_in_float32():
    x = features().half()
    z = Standardise(3).fit(x)(x)
    assert z.dtype == torch.float32
    torch.testing.assert_close(z, Standardise(3).fit(x.float())(x.float()))


def test_a_fresh_standardisation_changes_nothing():
    x = features()
    assert torch.equal(Standardise(3)(x), x)


def test_fit_takes_no_gradient_and_the_statistics_are_stored():
    head = Standardise(3).fit(features().requires_grad_())
    assert set(head.state_dict()) == {"mean", "scale"}
    assert not head.mean.requires_grad


def test_projection_is_one_affine_layer_on_standardised_features():
    head, x = Projection(3, 4), features()
    head.standardise.fit(x)
    z = (x - x.mean(0)) / x.std(0, correction=0)
    torch.testing.assert_close(head(x), z @ head.linear.weight.T + head.linear.bias)


def test_class_scores_are_e_times_t_without_bias():
    head, e = ClassEmbedding(3, 5), features()
    torch.testing.assert_close(head(e), e @ head.linear.weight.T)
    assert torch.equal(head(torch.zeros(2, 7, 3)), torch.zeros(2, 7, 5))


def test_class_scores_with_a_bias():
    head, e = ClassEmbedding(3, 5, bias=True), features()
    torch.testing.assert_close(head(e), e @ head.linear.weight.T + head.linear.bias)


def test_probe_config_rebuilds_it():
    probe, x = LinearProbe(3, 5), features()
    probe.standardise.fit(x)
    again = LinearProbe(**probe.config)
    again.load_state_dict(probe.state_dict(), strict=True)
    assert torch.equal(again(x), probe(x))
    assert probe(x).shape == (50, 5)


def test_temperatures_start_where_they_are_told():
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
