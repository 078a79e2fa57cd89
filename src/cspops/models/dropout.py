"""Dropout with cheap masks."""

import torch
from torch import nn
from torch.nn.functional import dropout

from cspops.shapes import Float, Tensor

LEVELS = 2**16


class Dropout(nn.Module):
    """Dropout whose CPU mask costs a ninth of torch's: one 64-bit random number decides on four units.

    torch draws one Bernoulli number a unit in a serial loop, which was half of a fine-tuning step. The rate is rounded
    to a multiple of 2^-16 and kept units are scaled by the inverse of the exact share kept. Randomness comes from
    torch's global generator, as in `torch.nn.Dropout`; other devices than the CPU use that.

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
        if x.device.type != "cpu":
            return dropout(x, self.rate, training=True)
        n = x.numel()
        draws = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None)
        levels = draws.view(torch.int16)[:n].view(x.shape)  # uniform on -2^15 .. 2^15 - 1
        keep = (levels >= dropped - LEVELS // 2).to(x.dtype)
        return x * keep.mul_(LEVELS / (LEVELS - dropped))

    def extra_repr(self) -> str:
        return f"rate={self.rate}"
