"""Time encodings: shares of the year to features that stand beside those of the position.

A time encoding is a module called on a tensor of any shape of shares of the year (see `data.dates`), of any float type; it
returns ``(..., dim)`` in float32. Where a share is nan there is no date, and all features are 0, which is their mean over the
year. They are the same for shares that differ by whole years.

| name        | keywords | dim | features                                                       |
|-------------|----------|-----|----------------------------------------------------------------|
| `cos_sin`   |          | 2   | cos 2 pi t, sin 2 pi t (Mac Aodha et al. 2019)                 |
| `harmonics` | orders   | 2 K | for each k = 1..K: cos 2 pi k t, sin 2 pi k t                  |
"""

import math

import torch
from torch import nn

from cspops.shapes import Float, Tensor


class Harmonics(nn.Module):
    """`harmonics`: cos 2 pi k t and sin 2 pi k t for each k = 1..``orders``. dim 2 orders."""

    def __init__(self, *, orders: int) -> None:
        super().__init__()
        if orders < 1:
            raise ValueError(f"there is at least one order, not {orders}")
        self.orders, self.dim = orders, 2 * orders

    def forward(self, when: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch dim"]:
        orders = torch.arange(1, self.orders + 1, dtype=torch.float64, device=when.device)
        phase = 2 * math.pi * when.double()[..., None] * orders
        return torch.stack((phase.cos(), phase.sin()), -1).flatten(-2).nan_to_num().float()


class CosSin(Harmonics):
    """`cos_sin` (Mac Aodha et al. 2019): cos 2 pi t and sin 2 pi t. dim 2."""

    def __init__(self) -> None:
        super().__init__(orders=1)


TIMES: dict[str, type[Harmonics]] = {"cos_sin": CosSin, "harmonics": Harmonics}
"""The names that `location_encoder.time` takes, beside `none`."""
