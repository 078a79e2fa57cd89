"""What the training loops iterate over: whole sets in memory, batches as row numbers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from cspops.data.sharded_rows import ShardedRows
from cspops.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class Unlabelled:
    """Pairs for pre-training. There is no field for a label, so that none can leak in."""

    lonlat: Float[Tensor, "n 2"]
    image_features: Float[Tensor, "n k"] | ShardedRows
    when: Float[Tensor, "n"] | None = None
    """Shares of the year, see `dates`; nan for a row without a date, None where no row has one."""


@dataclass(frozen=True)
class Labelled:
    """Positions with their class for fine-tuning."""

    lonlat: Float[Tensor, "n 2"]
    label: Int[Tensor, "n"]
    classes: int
    """How many there are, with a row here or without: labels lie below it."""
    when: Float[Tensor, "n"] | None = None
    """As of `Unlabelled`."""

    def with_and_without_dates(self) -> "Labelled":
        """Return each row twice, the second time without its date; the rows as they are where none has one."""
        if self.when is None or self.when.isnan().all():
            return self
        when = torch.cat((self.when, torch.full_like(self.when, torch.nan)))
        return Labelled(self.lonlat.repeat(2, 1), self.label.repeat(2), self.classes, when)


Order = Callable[[torch.Generator], Int[Tensor, "n"]]
"""A function that draws the order in which an epoch visits its rows."""


def epoch_of_rows(
    n: int, batch_size: int, *, generator: torch.Generator, order: Order | None = None
) -> Iterator[Int[Tensor, "b"]]:
    """Yield the row numbers of one epoch in random order, ``batch_size`` at a time; a last batch of one row is dropped.

    (In-batch negatives need two rows.) Any order is as likely as any other, unless ``order`` draws it.
    """
    drawn = order(generator) if order else torch.randperm(n, generator=generator, device=generator.device)
    for rows in drawn.split(batch_size):
        if len(rows) > 1 or n == 1:
            yield rows
