"""Image features of training rows that lie in several shards: never in memory as a whole, and read once per epoch."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from cspops.data.features import Features
from cspops.shapes import Float, Int, Tensor

MIXED = 4
"""Shards whose rows an epoch mixes; so many are in memory, at float16."""
ROWS_AT_ONCE = 4096


class ShardedRows:
    """Rows of `Features`, numbered from 0, as a float32 matrix (m, k) that is read as it is used.

    An epoch in the order of `order` reads each shard once: shards come in random order, and the rows of `MIXED` at a time are
    shuffled together.
    """

    def __init__(self, features: Features, rows: np.ndarray) -> None:
        """Take increasing numbers of rows of ``features``."""
        self.device = torch.device("cpu")
        self.shape = (len(rows), features.width)
        self._features, self._rows = features, rows
        borders = np.searchsorted(rows, np.arange(len(features.shards) + 1) * features.rows_per_shard)
        self._borders = np.unique(borders)  # without shards of no row
        self._held: OrderedDict[int, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return self.shape[0]

    def to(self, device: torch.device) -> "ShardedRows":
        """Return the same rows for use on a device."""
        there = copy.copy(self)
        there.device, there._held = device, OrderedDict()
        return there

    def __getitem__(self, rows: Int[Tensor, "b"]) -> Float[Tensor, "b k"]:
        """Return rows on the device; their shards are kept in memory until `MIXED` others are."""
        asked = rows.cpu().numpy()
        part_of = np.searchsorted(self._borders, asked, side="right") - 1
        parts, first = np.unique(part_of, return_index=True)
        out = np.empty((len(asked), self.shape[1]), self._features.shards[0].dtype)
        for part in sorted(parts[np.argsort(first)].tolist(), key=lambda part: part not in self._held):
            here = np.flatnonzero(part_of == part)
            out[here] = self._part(part)[asked[here] - self._borders[part]]
        return torch.from_numpy(out).to(self.device).float()

    def order(self, generator: torch.Generator) -> Int[Tensor, "m"]:
        """Return the rows of an epoch: all of them, on the generator's device."""

        def shuffled(n: int) -> Tensor:
            return torch.randperm(n, generator=generator, device=generator.device)

        mixed = []
        for parts in shuffled(len(self._borders) - 1).split(MIXED):
            rows = torch.cat([torch.arange(*self._span(part), device=generator.device) for part in parts.tolist()])
            mixed.append(rows[shuffled(len(rows))])
        return torch.cat(mixed)

    @cached_property
    def mean_and_sd(self) -> tuple[Float[Tensor, "k"], Float[Tensor, "k"]]:
        """The mean and standard deviation (of the population) of each feature, summed in float64 in one pass."""
        n, mean, squares = 0, np.zeros(self.shape[1]), np.zeros(self.shape[1])
        for block in self._blocks():
            own = block.mean(0)
            gap, both = own - mean, n + len(block)
            squares += ((block - own) ** 2).sum(0) + gap**2 * (n * len(block) / both)
            mean += gap * (len(block) / both)
            n = both
        return torch.from_numpy(mean).float(), torch.from_numpy(np.sqrt(squares / n)).float()

    def fitted(self) -> "ShardedRows":
        """Compute the statistics now, for all copies of these rows, those in forked processes included."""
        _ = self.mean_and_sd
        return self

    def _blocks(self) -> Iterator[np.ndarray]:
        """Yield all rows in order, some at a time, in float64."""
        for start in range(0, len(self), ROWS_AT_ONCE):
            yield self._features[self._rows[start : start + ROWS_AT_ONCE]].astype(np.float64)

    def _part(self, part: int) -> np.ndarray:
        """Return the rows in a shard, and keep them; the shard unused for longest goes."""
        if part not in self._held:
            if len(self._held) == MIXED:
                self._held.popitem(last=False)
            rows = self._rows[slice(*self._span(part))]
            number = int(rows[0]) // self._features.rows_per_shard
            self._held[part] = self._features.shards[number][rows - number * self._features.rows_per_shard]
        self._held.move_to_end(part)
        return self._held[part]

    def _span(self, part: int) -> tuple[int, int]:
        return int(self._borders[part]), int(self._borders[part + 1])


@dataclass(frozen=True)
class Computed:
    """A function of rows that are too many to keep."""

    rows: Tensor | ShardedRows
    function: Callable[[Tensor], Tensor]

    def __getitem__(self, rows: Int[Tensor, "b"]) -> Tensor:
        return self.function(self.rows[rows])


Rows = Tensor | Computed
"""Gives the rows that are asked for."""
