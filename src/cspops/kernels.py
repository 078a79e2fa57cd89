"""What makes a CPU fast at this project's work: the faster library's products, small tables, and memory that is kept.

torch has two libraries for float32 products.

`torch.nn.functional.linear` calls MKL, which runs AVX2 kernels on AMD processors, and slow ones in portable mode
(`cspops.numerics`); a 1 x 1 convolution calls oneDNN, which runs AVX-512 kernels wherever there are any: twice as fast on a
Zen 5 core, and in portable mode (``python -m benchmarks.training``). On Intel's processors MKL does, too, and remains. The
results agree to float32 rounding.

MKL computes square roots and arcsines, too, from approximations that differ between makers of processors: `sqrt` and
`asin` here have the same bits everywhere.
"""

import os
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from cspops import numerics
from cspops.shapes import Float, Int, Tensor

LEAST_WORK = 2**23
"""Multiplications (n i o) of a product for which the detour pays; below it costs more than it saves."""


def linear(
    x: Float[Tensor, "*batch i"], weight: Float[Tensor, "o i"], bias: Float[Tensor, "o"] | None = None
) -> Float[Tensor, "*batch o"]:
    """Return x weight^T + bias, as `torch.nn.functional.linear`."""
    if not _detour_pays(x, weight):
        return functional.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _Linear.apply(rows, weight, bias).view(*x.shape[:-1], len(weight))  # type: ignore[no-any-return]
    if 3 * len(rows) < min(weight.shape):
        # oneDNN rearranges its filters at each call; to transpose takes up to three times as long per number
        out = _convolved(weight, rows, None).T.contiguous()
        return (out if bias is None else out.add_(bias)).view(*x.shape[:-1], len(weight))
    return _convolved(rows, weight, bias).view(*x.shape[:-1], len(weight))


class _Linear(torch.autograd.Function):
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
            product(g, weight) if ctx.needs_input_grad[0] else None,
            product(g.T, x) if ctx.needs_input_grad[1] else None,
            g.sum(0) if ctx.has_bias else None,
        )


def product(a: Float[Tensor, "n i"], b: Float[Tensor, "i o"]) -> Float[Tensor, "n o"]:
    """Return a b, as `torch.mm`, from the operands as they lie in memory: to transpose one takes up to half the time."""
    if b.T.is_contiguous() or (torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)):
        return linear(a, b.T)
    if not _detour_pays(a, b):
        return torch.mm(a, b)
    # the transposed convolution takes its filters as (i, o), so that b or a^T is one without a copy
    if a.T.is_contiguous():
        channels_first = b.contiguous()[None, :, :, None]
        return functional.conv_transpose2d(channels_first, a.T[:, :, None, None], dilation=2)[0, :, :, 0]
    return _rows(functional.conv_transpose2d(_image(a), b.contiguous()[:, :, None, None], dilation=2))


def _convolved(x: Float[Tensor, "n i"], weight: Float[Tensor, "o i"], bias: Float[Tensor, "o"] | None) -> Float[Tensor, "n o"]:
    """Return x weight^T + bias by a convolution."""
    # dilated, which means nothing for a 1 x 1 filter: plain ones go to MKL when torch runs on one thread
    return _rows(functional.conv2d(_image(x), weight.contiguous()[:, :, None, None], bias, dilation=2))


def _image(x: Float[Tensor, "n i"]) -> Float[Tensor, "1 i n 1"]:
    """Return rows as an image in channels-last layout, as high as there are rows."""
    return x.contiguous()[None, :, None].permute(0, 3, 1, 2)


def _rows(image: Float[Tensor, "1 o n 1"]) -> Float[Tensor, "n o"]:
    """Return the rows of an image that `_image` made."""
    return image.permute(0, 2, 3, 1).reshape(image.shape[2], image.shape[1])


def _detour_pays(x: Tensor, other: Tensor) -> bool:
    """Return whether a product of float32 matrices is large enough, and on a CPU where oneDNN is the faster library."""
    work = x.numel() * (other.numel() // max(1, x.shape[-1]))
    return work >= LEAST_WORK and _float32_on_cpu(x) and _float32_on_cpu(other) and _onednn_is_faster()


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
    """Judge by the processor and nothing measured: the choice must be the same in every run on a machine."""
    if os.environ.get("MKL_CBWR") != "COMPATIBLE" and (
        torch.backends.cpu.get_cpu_capability() != "AVX512" or "Intel" in numerics.processor()
    ):
        return False
    available: bool = torch.backends.mkldnn.is_available()
    return available
