"""Time a piece of work in turn with a plain way to the same numbers, and with the matrix products that both need.

The products alone, each in the way that is fastest on this machine, bound what any code can do.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import conv2d

from cspops.shapes import Tensor

LONG, PIECE = 4096, 512


@dataclass(frozen=True)
class Run:
    """A piece of work and the number of pairs that it processes."""

    do: Callable[[], object]
    pairs: int


@dataclass(frozen=True)
class Case:
    """Two ways to the same numbers, and the products that both need."""

    name: str
    ours: Run
    plain: Run
    products: list["Product"]
    """The matrix products of ``product_pairs`` pairs in ours."""
    product_pairs: int


@dataclass(frozen=True)
class Product:
    """(n, i) by (i, o), and with ``times`` of 3 the two products of its gradients, of 2 that of the weights alone."""

    n: int
    i: int
    o: int
    times: int = 3

    @property
    def parts(self) -> list[tuple[int, int, int]]:
        """(rows, inner, columns) of the product, of its gradient by the weights, and of that by the input."""
        return [(self.n, self.i, self.o), (self.i, self.n, self.o), (self.n, self.o, self.i)][: self.times]


def alone(products: list[Product], device: torch.device) -> Callable[[], None]:
    """Return a function that computes the products alone, each in the way that is fastest here."""
    return in_turn([fastest(*part, device) for product in products for part in product.parts])


def fastest(n: int, i: int, o: int, device: torch.device) -> Callable[[], object]:
    """Return the fastest way to multiply (n, i) by (i, o), whole or in pieces of 512 rows or columns, which fit the caches."""
    a, b = torch.randn(n, i, device=device), torch.randn(i, o, device=device)
    layouts = [[(a, b)]]
    if n > LONG:
        layouts.append([(piece, b) for piece in a.split(PIECE)])
    if i > LONG:
        layouts.append([(x.contiguous(), y) for x, y in zip(a.split(PIECE, 1), b.split(PIECE), strict=True)])
    if o > LONG:
        layouts.append([(a, piece.contiguous()) for piece in b.split(PIECE, 1)])
    ways = [by_mm, by_convolution, by_linear_pointwise] if device.type == "cpu" else [by_mm]
    calls = [in_turn([way(*operands) for operands in pieces]) for way in ways for pieces in layouts]
    return min(calls, key=lambda call: min(seconds(call, device)[1] for _ in range(5)))


def in_turn(calls: list[Callable[[], object]]) -> Callable[[], None]:
    def do() -> None:
        for call in calls:
            call()

    return do


def by_mm(a: Tensor, b: Tensor) -> Callable[[], object]:
    return lambda: torch.mm(a, b)


def by_convolution(a: Tensor, b: Tensor) -> Callable[[], object]:
    image, weight = a[None, :, None].permute(0, 3, 1, 2), b.T.contiguous()[:, :, None, None]
    return lambda: conv2d(image, weight, dilation=2)


def by_linear_pointwise(a: Tensor, b: Tensor) -> Callable[[], object]:
    """Use the private operator that compiled graphs call; for the bound only."""
    weight, operator = b.T.contiguous(), torch.ops.mkldnn._linear_pointwise
    return lambda: operator(a, weight, None, "none", [], "")


def seconds(call: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Return wall and process-CPU seconds of a call."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - wall, time.process_time() - cpu


WAYS = ("ours", "plain", "bound")


@dataclass(frozen=True)
class Timing:
    """Pairs per second of each way, one value per repeat."""

    wall: dict[str, list[float]]
    cpu: dict[str, list[float]]

    def ratio(self, one: str, other: str) -> float:
        """Return the median over the repeats of how many times as fast by CPU time ``one`` is."""
        return statistics.median(a / b for a, b in zip(self.cpu[one], self.cpu[other], strict=True))


def measure(case: Case, repeats: int, device: torch.device) -> Timing:
    """Time the three ways in turn; on a GPU, where CPU time means nothing, wall time stands for both."""
    timing = Timing({way: [] for way in WAYS}, {way: [] for way in WAYS})
    runs = {"ours": case.ours, "plain": case.plain, "bound": Run(alone(case.products, device), case.product_pairs)}
    for run in runs.values():
        run.do()
    for _ in range(repeats):
        for way, run in runs.items():
            wall, cpu = seconds(run.do, device)
            timing.wall[way].append(run.pairs / wall)
            timing.cpu[way].append(run.pairs / (cpu if device.type == "cpu" else wall))
    return timing
