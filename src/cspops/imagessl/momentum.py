"""MoCo's momentum network and queue of keys (He et al. 2020), and batch norm that does not reveal which key is whose."""

import copy
from typing import TypeVar

import torch
from torch import nn

from cspops.losses.objectives import unit
from cspops.ranks import ALONE, Processes
from cspops.shapes import Float, Int, Tensor

M = TypeVar("M", bound=nn.Module)


def momentum_copy(network: M) -> M:
    """Return a copy that no gradient reaches: it stays as it is, or `follow` moves it."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def follow(copy_: nn.Module, network: nn.Module, momentum: float) -> None:
    """Set theta_k <- momentum theta_k + (1 - momentum) theta_q; batch-norm buffers follow their own data."""
    for own, its in zip(copy_.parameters(), network.parameters(), strict=True):
        own.lerp_(its, 1 - momentum)


class Queue(nn.Module):
    """The last so many keys, at first those given; the oldest is replaced first."""

    def __init__(self, first: Float[Tensor, "k d"]) -> None:
        super().__init__()
        self.register_buffer("keys", first)
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))
        self.keys: Tensor
        self.oldest: Tensor

    @classmethod
    def random(cls, size: int, dim: int, *, generator: torch.Generator) -> "Queue":
        """Return a queue of random unit vectors."""
        return cls(unit(torch.randn(size, dim, generator=generator)))

    def __len__(self) -> int:
        return len(self.keys)

    @torch.no_grad()
    def enqueue(self, keys: Float[Tensor, "n d"]) -> None:
        """Replace the oldest keys, around the end of the queue."""
        size = len(self.keys)
        newest = keys[-size:]
        first = self.oldest + len(keys) - len(newest)
        self.keys[(first + torch.arange(len(newest), device=keys.device)) % size] = newest
        self.oldest.copy_((self.oldest + len(keys)) % size)


def in_groups(network: nn.Module, x: Tensor, groups: int = 4) -> Tensor:
    """Run a network on parts of a batch, each with its own batch-norm statistics.

    With one batch for queries and keys, statistics would reveal which key is whose. MoCo shuffles over devices
    against it; here queries go in order and keys in a random one.
    """
    return torch.cat([network(part) for part in x.tensor_split(max(1, min(groups, len(x) // 2)))])


def own_groups(processes: Processes, n: int, groups: int) -> int:
    """Return how many of the ``groups`` of a batch of ``n`` rows this process runs, at least one."""
    return processes.own_parts(n) or max(1, groups // processes.size) if processes.shares(n) else groups


def shuffled(network: nn.Module, x: Tensor, groups: int, *, order: Int[Tensor, "n"], processes: Processes = ALONE) -> Tensor:
    """Run `in_groups` with the rows in another ``order``; the outputs are in that of the batch.

    Args:
        x: this process's rows; the outputs are all processes'.
        order: of the batch.
    """
    n = len(order)
    mine = order[processes.share(n)]
    outputs = processes.whole(in_groups(network, processes.whole(x, n)[mine], own_groups(processes, n, groups)), n)
    out = torch.empty_like(outputs)
    out[order] = outputs
    return out


def queue_size(most: int, images: int) -> int:
    """Return the length of the queue: at most half the images, as a longer one would hold old keys of the query's own image."""
    return max(1, min(most, images // 2))
