"""Networks of a location encoder: features of a position encoding to an embedding. Any goes with any encoding.

>>> from cspops.models.networks import NETWORKS
>>> NETWORKS["ffn"](128, 256, hidden=512).dim_out
256
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import Literal

import torch
from torch import nn
from torch.nn.functional import dropout

from cspops.kernels import Linear
from cspops.ranks import Processes
from cspops.shapes import Float, Tensor

LEVELS = 2**16

_SHARE: ContextVar[tuple[Tensor, int] | None] = ContextVar("_SHARE", default=None)


@contextmanager
def own_masks(processes: Processes, n: int, each: Sequence[int] = (1,), *, more: int = 0) -> Iterator[None]:
    """Let processes that share a batch drop together what one would drop: dropout draws for all rows and applies its own.

    Args:
        n: rows of the batch.
        each: what passes through dropout, in parts one after another: so many rows for each of this process's share.
        more: rows after these that all processes have.
    """
    if not processes.shares(n):
        yield
        return
    mine, first, rows = processes.share(n), 0, []
    for k in each:
        rows.append(torch.arange(first + mine.start * k, first + mine.stop * k))
        first += n * k
    before = _SHARE.set((torch.cat([*rows, torch.arange(first, first + more)]), first + more))
    try:
        yield
    finally:
        _SHARE.reset(before)


class Dropout(nn.Module):
    """Dropout whose CPU mask is cheap: one 64-bit random number decides on four or eight units.

    torch draws one Bernoulli number per unit in a serial loop, which was half of a fine-tuning step. The rate is rounded
    to a multiple of 2^-16 and kept units are scaled by the inverse of the exact share kept; eight bits per unit are
    enough where the rate is a multiple of 2^-8. Randomness comes from torch's global generator, as in
    `torch.nn.Dropout`; other devices than the CPU use that.

    Args:
        rate: probability that a unit is zeroed, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"a dropout rate lies in [0, 1), not {rate}")
        self.rate = rate

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        dropped = min(round(self.rate * LEVELS), LEVELS - 1)
        if not self.training or dropped == 0:
            return x
        rows, total = _SHARE.get() or (None, len(x))
        shape = (total, *x.shape[1:])
        if x.device.type != "cpu":
            return (
                dropout(x, self.rate, training=True)
                if rows is None
                else x * dropout(x.new_ones(shape), self.rate, training=True)[rows.to(x.device)]
            )
        levels, width = (LEVELS, torch.int16) if dropped % 256 else (256, torch.int8)
        dropped = dropped * levels // LEVELS
        n = math.prod(shape)
        units_per_draw = 8 // width.itemsize
        draws = torch.empty(-(-n // units_per_draw), dtype=torch.int64).random_(-(2**63), None)
        level = draws.view(width)[:n].view(shape)  # uniform on -levels / 2 .. levels / 2 - 1
        level = level if rows is None else level[rows]
        # in place the comparison gives 0 or 1 in the same integer type, which is vectorised; one to bool is not
        keep = level.ge_(dropped - levels // 2).to(x.dtype)
        return x * keep.mul_(levels / (levels - dropped))

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


Activation = Literal["relu", "leaky_relu", "gelu", "sigmoid", "tanh"]


def activation_module(name: Activation) -> nn.Module:
    """Return an activation of the paper's search (A.4) or of the released code; the leaky one has slope 0.2, as released."""
    return {
        "relu": nn.ReLU(),
        "leaky_relu": nn.LeakyReLU(0.2),
        "gelu": nn.GELU(),
        "sigmoid": nn.Sigmoid(),
        "tanh": nn.Tanh(),
    }[name]


class Ffn(nn.Module):
    """`ffn`, the feed-forward network of Space2Vec (paper A.4: one hidden layer of 512, dropout 0.5).

    A hidden layer is LayerNorm(dropout(act(W x + b)) [+ x where the widths agree]); the output layer is W x + b.

    Args:
        dim_in: width of the encoding.
        dim_out: width d of the embedding.
        hidden_layers: 0 or more.
        hidden: their width.
        activation: `relu`, `leaky_relu`, `gelu`, `sigmoid` or `tanh`.
        dropout: rate in [0, 1).
        layer_norm: whether hidden layers end in a LayerNorm.
        output_activation: whether the output layer has activation and dropout too.
        skip: whether a hidden layer adds its input where the widths agree.

    Note: the released code applies activation and dropout to the output layer, the paper does not say so;
    ``output_activation`` chooses.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        *,
        hidden_layers: int = 1,
        hidden: int = 512,
        activation: Activation = "leaky_relu",
        dropout: float = 0.5,
        layer_norm: bool = True,
        output_activation: bool = True,
        skip: bool = True,
    ) -> None:
        super().__init__()
        self.dim_in, self.dim_out = dim_in, dim_out
        widths = [dim_in, *[hidden] * hidden_layers]
        self.hidden_layers = nn.ModuleList(Linear(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) if layer_norm else nn.Identity() for _ in range(hidden_layers))
        self.output = Linear(widths[-1], dim_out)
        self.activation = activation_module(activation)
        self.dropout = Dropout(dropout)
        self.output_activation, self.skip = output_activation, skip
        for layer in (*self.hidden_layers, self.output):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Float[Tensor, "*batch dim_in"], repeated: int = 0) -> Float[Tensor, "*again dim_out"]:
        """Return embeddings; with ``repeated``, those of a further pass over so many first rows come before them."""
        for layer, norm in zip(self.hidden_layers, self.norms, strict=True):
            y = self.dropout(_again(self.activation(layer(x)), repeated))  # up to the activation the passes agree
            adds = self.skip and x.shape[-1] == y.shape[-1]
            x, repeated = norm(_again(x, repeated) + y if adds else y), 0
        x = self.output(_again(x, repeated))
        return self.dropout(self.activation(x)) if self.output_activation else x


def two_passes(network: nn.Module, x: Float[Tensor, "n dim_in"], repeated: int) -> Float[Tensor, "r_plus_n dim_out"]:
    """Return ``network(torch.cat((x[:repeated], x)))``; the passes share what precedes the first dropout mask."""
    out: Tensor = network(x, repeated) if isinstance(network, Ffn) else network(_again(x, repeated))
    return out


def _again(x: Tensor, repeated: int) -> Tensor:
    """Return the first rows, then all."""
    if not repeated:
        return x
    first, rest = x.split([repeated, len(x) - repeated])  # slices that overlap would have a dearer gradient
    return torch.cat((first, first, rest))


class Residual(nn.Module):
    """`residual`, the network of Mac Aodha et al. (2019): a linear layer, then four residual layers.

    x = relu(W x + b); then ``layers`` times x = x + relu(W2 dropout(relu(W1 x + b1)) + b2). Its width is the
    embedding's.
    """

    def __init__(self, dim_in: int, dim_out: int, *, layers: int = 4, dropout: float = 0.5) -> None:
        super().__init__()
        self.dim_in, self.dim_out = dim_in, dim_out
        self.input = nn.Sequential(Linear(dim_in, dim_out), nn.ReLU())
        self.layers = nn.ModuleList(
            nn.Sequential(Linear(dim_out, dim_out), nn.ReLU(), Dropout(dropout), Linear(dim_out, dim_out), nn.ReLU())
            for _ in range(layers)
        )

    def forward(self, x: Float[Tensor, "*batch dim_in"]) -> Float[Tensor, "*batch dim_out"]:
        x = self.input(x)
        for layer in self.layers:
            x = x + layer(x)
        return x


class Siren(nn.Module):
    """`siren` (Sitzmann et al. 2020): hidden layers with a sine, the network of SatCLIP.

    x = sin(w0 dropout(W x + b)) in the first hidden layer, x = sin(w0_hidden dropout(W x + b)) in the others; the output
    layer is W x + b. Weights and biases are uniform within 1 / n in the first layer, and within
    sqrt(6 / n) / w0_hidden in the others, n the width of a layer's input.

    Args:
        dim_in: width of the encoding.
        dim_out: width d of the embedding.
        hidden_layers: 1 or more.
        hidden: their width.
        w0: frequency of the first layer.
        w0_hidden: frequency of the other hidden layers: 1 in SatCLIP, 30 in the paper.
        dropout: rate in [0, 1), before the sine, as in SatCLIP.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        *,
        hidden_layers: int = 2,
        hidden: int = 256,
        w0: float = 30.0,
        w0_hidden: float = 1.0,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if hidden_layers < 1:
            raise ValueError(f"a siren has at least one hidden layer, not {hidden_layers}")
        self.dim_in, self.dim_out = dim_in, dim_out
        widths = [dim_in, *[hidden] * hidden_layers]
        self.hidden_layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.output = nn.Linear(hidden, dim_out)
        self.dropout = Dropout(dropout)
        self.w0, self.w0_hidden = w0, w0_hidden
        for k, layer in enumerate((*self.hidden_layers, self.output)):
            bound = math.sqrt(6 / hidden) / w0_hidden if k else 1 / dim_in
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.uniform_(layer.bias, -bound, bound)

    def forward(self, x: Float[Tensor, "*batch dim_in"]) -> Float[Tensor, "*batch dim_out"]:
        for k, layer in enumerate(self.hidden_layers):
            x = ((self.w0_hidden if k else self.w0) * self.dropout(layer(x))).sin()
        out: Tensor = self.output(x)
        return out


NETWORKS: dict[str, type[nn.Module]] = {"ffn": Ffn, "residual": Residual, "siren": Siren}
"""The names that `location_encoder.network.name` takes."""
