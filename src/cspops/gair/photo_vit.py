"""The published network for photos: ViT-B/16 with the pooler of Hugging Face's ViTModel."""

import torch
from torch import nn
from torch.nn import functional

from cspops.gair.shapes import require_shape
from cspops.kernels import Linear
from cspops.shapes import Float, Tensor

EPSILON = 1e-12
"""Of the layer norms, as published."""


class PhotoVit(nn.Module):
    """A vision transformer (Dosovitskiy et al. 2021) whose embedding is tanh(W c + b), c the class token after the last norm.

    Args:
        px: side of the photo; a multiple of ``patch``.
        patch: side of a patch.
        dim: width of the tokens and of the embedding; a multiple of ``heads``.
        depth: layers.
        heads: of each layer.
        hidden: inner width of the feed-forward layers.
        attention_dropout: rate on attention weights in training; published 0.1. Nothing else is dropped.

    The state dict has the published names, those of ViTModel: ``embeddings.cls_token`` (1, 1, dim),
    ``embeddings.position_embeddings`` (1, 1 + g g, dim), ``embeddings.patch_embeddings.projection`` (weight (dim, 3, patch,
    patch), bias); for each layer ``encoder.layer.{i}`` with ``attention.attention.query``, ``.key`` and ``.value``,
    ``attention.output.dense``, ``intermediate.dense`` (hidden, dim), ``output.dense`` (dim, hidden), ``layernorm_before`` and
    ``layernorm_after``; ``layernorm`` and ``pooler.dense``; each with weight and bias. The defaults are the published sizes.
    """

    def __init__(
        self,
        px: int = 224,
        patch: int = 16,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        hidden: int = 3072,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if px % patch:
            raise ValueError(f"a photo of {px} px is not made of patches of {patch} px")
        if dim % heads:
            raise ValueError(f"{dim} features are not {heads} heads of the same width")
        self.px, self.dim = px, dim
        self.embeddings = _Embeddings(px, patch, dim)
        layers = (_Layer(dim, heads, hidden, attention_dropout) for _ in range(depth))
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})
        self.layernorm = nn.LayerNorm(dim, eps=EPSILON)
        self.pooler = nn.ModuleDict({"dense": Linear(dim, dim)})
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                nn.init.trunc_normal_(weight, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, pixels: Float[Tensor, "*pixels"]) -> Float[Tensor, "n dim"]:
        """Return embeddings (n, dim) of photos (n, 3, px, px); other shapes are a ValueError."""
        require_shape("pixels", pixels, "n", 3, self.px, self.px)
        tokens: Tensor = self.embeddings(pixels)
        for layer in self.encoder["layer"]:  # type: ignore[union-attr]
            tokens = layer(tokens)
        embedding: Tensor = self.pooler["dense"](self.layernorm(tokens[:, 0])).tanh()
        return embedding


class _Embeddings(nn.Module):
    def __init__(self, px: int, patch: int, dim: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.position_embeddings = nn.Parameter(torch.zeros(1, 1 + (px // patch) ** 2, dim))
        self.patch_embeddings = nn.ModuleDict({"projection": nn.Conv2d(3, dim, patch, stride=patch)})

    def forward(self, pixels: Float[Tensor, "n 3 px px"]) -> Float[Tensor, "n tokens dim"]:
        patches = self.patch_embeddings["projection"](pixels).flatten(2).transpose(1, 2)
        return torch.cat((self.cls_token.expand(len(pixels), -1, -1), patches), 1) + self.position_embeddings


class _Layer(nn.Module):
    def __init__(self, dim: int, heads: int, hidden: int, attention_dropout: float) -> None:
        super().__init__()
        self.heads, self.attention_dropout = heads, attention_dropout
        qkv = nn.ModuleDict({name: Linear(dim, dim) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"attention": qkv, "output": nn.ModuleDict({"dense": Linear(dim, dim)})})
        self.intermediate = nn.ModuleDict({"dense": Linear(dim, hidden)})
        self.output = nn.ModuleDict({"dense": Linear(hidden, dim)})
        self.layernorm_before = nn.LayerNorm(dim, eps=EPSILON)
        self.layernorm_after = nn.LayerNorm(dim, eps=EPSILON)

    def forward(self, x: Float[Tensor, "n tokens dim"]) -> Float[Tensor, "n tokens dim"]:
        x = x + self._attend(self.layernorm_before(x))
        inner = functional.gelu(self.intermediate["dense"](self.layernorm_after(x)))
        out: Tensor = x + self.output["dense"](inner)
        return out

    def _attend(self, x: Float[Tensor, "n tokens dim"]) -> Float[Tensor, "n tokens dim"]:
        layers = self.attention["attention"]
        q, k, v = (
            layers[name](x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # type: ignore[index]
            for name in ("query", "key", "value")
        )
        rate = self.attention_dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(q, k, v, dropout_p=rate).transpose(1, 2).flatten(2)
        out: Tensor = self.attention["output"]["dense"](mixed)  # type: ignore[index]
        return out
