"""Location-encoder networks against their formulas, unit by unit."""

import math

import pytest
import torch
from torch.nn.functional import gelu, layer_norm, leaky_relu, relu

from cspops.models.networks import NETWORKS, Ffn, Residual, activation_module, two_passes


def inputs(n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


def test_activations_are_those_of_the_paper():
    """relu; leaky with slope 0.2; gelu(x) = x Phi(x) in its erf form."""
    x = torch.tensor([-2.0, -0.5, 0.0, 1.5])
    phi = torch.tensor([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()])
    assert activation_module("relu")(x).tolist() == [0.0, 0.0, 0.0, 1.5]
    torch.testing.assert_close(activation_module("leaky_relu")(x), torch.tensor([-0.4, -0.1, 0.0, 1.5]))
    torch.testing.assert_close(activation_module("gelu")(x), x * phi)


@pytest.mark.parametrize("layer_norms", [True, False])
@pytest.mark.parametrize("output_activation", [True, False])
@pytest.mark.parametrize(("name", "act"), [("relu", relu), ("leaky_relu", lambda v: leaky_relu(v, 0.2)), ("gelu", gelu)])
def test_ffn_is_its_formula(name, act, output_activation, layer_norms):
    """y1 = LN(act(W1 x + b1)), no skip as 6 != 8; y2 = LN(y1 + act(W2 y1 + b2)), skip as 8 = 8; y = act(W3 y2 + b3)."""
    torch.manual_seed(1)
    net = Ffn(6, 5, hidden_layers=2, hidden=8, activation=name, layer_norm=layer_norms, output_activation=output_activation)
    x = inputs(4, 6)

    def norm(v):
        return layer_norm(v, (8,)) if layer_norms else v

    first, second = net.hidden_layers
    y = norm(act(x @ first.weight.T + first.bias))
    y = norm(y + act(y @ second.weight.T + second.bias))
    y = y @ net.output.weight.T + net.output.bias
    torch.testing.assert_close(net.eval()(x), act(y) if output_activation else y)


def test_ffn_without_hidden_layers_is_linear():
    net = Ffn(3, 2, hidden_layers=0, output_activation=False).eval()
    x, y = inputs(5, 3), inputs(5, 3).flip(0)
    assert len(net.hidden_layers) == 0
    torch.testing.assert_close(net(x + y) + net(torch.zeros(5, 3)), net(x) + net(y))


def test_ffn_weights_are_xavier_uniform():
    """Xavier: uniform within sqrt(6 / (in + out)); 10 000 draws come within 1 % of the bound, and their variance is a^2/3."""
    torch.manual_seed(0)
    weight = Ffn(100, 100, hidden_layers=1, hidden=100).hidden_layers[0].weight.detach()
    bound = math.sqrt(6 / 200)
    assert 0.99 * bound < weight.abs().max() <= bound
    assert float(weight.var()) == pytest.approx(bound**2 / 3, rel=0.05)


@pytest.mark.parametrize("output_activation", [True, False])
def test_ffn_drops_on_the_output_layer_only_where_it_is_activated(output_activation):
    """Without hidden layers the only dropout is the output's: two passes differ with it and agree without."""
    torch.manual_seed(0)
    net = Ffn(4, 64, hidden_layers=0, dropout=0.5, output_activation=output_activation).train()
    x = inputs(8, 4)
    assert torch.equal(net(x), net(x)) is not output_activation


def test_residual_is_its_formula():
    """x = relu(W x + b), then x + relu(W2 relu(W1 x + b1) + b2) for each layer (Mac Aodha et al. 2019)."""
    torch.manual_seed(2)
    net = Residual(4, 6, layers=3).eval()
    x = inputs(5, 4)
    entry = net.input[0]
    y = relu(x @ entry.weight.T + entry.bias)
    for layer in net.layers:
        one, two = (part for part in layer if isinstance(part, torch.nn.Linear))
        y = y + relu(relu(y @ one.weight.T + one.bias) @ two.weight.T + two.bias)
    torch.testing.assert_close(net(x), y)


FFNS = [
    Ffn(6, 8, hidden_layers=layers, hidden=6, dropout=0.5, output_activation=output)
    for layers in (0, 1, 2)
    for output in (True, False)
]


@pytest.mark.parametrize("net", [*FFNS, Residual(6, 8, layers=2)], ids=str)
@pytest.mark.parametrize("repeated", [0, 3, 5])
def test_two_passes_are_a_pass_over_stacked_rows(net, repeated):
    """Under the same seed the masks are the same, unit by unit; gradients too."""
    x, g = inputs(5, 6), inputs(5 + repeated, 8)
    results = []
    for run in (lambda: two_passes(net, x, repeated), lambda: net(torch.cat((x[:repeated], x)))):
        torch.manual_seed(0)
        net.zero_grad()
        out = run()
        out.backward(g)
        results.append([out.detach(), *(p.grad.clone() for p in net.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_two_passes_have_masks_of_their_own():
    torch.manual_seed(0)
    first, second = two_passes(Ffn(6, 64).train(), inputs(5, 6), 5).split(5)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", sorted(NETWORKS))
class TestEveryNetwork:
    def test_takes_any_leading_axes(self, name):
        net = NETWORKS[name](3, 4).eval()
        x = inputs(12, 3)
        torch.testing.assert_close(net(x.view(2, 6, 3)), net(x).view(2, 6, 4))
        assert (net.dim_in, net.dim_out) == (3, 4)

    def test_rate_zero_makes_train_equal_eval(self, name):
        net = NETWORKS[name](3, 4, dropout=0.0)
        x = inputs(12, 3)
        assert torch.equal(net.train()(x), net.eval()(x))

    def test_drops_in_training_only(self, name):
        torch.manual_seed(0)
        net = NETWORKS[name](3, 32, dropout=0.5)
        x = inputs(12, 3)
        assert not torch.equal(net.train()(x), net.train()(x))
        assert torch.equal(net.eval()(x), net.eval()(x))
