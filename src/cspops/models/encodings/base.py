"""The base class of position encodings, and what their formulas share."""

import torch
from torch import nn

from cspops.shapes import Float, LonLat, Tensor


class Encoding(nn.Module):
    """A map from positions in degrees, longitude first, to ``dim`` features in float32.

    Its buffers (frequencies, anchors) stay float64 when the module is cast, and move with it.
    """

    dim: int
    """Width of the output."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of the parts of the output, mostly one: each gets a network of its own, and their outputs are summed."""
        return (self.dim,)

    @property
    def learnable(self) -> bool:
        """Whether training changes the encoding, so that it cannot be computed once for a training set."""
        return any(True for _ in self.parameters())

    def fit(self, lonlat: Float[Tensor, "n 2"], generator: torch.Generator) -> None:
        """Take what the encoding needs from the training positions; most need nothing."""

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        # Module.half() and the like end here: a frequency rounded to float32 would move the fine scales
        kept = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in kept.items():
            moved = self.get_buffer(name)
            if moved.dtype != buffer.dtype:
                setattr(self, name, buffer.to(moved.device))
        return self


def radians(lonlat: LonLat) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Return lambda and phi: longitude and latitude in radians, in float64."""
    lon, lat = torch.deg2rad(lonlat.double()).unbind(-1)
    return lon, lat


def geometric_frequencies(scales: int, r_min: float, r_max: float) -> Float[Tensor, "s"]:
    """Return 1 / r_k for the geometric scales r_min .. r_max, finest first, in float64."""
    exponent = torch.arange(scales, dtype=torch.float64) / max(scales - 1, 1)
    return 1 / (r_min * (r_max / r_min) ** exponent)
