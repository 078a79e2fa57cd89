"""The overhead network against its formulas, head by head and token by token."""

import math

import pytest
import torch
from torch.nn.functional import gelu, softmax

from cspops.gair.alibi_vit import AlibiVit, distance_bias, slopes
from cspops.shapes import Tensor


def normed(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]


def naive(state: dict[str, Tensor], image: Tensor, patch: int, heads: int, depth: int) -> Tensor:
    """Tokens of one image (bands, px, px)."""
    bands, px, _ = image.shape
    cells = [(row, column) for row in range(px // patch) for column in range(px // patch)]
    rows = []
    for row, column in cells:
        pixels = [
            image[band, row * patch + i, column * patch + j]
            for band in range(bands)
            for i in range(patch)
            for j in range(patch)
        ]
        rows.append(state["linear_input.weight"] @ torch.stack(pixels) + state["linear_input.bias"])
    x = torch.stack(rows)
    width = x.shape[1] // heads
    for layer in range(depth):
        at = f"transformer.layers.{layer}"
        q, k, v = (normed(x, state, f"{at}.0.input_norm") @ state[f"{at}.0.to_qkv.weight"].T).chunk(3, -1)
        mixed = []
        for head in range(heads):
            mine = slice(head * width, (head + 1) * width)
            scores = q[:, mine] @ k[:, mine].T / math.sqrt(width)
            slope = 2 ** (-8 * (head + 1) / heads)
            for a, (row, column) in enumerate(cells):
                for b, (other_row, other_column) in enumerate(cells):
                    scores[a, b] -= slope * math.hypot(row - other_row, column - other_column)
            mixed.append(softmax(scores, -1) @ v[:, mine])
        x = x + torch.cat(mixed, -1) @ state[f"{at}.0.to_out.weight"].T + state[f"{at}.0.to_out.bias"]
        inner = normed(x, state, f"{at}.1.input_norm") @ state[f"{at}.1.net.0.weight"].T + state[f"{at}.1.net.0.bias"]
        x = x + gelu(inner) @ state[f"{at}.1.net.3.weight"].T + state[f"{at}.1.net.3.bias"]
    return x


def test_is_its_formulas() -> None:
    torch.manual_seed(0)
    network = AlibiVit(px=12, patch=4, bands=3, dim=8, depth=2, heads=4).double()
    for weight in network.parameters():
        weight.data = torch.randn_like(weight) * 0.5
    image = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    tokens = network(image)
    assert tokens.shape == (2, 9, 8)
    for one, its in zip(tokens, image, strict=True):
        torch.testing.assert_close(one, naive(network.state_dict(), its, 4, 4, 2), rtol=1e-10, atol=1e-10)
    assert set(network.state_dict()) == {
        *("linear_input.weight", "linear_input.bias"),
        *(
            f"transformer.layers.{layer}.{name}"
            for layer in (0, 1)
            for name in (
                *("0.input_norm.weight", "0.input_norm.bias", "0.to_qkv.weight", "0.to_out.weight", "0.to_out.bias"),
                *(
                    "1.input_norm.weight",
                    "1.input_norm.bias",
                    "1.net.0.weight",
                    "1.net.0.bias",
                    "1.net.3.weight",
                    "1.net.3.bias",
                ),
            )
        ),
    }


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        (1, [2**-8]),
        (8, [2**-i for i in range(1, 9)]),
        (16, [2 ** (-i / 2) for i in range(1, 17)]),
        (6, [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3]),
        (12, [*(2**-i for i in range(1, 9)), *(2 ** -(i + 0.5) for i in range(4))]),
    ],
)
def test_slopes(heads: int, expected: list[float]) -> None:
    assert slopes(heads) == pytest.approx(expected, rel=1e-12)


def test_the_bias_is_symmetric_and_falls_with_the_distance() -> None:
    bias = distance_bias(3, 2, torch.device("cpu"))
    assert torch.equal(bias, bias.transpose(1, 2))
    assert bias[0, 0].tolist() == pytest.approx([-(2**-4) * math.hypot(r, c) for r in range(3) for c in range(3)])


@pytest.mark.parametrize("shape", [(1, 3, 12, 8), (1, 4, 12, 12), (3, 12, 12), (1, 3, 16, 16)])
def test_images_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"pixels has shape \(.*\), not \(n, 3, 12, 12\)"):
        AlibiVit(px=12, patch=4, bands=3, dim=8, depth=1, heads=4)(torch.zeros(shape))


@pytest.mark.parametrize(("sizes", "said"), [({"px": 10}, "not made of patches"), ({"heads": 5}, "not 5 heads")])
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AlibiVit(**({"px": 12, "patch": 4, "bands": 3, "dim": 8, "depth": 1, "heads": 4} | sizes))
