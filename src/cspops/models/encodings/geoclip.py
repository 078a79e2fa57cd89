"""GeoCLIP's encoding: random Fourier features of the equal earth projection, at several scales side by side."""

import math
from collections.abc import Sequence

import torch

from cspops.models.encodings.base import Encoding, radians
from cspops.shapes import Float, LonLat, Tensor

POLYNOMIAL = (1.340264, -0.081106, 0.000893, 0.003796)
"""A1 to A4 of the equal earth projection (Savric, Patterson and Jenny 2018)."""

EAST = 66.50336 / 180
"""GeoCLIP's factor, which brings 180 E on the equator to x = 1."""


class EqualEarthRff(Encoding):
    """`equal_earth_rff` (GeoCLIP, Vivanco Cepeda et al. 2023). dim 2 s for each scale.

    For each sigma: [cos(2 pi B p), sin(2 pi B p)], p the projected position and B (s, 2) normal with mean 0 and
    standard deviation sigma; buffer ``frequency`` (scales, s, 2). Each scale is a part of its own: it gets its own
    network, and their outputs are summed. Not periodic at the date line.

    Args:
        features: s, rows of B.
        sigmas: one a scale; published: 1, 16, 256.
    """

    def __init__(self, *, features: int, sigmas: Sequence[float]) -> None:
        super().__init__()
        self.dim = 2 * features * len(sigmas)
        scale = torch.tensor(list(sigmas), dtype=torch.float64)[:, None, None]
        self.register_buffer("frequency", scale * torch.randn(len(sigmas), features, 2, dtype=torch.float64))
        self.frequency: Tensor

    @property
    def widths(self) -> tuple[int, ...]:
        parts, features, _ = self.frequency.shape
        return (2 * features,) * parts

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch dim"]:
        x, y = equal_earth(lonlat)[..., None, None, :].unbind(-1)
        phase = 2 * math.pi * (x * self.frequency[..., 0] + y * self.frequency[..., 1])
        return torch.cat((phase.cos(), phase.sin()), -1).flatten(-2).float()


def equal_earth(lonlat: LonLat) -> LonLat:
    """The equal earth projection of positions in degrees, in float64; x lies in [-1, 1] and y in [-0.49, 0.49].

    sin(theta) = sqrt(3) / 2 sin(lat); y = A4 theta^9 + A3 theta^7 + A2 theta^3 + A1 theta;
    x = 2 sqrt(3) lambda cos(theta) / (3 dy/dtheta); both times 66.50336 / 180.
    """
    lam, phi = radians(lonlat)
    a1, a2, a3, a4 = POLYNOMIAL
    theta = torch.asin(math.sqrt(3) / 2 * phi.sin())
    slope = 9 * a4 * theta**8 + 7 * a3 * theta**6 + 3 * a2 * theta**2 + a1
    x = 2 * math.sqrt(3) * lam * theta.cos() / (3 * slope)
    y = a4 * theta**9 + a3 * theta**7 + a2 * theta**3 + a1 * theta
    return EAST * torch.stack((x, y), -1)
