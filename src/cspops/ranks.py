"""Processes that train together: what each of them takes of a batch, and what they tell one another.

Every process draws the same batches from the same streams, and takes its share of the rows. Losses that compare rows see
all of them (`Processes.whole`), gradients are averaged, and so the numbers of processes changes no result but for rounding.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.autograd.function import once_differentiable

from cspops.shapes import Float, Tensor


@dataclass(frozen=True)
class Processes:
    """This process, number ``rank`` of ``size``; with more than one, torch's process group has been initialised."""

    rank: int = 0
    size: int = 1
    per_node: int = 0
    """How many of them are on each machine; 0: all."""
    parts: int = 0
    """Where a batch is cut into so many parts, as many for each process, a share is of whole parts; 0: of rows."""

    @property
    def first(self) -> bool:
        """Whether this process writes what all have in common."""
        return self.rank == 0

    @property
    def first_of_node(self) -> bool:
        """Whether this process prepares what those on its machine have in common."""
        return self.rank % (self.per_node or self.size) == 0

    def share(self, n: int) -> slice:
        """Return this process's rows of a batch of ``n``: all of them where there are not two for each process.

        Batch norm needs two rows.
        """
        if not self.shares(n):
            return slice(0, n)
        each = max(1, self.own_parts(n))
        least, more = divmod(n, each * self.size)
        first, last = (number * least + min(number, more) for number in (self.rank * each, (self.rank + 1) * each))
        return slice(first, last)

    def own_parts(self, n: int) -> int:
        """Return how many of the parts are this process's: 0 where a batch of ``n`` rows has not as many for each process.

        A part has two rows at least.
        """
        parts = min(self.parts, n // 2)
        return 0 if parts % self.size else parts // self.size

    def shares(self, n: int) -> bool:
        """Return whether each process has rows of its own in a batch of ``n``."""
        return self.size > 1 and n >= 2 * self.size

    def weight(self, n: int) -> float:
        """Return the factor by which means over shares of ``n`` rows average to the mean over the rows."""
        share = self.share(n)
        return (share.stop - share.start) * self.size / n if self.shares(n) else 1.0

    def weighted(self, parts: dict[str, Tensor], n: int) -> dict[str, Tensor]:
        """Return parts of a loss, means over this process's share of ``n`` rows, so that they average to the means over all."""
        weight = self.weight(n)
        return parts if weight == 1 else {key: value * weight for key, value in parts.items()}

    def whole(self, share: Float[Tensor, "b *d"], n: int) -> Float[Tensor, "n *d"]:
        """Return the rows of all processes, of which ``share`` are this one's. Gradients go back to where rows came from."""
        if not self.shares(n):
            return share
        out: Tensor = _Whole.apply(share, self, n)
        return out

    def others(self, n: int) -> "partial[Tensor]":
        """Return `whole` for batches of ``n`` rows."""
        return partial(self.whole, n=n)

    def mean(self, tensor: Tensor) -> Tensor:
        """Average a tensor over the processes, with the same bits in each."""
        if self.size == 1:
            return tensor
        out = tensor.clone()
        dist.all_reduce(out)
        return out / self.size

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        """Average tensors over the processes, in place, those of a type by one message."""
        if self.size == 1:
            return
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            own = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.reshape(-1) for tensor in own])
            dist.all_reduce(flat)
            flat /= self.size
            for tensor, mean in zip(own, flat.split([tensor.numel() for tensor in own]), strict=True):
                tensor.copy_(mean.view_as(tensor))

    @torch.no_grad()
    def agree(self, module: nn.Module, *, buffers_alone: bool = True) -> None:
        """Copy the first process's buffers to the others (they have batch-norm statistics of their own), or all that it has."""
        if self.size > 1:
            for tensor in (*module.buffers(), *(() if buffers_alone else module.parameters())):
                same = tensor.contiguous()
                dist.broadcast(same, 0)
                if same is not tensor:
                    tensor.copy_(same)

    def told(self, message: bytes | None) -> bytes | None:
        """Return the first process's message in every process."""
        if self.size == 1:
            return message
        length = torch.tensor(-1 if message is None else len(message))
        dist.broadcast(length, 0)
        if length < 0:
            return None
        text = torch.zeros(int(length), dtype=torch.uint8)
        if self.first and message:
            text.copy_(torch.frombuffer(bytearray(message), dtype=torch.uint8))
        dist.broadcast(text, 0)
        return text.numpy().tobytes()

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            dist.all_reduce(torch.zeros(1))

    @contextmanager
    def first_of_each_node(self) -> Iterator[None]:
        """Let the first process of each machine through the block; the others follow when all of these have left it."""
        if not self.first_of_node:
            self.wait()
        yield
        if self.first_of_node:
            self.wait()


class _Whole(torch.autograd.Function):
    """The rows of all processes; the gradient of a row is the sum of what all processes send back."""

    @staticmethod
    def forward(ctx: Any, share: Tensor, processes: Processes, n: int) -> Tensor:
        ctx.processes, ctx.n = processes, n
        shares = [replace(processes, rank=rank).share(n) for rank in range(processes.size)]
        most = max(own.stop - own.start for own in shares)  # messages are of one size
        own = share.new_zeros(most, *share.shape[1:])
        own[: len(share)] = share
        all_ = share.new_empty(processes.size * most, *share.shape[1:])
        dist.all_gather_into_tensor(all_, own)
        if n == len(all_):
            return all_
        return torch.cat([part[: own.stop - own.start] for part, own in zip(all_.split(most), shares, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.processes.share(ctx.n)], None, None


ALONE = Processes()
