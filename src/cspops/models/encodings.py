"""Position encodings: positions in degrees to features, without learned parameters.

Every encoding is a module called on a tensor ``(..., 2)`` of degrees, longitude first, of any float type and on any
device; it answers ``(..., dim)`` in float32. Phases are computed in float64, where float32 would lose the fine scales
(10 m are 1e-4 degrees; a float32 near 180 is good to 1.5e-5). The caller's tensor is never modified and gradients flow.

    >>> from cspops.models.encodings import ENCODINGS
    >>> ENCODINGS["grid"](scales=32, r_min=0.01, r_max=360.0)(torch.tensor([[8.5, 47.4]])).shape
    torch.Size([1, 128])
"""

import math

import torch
from torch import nn

from cspops.shapes import Float, LonLat, Tensor


class Wrap(nn.Module):
    """`wrap` (Mac Aodha et al. 2019): sin and cos of longitude and of twice the latitude. dim 4.

    [sin(pi lon/180), sin(pi lat/90), cos(pi lon/180), cos(pi lat/90)].

    Note: as published, the latitude's angle is doubled, so that both poles have the same code.
    """

    dim = 4

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch 4"]:
        angle = lonlat.double() * (math.pi / torch.tensor([180.0, 90.0], dtype=torch.float64, device=lonlat.device))
        return torch.cat((angle.sin(), angle.cos()), -1).float()


class Grid(nn.Module):
    """`grid` (Space2Vec, Mai et al. 2020): sin and cos of each coordinate at geometric scales. dim 4 s.

    For c in (lon, lat), for k in 0..s-1: sin(c / r_k), cos(c / r_k), with r_k = r_min (r_max / r_min)^(k / (s - 1)).

    Args:
        scales: s, at least 1.
        r_min: finest scale, degrees; the finest wavelength is 2 pi r_min.
        r_max: coarsest scale, degrees.

    Note: as published, degrees enter the sine without a conversion to radians; the code is not periodic at the
    date line.
    """

    def __init__(self, *, scales: int, r_min: float, r_max: float) -> None:
        super().__init__()
        self.dim = 4 * scales
        self.register_buffer("frequency", geometric_frequencies(scales, r_min, r_max), persistent=False)
        self.frequency: Tensor

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch dim"]:
        phase = lonlat.double()[..., None] * self.frequency
        return torch.stack((phase.sin(), phase.cos()), -1).flatten(-3).float()

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        """Move to a device, but keep the frequencies in float64 when the module is cast."""
        kept = self.frequency
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.frequency = kept.to(self.frequency.device)
        return self


def geometric_frequencies(scales: int, r_min: float, r_max: float) -> Float[Tensor, "s"]:
    """1 / r_k for the geometric scales r_min .. r_max, finest first, in float64."""
    exponent = torch.arange(scales, dtype=torch.float64) / max(scales - 1, 1)
    return 1 / (r_min * (r_max / r_min) ** exponent)


ENCODINGS: dict[str, type[nn.Module]] = {"wrap": Wrap, "grid": Grid}
"""The names that `location_encoder.encoding.name` takes."""
