"""The published network for overhead images: CROMA's optical ViT, which knows places by distances alone."""

import math

import torch
from torch import nn
from torch.nn import functional

from cspops.gair.shapes import require_shape
from cspops.kernels import Linear
from cspops.shapes import Float, Tensor


class AlibiVit(nn.Module):
    """A vision transformer with two-dimensional ALiBi (Fuller et al. 2023): bands to a grid of tokens.

    Pre-norm layers, GELU, an inner width of 4 dim, queries, keys and values without bias. It has no position embedding, no
    class token and no norm at the end: from the score of two patches is subtracted the distance of their centres, in patches,
    times the slope of the head (see `slopes`). The input of a token is its patch, band by band, each row by row.

    Args:
        px: side of the image; a multiple of ``patch``.
        patch: side of a patch.
        bands: of the image.
        dim: width of the tokens; a multiple of ``heads``.
        depth: layers.
        heads: of each layer.

    The state dict has the published names, those of CROMA's `s2_encoder`: ``linear_input`` (weight (dim, bands patch patch),
    bias); for each layer i ``transformer.layers.{i}.0`` with ``input_norm`` (weight, bias), ``to_qkv.weight`` (3 dim, dim; rows
    of q, k, v, each head by head) and ``to_out`` (weight, bias), and ``transformer.layers.{i}.1`` with ``input_norm``,
    ``net.0`` (4 dim, dim) and ``net.3`` (dim, 4 dim). The defaults are the published sizes.
    """

    def __init__(self, px: int = 96, patch: int = 8, bands: int = 10, dim: int = 768, depth: int = 12, heads: int = 16) -> None:
        super().__init__()
        if px % patch:
            raise ValueError(f"an image of {px} px is not made of patches of {patch} px")
        if dim % heads:
            raise ValueError(f"{dim} features are not {heads} heads of the same width")
        self.px, self.patch, self.bands, self.dim, self.heads, self.grid = px, patch, bands, dim, heads, px // patch
        self.linear_input = Linear(bands * patch * patch, dim)
        layers = (nn.ModuleList((_Attention(dim, heads), _FeedForward(dim))) for _ in range(depth))
        self.transformer = nn.ModuleDict({"layers": nn.ModuleList(layers)})

    def forward(self, pixels: Float[Tensor, "*pixels"]) -> Float[Tensor, "n cells dim"]:
        """Return tokens (n, g*g, dim), row by row, of images (n, bands, px, px); other shapes are a ValueError."""
        require_shape("pixels", pixels, "n", self.bands, self.px, self.px)
        patches = functional.unfold(pixels, self.patch, stride=self.patch).transpose(1, 2)
        tokens: Tensor = self.linear_input(patches)
        bias = distance_bias(self.grid, self.heads, tokens.device).to(tokens.dtype)
        for attention, feed_forward in self.transformer["layers"]:  # type: ignore[union-attr]
            tokens = tokens + attention(tokens, bias)
            tokens = tokens + feed_forward(tokens)
        return tokens


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.input_norm = nn.LayerNorm(dim)
        self.to_qkv = Linear(dim, 3 * dim, bias=False)
        self.to_out = Linear(dim, dim)

    def forward(
        self, x: Float[Tensor, "n cells dim"], bias: Float[Tensor, "heads cells cells"]
    ) -> Float[Tensor, "n cells dim"]:
        qkv = self.to_qkv(self.input_norm(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        out: Tensor = self.to_out(mixed.transpose(1, 2).flatten(2))
        return out


class _FeedForward(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.input_norm = nn.LayerNorm(dim)
        # the third stands where the published network has dropout of rate 0, so that the layers have the published numbers
        self.net = nn.Sequential(Linear(dim, 4 * dim), nn.GELU(), nn.Identity(), Linear(4 * dim, dim))

    def forward(self, x: Float[Tensor, "n cells dim"]) -> Float[Tensor, "n cells dim"]:
        out: Tensor = self.net(self.input_norm(x))
        return out


def slopes(heads: int) -> list[float]:
    """Return ALiBi's slope of each head (Press et al. 2022).

    They are 2^(-8 i / h), i = 1..h, where h is a power of two; else those of the largest power of two below h, and then every
    other one of twice that power.
    """
    power = 2 ** int(math.log2(heads))
    first = [2 ** (-8 * i / power) for i in range(1, power + 1)]
    return first if power == heads else first + slopes(2 * power)[::2][: heads - power]


def distance_bias(grid: int, heads: int, device: torch.device) -> Float[Tensor, "heads cells cells"]:
    """Return minus the slope of each head times the distance of two patches, in patches, in float64."""
    along = torch.arange(grid, device=device)
    places = torch.cartesian_prod(along, along)
    squared = (places[:, None] - places).square().sum(-1)
    return -torch.tensor(slopes(heads), dtype=torch.float64, device=device)[:, None, None] * squared.double().sqrt()
