"""NILI against its formulas, one point at a time, and what follows from them."""

import math

import pytest
import torch
from torch.nn.functional import conv2d, grid_sample

from cspops.gair.nili import Nili
from cspops.shapes import Tensor

BBOX = torch.tensor([[8.0, 46.0, 10.0, 50.0]], dtype=torch.float64)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def nili(decoder: str, dim: int = 3, dim_out: int = 2) -> Nili:
    module = Nili(dim, dim_out, decoder, hidden=5).double()
    for number, weight in enumerate(module.parameters()):
        weight.data = drawn(*weight.shape, seed=number + 1)
    return module


def lonlat_of(places: Tensor) -> Tensor:
    """The places in `BBOX` that are relative ones in [-1, 1]."""
    return torch.tensor([9.0, 48.0]).double() + places * torch.tensor([1.0, -2.0]).double()


def ask(module: Nili, tokens: Tensor, places: Tensor) -> Tensor:
    """Answers relative places (m, 2) in one image (g, g, d)."""
    return module(tokens.flatten(0, 1)[None], BBOX, lonlat_of(places)[None])[0]


def decoded(module: Nili, x: list[float]) -> Tensor:
    weights = [*module.state_dict().values()]
    y = torch.tensor(x, dtype=torch.float64)
    for number in range(0, len(weights), 2):
        y = (y if number == 0 else y.clamp(min=0)) @ weights[number].T + weights[number + 1]
    return y


def naive(module: Nili, tokens: Tensor, x: float, y: float) -> Tensor:
    """The local ensemble with loops: tokens (g, g, d), x to the east and y to the south."""
    g, _, d = tokens.shape
    outputs, areas = [], []
    for east in (-1, 1):
        for south in (-1, 1):
            column, row = (
                min(max(math.floor((min(max(p + v / g + 1e-6, -1 + 1e-6), 1 - 1e-6) + 1) * g / 2), 0), g - 1)
                for p, v in ((x, east), (y, south))
            )
            around = [
                tokens[r, c, feature].item() if 0 <= r < g and 0 <= c < g else 0.0
                for feature in range(d)
                for r in (row - 1, row, row + 1)
                for c in (column - 1, column, column + 1)
            ]
            dx, dy = (x - (-1 + (2 * column + 1) / g)) * g, (y - (-1 + (2 * row + 1) / g)) * g
            outputs.append(decoded(module, [*around, dx, dy]))
            areas.append(abs(dx * dy) + 1e-9)
    opposite = areas[::-1]
    return sum((out * area / sum(areas) for out, area in zip(outputs, opposite, strict=True)), torch.zeros(()))


