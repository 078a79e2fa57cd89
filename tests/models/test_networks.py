"""Location-encoder networks against their formulas, unit by unit."""

import math

import pytest
import torch
from torch.nn.functional import gelu, layer_norm, leaky_relu, relu

from cspops.models.networks import LEVELS, NETWORKS, Dropout, Ffn, Residual, Siren, activation_module, two_passes


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


def test_ffn_without_skip_adds_no_input():
    net = Ffn(4, 3, hidden_layers=2, hidden=4, layer_norm=False, output_activation=False, skip=False).eval()
    x = torch.randn(5, 4)
    by_hand = x
    for layer in net.hidden_layers:
        by_hand = leaky_relu(layer(by_hand), 0.2)
    assert torch.allclose(net(x), net.output(by_hand))


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


N = 2**20


def dropped(rate: float, n: int = N, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return Dropout(rate).train()(torch.ones(n)) == 0


def six_sigma(p: float, n: int) -> float:
    """The share of successes among n independent draws stays within this of p but once in 10^9 runs."""
    return 6 * math.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
def test_share_dropped_is_the_rate(rate):
    """Binomial bound around the rate as rounded to a multiple of 2^-16."""
    exact = round(rate * LEVELS) / LEVELS
    assert abs(float(dropped(rate).double().mean()) - exact) < six_sigma(exact, N)


@pytest.mark.parametrize(("rate", "lanes"), [(0.3, 4), (1 / 256, 8), (0.25, 8), (0.5, 8), (255 / 256, 8)])
def test_each_unit_of_a_draw_has_the_rate(rate, lanes):
    """Four units of a 64-bit draw, whose rate is rounded to 2^-16; eight where the rate is of 256ths: exactly that."""
    zero = dropped(rate)
    for lane in range(lanes):
        share = float(zero[lane::lanes].double().mean())
        assert abs(share - rate) < six_sigma(rate, N // lanes) + (1 / LEVELS if lanes == 4 else 0)


def test_draws_are_eight_or_four_units_long(monkeypatch):
    sizes = []
    real = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *args, **keywords: sizes.append(args[0]) or real(*args, **keywords))
    for rate in (0.5, 0.3):
        Dropout(rate).train()(torch.ones(80))
    assert sizes == [10, 20]


@pytest.mark.parametrize("other", [1, 2, 3, 4, 7, 8])
def test_units_of_a_draw_are_independent(other):
    """P(both dropped) of a unit and its neighbour at this distance is rate^2, in one 64-bit draw and across two."""
    zero = dropped(0.5)
    both = (zero[:-other] & zero[other:])[:: other + 4]  # thinned, so that the pairs do not overlap
    assert abs(float(both.double().mean()) - 0.25) < six_sigma(0.25, len(both))


@pytest.mark.parametrize("rate", [0.1, 0.5, 1 / 3, 3 / 4])
def test_kept_units_are_scaled_by_the_inverse_of_the_exact_share_kept(rate):
    """E[out] = (share kept) x scale = 1, so the scale is LEVELS / (LEVELS - dropped levels) and nothing else."""
    torch.manual_seed(0)
    out = Dropout(rate).train()(torch.ones(4096))
    assert set(out.unique().tolist()) == {0.0, float(torch.tensor(LEVELS / (LEVELS - round(rate * LEVELS))))}


def test_rate_zero_and_eval_are_the_identity():
    x = torch.randn(7, 5)
    assert torch.equal(Dropout(0.0).train()(x), x)
    assert torch.equal(Dropout(0.9).eval()(x), x)


def test_reproducible_under_the_global_seed():
    assert torch.equal(dropped(0.5, seed=3), dropped(0.5, seed=3))
    assert not torch.equal(dropped(0.5, seed=3), dropped(0.5, seed=4))


def test_odd_sizes_and_strides_keep_shape_and_values():
    torch.manual_seed(0)
    inputs = [torch.rand(shape) + 1 for shape in [(1,), (3,), (5, 7), (2, 3, 5), (0, 4), (9, 1)]]
    for x in (*inputs, torch.arange(1.0, 16.0).view(3, 5).T):
        out = Dropout(0.5).train()(x)
        assert out.shape == x.shape
        assert bool(((out == 0) | (out == 2 * x)).all())


def test_gradient_is_the_mask():
    torch.manual_seed(0)
    x = torch.ones(1000, requires_grad=True)
    out = Dropout(0.5).train()(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_keeps_the_type(dtype):
    assert Dropout(0.5).train()(torch.ones(8, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, math.nan])
def test_a_rate_outside_0_to_1_is_an_error(rate):
    with pytest.raises(ValueError, match="dropout rate"):
        Dropout(rate)


def test_a_rate_that_rounds_to_all_levels_still_works():
    """0.999999 is a rate in [0, 1); rounded to levels of 2^-16 it must not become 1, of which the scale is 1 / 0."""
    out = Dropout(0.999999).train()(torch.ones(1000))
    assert bool(out.isfinite().all())
