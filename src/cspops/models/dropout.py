"""Dropout with cheap masks."""

import torch
from torch import nn
from torch.nn.functional import dropout

from cspops.shapes import Float, Tensor

LEVELS = 2**16


class Dropout(nn.Module):
    """Dropout whose CPU mask is cheap: one 64-bit random number decides on four or eight units.

    torch draws one Bernoulli number a unit in a serial loop, which was half of a fine-tuning step. The rate is rounded
    to a multiple of 2^-16 and kept units are scaled by the inverse of the exact share kept; eight bits a unit are
    enough where the rate is a multiple of 2^-8. Randomness comes from torch's global generator, as in
    `torch.nn.Dropout`; other devices than the CPU use that.

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
        levels, width = (LEVELS, torch.int16) if dropped % 256 else (256, torch.int8)
        dropped = dropped * levels // LEVELS
        n = x.numel()
        a_draw = 8 // width.itemsize
        draws = torch.empty(-(-n // a_draw), dtype=torch.int64).random_(-(2**63), None)
        level = draws.view(width)[:n].view(x.shape)  # uniform on -levels / 2 .. levels / 2 - 1
        # in place the comparison answers 0 or 1 in the same integer type, which is vectorised; to bool it is not
        keep = level.ge_(dropped - levels // 2).to(x.dtype)
        return x * keep.mul_(levels / (levels - dropped))

    def extra_repr(self) -> str:
        return f"rate={self.rate}"
