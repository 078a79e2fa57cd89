"""The sine network against its formula, unit by unit, and its initialisation against the published one."""

import math

import pytest
import torch

from cspops.models.networks import NETWORKS, Siren


def inputs(n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


def test_is_its_formula():
    """x = sin(30 (W0 x + b0)), sin(2 (W1 x + b1)), sin(2 (W2 x + b2)), then W3 x + b3, in float64."""
    torch.manual_seed(1)
    net = Siren(4, 3, hidden_layers=3, hidden=5, w0=30.0, w0_hidden=2.0).eval()
    x = inputs(6, 4)
    layers = [*net.hidden_layers, net.output]
    wanted = []
    for row in x.tolist():
        for k, layer in enumerate(layers):
            row = [
                sum(w * v for w, v in zip(weights, row, strict=True)) + b
                for weights, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
            ]
            if k < 3:
                row = [math.sin((2.0 if k else 30.0) * v) for v in row]
        wanted.append(row)
    torch.testing.assert_close(net(x), torch.tensor(wanted), rtol=0, atol=3e-5)  # 30 times a phase error of 1e-6


@pytest.mark.parametrize("w0_hidden", [1.0, 30.0])
def test_starts_uniform_within_the_published_bounds(w0_hidden):
    """1 / n in the first layer, sqrt(6 / n) / w0 in the others; 10 000 draws reach 99 % of the bound, variance a^2/3."""
    torch.manual_seed(0)
    net = Siren(100, 100, hidden_layers=2, hidden=100, w0_hidden=w0_hidden)
    bounds = [1 / 100, math.sqrt(6 / 100) / w0_hidden, math.sqrt(6 / 100) / w0_hidden]
    for layer, bound in zip((*net.hidden_layers, net.output), bounds, strict=True):
        weight, bias = layer.weight.detach(), layer.bias.detach()
        assert 0.99 * bound < weight.abs().max() <= bound
        assert float(weight.var()) == pytest.approx(bound**2 / 3, rel=0.05)
        assert 0.9 * bound < bias.abs().max() <= bound


def test_activations_keep_their_spread_through_the_layers():
    """What the initialisation is for. With w0 the same in the bound and in the sine, units y = w0 (W x + b) of a hidden
    layer are near normal (512 summands) with variance w0^2 n (bound^2 / 3) E[x^2] = 2 E[x^2], and E[sin^2 y] =
    (1 - exp(-2 var)) / 2: it settles at 0.40 instead of dying out. 512 units share the inputs: 5 sd are 0.02."""
    torch.manual_seed(0)
    net = Siren(2, 3, hidden_layers=4, hidden=512, w0=30.0, w0_hidden=30.0).eval()
    x = (30 * net.hidden_layers[0](2 * torch.rand(400, 2) - 1)).sin().detach()
    for layer in net.hidden_layers[1:]:
        before, x = x, (30 * layer(x)).sin().detach()
        wanted = (1 - math.exp(-4 * float((before**2).mean()))) / 2
        assert float((x**2).mean()) == pytest.approx(wanted, abs=0.02)
        assert wanted > 0.38


def test_drops_before_the_sine():
    """A dropped unit is sin(0) = 0: with one hidden layer, identity output weights and no output bias, about half of
    4 000 hidden units are exactly zero in training; sd sqrt(1000) = 32, so within 160 of 2 000."""
    torch.manual_seed(0)
    net = Siren(3, 40, hidden_layers=1, hidden=40, dropout=0.5)
    torch.nn.init.eye_(net.output.weight)
    torch.nn.init.zeros_(net.output.bias)
    x = inputs(100, 3)
    assert abs(int((net.train()(x) == 0).sum()) - 2000) < 160
    assert int((net.eval()(x) == 0).sum()) == 0


def test_needs_a_hidden_layer():
    with pytest.raises(ValueError, match="at least one hidden layer, not 0"):
        Siren(2, 2, hidden_layers=0)


def test_is_chosen_by_its_name():
    assert NETWORKS["siren"] is Siren
    net = Siren(7, 9)
    assert (net.dim_in, net.dim_out, len(net.hidden_layers), net.w0, net.w0_hidden) == (7, 9, 2, 30.0, 1.0)
