"""What makes a CPU fast at this project's work: the faster library's products, small tables, and memory that is kept.

torch has two libraries for float32 products.

`torch.nn.functional.linear` calls MKL, which runs AVX2 kernels on AMD processors, and slow ones in portable mode
(`cspops.numerics`); a 1 x 1 convolution calls oneDNN, which runs AVX-512 kernels wherever there are any: twice as fast on a
Zen 5 core (``python -m benchmarks.training``). The results agree to float32 rounding.

MKL computes square roots and arcsines, too, from approximations that differ between makers of processors: `sqrt` and
`asin` here have the same bits everywhere.
"""

import os
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from cspops.shapes import Float, Int, Tensor

LEAST_WORK = 2**23
"""Multiplications (n i o) of a product for which the detour pays; below it costs more than it saves."""


def linear(
    x: Float[Tensor, "*batch i"], weight: Float[Tensor, "o i"], bias: Float[Tensor, "o"] | None = None
) -> Float[Tensor, "*batch o"]:
    """Return x weight^T + bias, as `torch.nn.functional.linear`."""
    work = x.numel() * len(weight)
    if work < LEAST_WORK or not (_float32_on_cpu(x) and _float32_on_cpu(weight) and _onednn_is_faster()):
        return functional.linear(x, weight, bias)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _Product.apply(x.reshape(-1, x.shape[-1]), weight, bias).view(*x.shape[:-1], len(weight))  # type: ignore[no-any-return]
    return _convolved(x.reshape(-1, x.shape[-1]), weight, bias).view(*x.shape[:-1], len(weight))


class _Product(torch.autograd.Function):
    """x weight^T + bias, whose gradients are products by oneDNN, too: its own of a convolution take twice the time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return _convolved(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (g,), (x, weight) = gradients, ctx.saved_tensors
        return (
            _convolved(g, weight.T, None) if ctx.needs_input_grad[0] else None,
            _convolved(g.T, x.T, None) if ctx.needs_input_grad[1] else None,
            g.sum(0) if ctx.has_bias else None,
        )


def _convolved(x: Float[Tensor, "n i"], weight: Float[Tensor, "o i"], bias: Float[Tensor, "o"] | None) -> Float[Tensor, "n o"]:
    """Return x weight^T + bias by a convolution."""
    image = x.contiguous()[None, :, None].permute(0, 3, 1, 2)  # one in channels-last layout, as high as there are rows
    # dilated, which means nothing for a 1 x 1 filter: plain ones go to MKL when torch runs on one thread
    return (
        functional.conv2d(image, weight.contiguous()[:, :, None, None], bias, dilation=2)
        .permute(0, 2, 3, 1)
        .reshape(len(x), len(weight))
    )


def product(a: Float[Tensor, "n i"], b: Float[Tensor, "i o"]) -> Float[Tensor, "n o"]:
    """Return a b, as `torch.mm`."""
    return linear(a, b.T)


class Linear(nn.Linear):
    """`torch.nn.Linear`, computed by `linear`."""

    def forward(self, input: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch o"]:
        return linear(input, self.weight, self.bias)


def sqrt(x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Return the square root of numbers from 0 on, with the same bits on every processor; the gradient at 0 is 0."""
    return x * torch.rsqrt(x.clamp_min(torch.finfo(x.dtype).tiny))


def asin(x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Return the arcsine, with the same bits on every processor."""
    return torch.atan2(x, sqrt((1 - x) * (1 + x)))


def keep_freed_memory() -> None:
    """Let the C library keep freed blocks instead of handing them back to the system, to fault in again at every step.

    glibc raises its thresholds for that by the size of the largest block freed, up to 32 MiB (mallopt(3)); a step that
    only ever frees smaller ones pays for page faults. Elsewhere this does nothing.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8)


def _float32_on_cpu(x: Tensor) -> bool:
    return x.dtype == torch.float32 and x.device.type == "cpu"


TABLE = 2**20
"""Numbers of a table of rows and classes: 8 MB in float64."""


def row_blocks(rows: Int[Tensor, "n"], classes: int) -> list[Int[Tensor, "b"]]:
    """Split ``rows`` in parts of at most ``TABLE // classes``, in order; none where there is no row."""
    return [part for part in rows.split(max(1, TABLE // classes)) if len(part)]


CACHE = 2**17
"""Numbers of a table that are worked on at once where each takes many passes: 1 MB in float64 stays in the cache."""


def slices(n: int, classes: int) -> list[slice]:
    """Split n rows in parts of at most ``CACHE // classes``, in order."""
    size = max(1, CACHE // classes)
    return [slice(start, min(n, start + size)) for start in range(0, n, size)]


@cache
def _onednn_is_faster() -> bool:
    """Judge by the instruction set and nothing measured: the choice must be the same in every run on a machine."""
    return torch.backends.mkldnn.is_available() and (
        torch.backends.cpu.get_cpu_capability() == "AVX512" or os.environ.get("MKL_CBWR") == "COMPATIBLE"
    )
