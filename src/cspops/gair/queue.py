"""The queue of GAIR's negative places: raw coordinates, which the location encoder of the moment embeds at every step."""

from typing import Literal

import torch
from torch.nn.functional import normalize

from cspops.imagessl.momentum import Queue
from cspops.shapes import Bool, Float, LonLat, Tensor

Start = Literal["training", "as_released"]


class CoordinateQueue(Queue):
    """The last ``size`` coordinates, first in, first out; `enqueue` comes after the loss.

    State dict: ``keys`` (size, 2), float64 degrees, longitude first; ``oldest``, the row that is replaced next.

    Args:
        size: at least 1.
        training: coordinates to draw the first ones from, with replacement where they are fewer than ``size``.
        start: `training`, or `as_released`: columns of normal noise of length 1, so that all lie near (0, 0).
        generator: of the draw.
    """

    def __init__(
        self, size: int, training: Float[Tensor, "n 2"], *, start: Start = "training", generator: torch.Generator
    ) -> None:
        if start == "training":
            n = len(training)
            rows = torch.randperm(n, generator=generator) if n >= size else torch.randint(n, (size,), generator=generator)
            super().__init__(training.double()[rows[:size]])
        else:
            noise = torch.randn(2, size, generator=generator, dtype=torch.float64)
            super().__init__(normalize(noise, dim=0).T.contiguous())

    def at(self, lonlat: LonLat) -> Bool[Tensor, "n k"]:
        """Return which entries are each row's own coordinates, and so no negatives for it."""
        return (lonlat[:, None] == self.keys).all(-1)