@pytest.mark.parametrize("decoder", ["linear", "mlp"])
@pytest.mark.parametrize("side", [1, 4, 7])
def test_is_the_local_ensemble(decoder: str, side: int) -> None:
    module, tokens = nili(decoder), drawn(side, side, 3)
    corners = [[-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [0.0, 0.0]]
    places = torch.cat((torch.tensor(corners).double(), drawn(20, 2).tanh()))
    expected = torch.stack([naive(module, tokens, *place.tolist()) for place in places])
    torch.testing.assert_close(ask(module, tokens, places), expected, rtol=1e-9, atol=1e-9)


def test_linear_is_the_bilinear_interpolation_of_a_convolution_off_the_rim() -> None:
    side = 6
    module, tokens = nili("linear"), drawn(side, side, 3)
    places = drawn(50, 2).tanh() * (1 - 1 / side)
    kernel = module.decoder.weight[:, :27].view(2, 3, 3, 3)
    convolved = conv2d(tokens.permute(2, 0, 1)[None], kernel, module.decoder.bias, padding=1)
    expected = grid_sample(convolved, places[None, None], align_corners=False)[0, :, 0].T
    torch.testing.assert_close(ask(module, tokens, places), expected, rtol=1e-8, atol=1e-8)


def turned_weights(module: Nili, turn: str) -> Nili:
    """The decoder that sees each 3x3 neighbourhood, and the offsets, turned like the image."""
    other = nili(module.kind)
    first = other.decoder[0] if module.kind == "mlp" else other.decoder
    weight = first.weight.data
    around = TURNS[turn][0](weight[:, :-2].unflatten(1, (-1, 3, 3)).movedim(1, -1).movedim(0, -1)).movedim(-1, 0).movedim(-1, 1)
    columns = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double()
    first.weight.data = torch.cat((around.flatten(1), weight[:, -2:] @ TURNS[turn][1](columns)), 1)
    return other


TURNS = {  # of an image (rows, columns, ...) and of places (..., 2), x to the east and y to the south
    "east for west": (lambda image: image.flip(1), lambda p: p * torch.tensor([-1.0, 1.0]).double()),
    "north for south": (lambda image: image.flip(0), lambda p: p * torch.tensor([1.0, -1.0]).double()),
    "transposed": (lambda image: image.transpose(0, 1), lambda p: p.flip(-1)),
    "a half turn": (lambda image: image.flip(0, 1), lambda p: -p),
}


@pytest.mark.parametrize("decoder", ["linear", "mlp", "bilinear", "mean"])
@pytest.mark.parametrize("turn", TURNS)
def test_an_image_turned_with_its_places_answers_the_same(decoder: str, turn: str) -> None:
    module, tokens, places = nili(decoder), drawn(5, 5, 3), drawn(30, 2).tanh()
    turned = turned_weights(module, turn) if decoder in ("linear", "mlp") else module
    image, point = TURNS[turn]
    # places are moved by 1e-6 before cells are chosen, which is no symmetry and matters by as little
    torch.testing.assert_close(ask(turned, image(tokens), point(places)), ask(module, tokens, places), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("decoder", ["linear", "mlp", "bilinear", "mean"])
def test_many_places_of_an_image_are_asked_one_by_one(decoder: str) -> None:
    module, tokens, places = nili(decoder), drawn(2, 16, 3), lonlat_of(drawn(2, 4, 2).tanh())
    bbox = BBOX.repeat(2, 1)
    together = module(tokens, bbox, places)
    one_by_one = torch.stack([module(tokens, bbox, places[:, m]) for m in range(4)], 1)
    assert together.shape == (2, 4, 2)
    torch.testing.assert_close(together, one_by_one, rtol=1e-12, atol=1e-12)
    assert module(tokens, bbox, places[:, :0]).shape == (2, 0, 2)


@pytest.mark.parametrize("decoder", ["linear", "mlp"])
def test_gradients_reach_weights_tokens_and_places(decoder: str) -> None:
    module = nili(decoder, dim=2)
    tokens, places = drawn(1, 9, 2).requires_grad_(), lonlat_of(drawn(1, 3, 2).tanh()).requires_grad_()
    assert torch.autograd.gradcheck(lambda t, p: module(t, BBOX, p), (tokens, places))
    module(tokens, BBOX, places).sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in module.parameters())


def test_bilinear_is_clamped_at_the_border_and_mean_is_the_same_everywhere() -> None:
    tokens = drawn(4, 4, 3)
    corner = ask(module := nili("bilinear"), tokens, torch.tensor([[-1.0, -1.0]]).double())
    torch.testing.assert_close(corner[0], tokens[0, 0] @ module.decoder.weight.T + module.decoder.bias)
    everywhere = ask(module := nili("mean"), tokens, drawn(5, 2).tanh())
    torch.testing.assert_close(everywhere, (tokens.mean((0, 1)) @ module.decoder.weight.T + module.decoder.bias).expand(5, 2))


def test_float32_agrees_with_float64() -> None:
    module, tokens, places = nili("linear"), drawn(1, 16, 3), lonlat_of(drawn(1, 9, 2).tanh())
    wide = module(tokens, BBOX, places)
    narrow = module.float()(tokens.float(), BBOX, places)
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), wide, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("tokens", "boxes", "places", "said"),
    [
        ((2, 15, 3), (2, 4), (2, 2), "15 tokens are no square grid"),
        ((2, 0, 3), (2, 4), (2, 2), "0 tokens are no square grid"),
        ((2, 16, 4), (2, 4), (2, 2), r"tokens has shape \(2, 16, 4\), not \(n, g\*g, 3\)"),
        ((16, 3), (2, 4), (2, 2), "tokens has shape"),
        ((2, 16, 3), (3, 4), (3, 2), "2 images have 3 footprints"),
        ((2, 16, 3), (2, 4), (3, 2), r"lonlat has shape \(3, 2\), not \(2, 2\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    tokens: tuple[int, ...], boxes: tuple[int, ...], places: tuple[int, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Nili(3, 2)(torch.zeros(tokens), torch.zeros(boxes), torch.zeros(places))


def test_an_unknown_decoder_is_refused() -> None:
    with pytest.raises(ValueError, match="one of linear, mlp, bilinear, mean, not cubic"):
        Nili(3, 2, "cubic")


def test_a_place_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="place 0"):
        Nili(3, 2)(torch.zeros(1, 16, 3), BBOX.float(), torch.tensor([[7.0, 48.0]]))
