"""GeoCLIP's encoding: random Fourier features of the equal earth projection, at several scales side by side."""

import math
from collections.abc import Sequence

import torch

from cspops.geo import equal_earth
from cspops.models.encodings.base import Encoding
from cspops.shapes import Float, LonLat, Tensor

EAST = 66.50336 / 180
"""GeoCLIP's factor, which brings 180 E on the equator to x = 1."""


class EqualEarthRff(Encoding):
    """`equal_earth_rff` (GeoCLIP, Vivanco Cepeda et al. 2023). dim 2 s for each scale.

    For each sigma: [cos(2 pi B p), sin(2 pi B p)], p the projected position times `EAST`, so that x lies in
    [-1, 1] and y in [-0.49, 0.49], and B (s, 2) normal with mean 0 and standard deviation sigma; buffer ``frequency``
    (scales, s, 2). Each scale is a part of its own: it gets its own network, and their outputs are summed. Not periodic at
    the date line.

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
        x, y = (EAST * equal_earth(lonlat))[..., None, None, :].unbind(-1)
        phase = 2 * math.pi * (x * self.frequency[..., 0] + y * self.frequency[..., 1])
        return torch.cat((phase.cos(), phase.sin()), -1).flatten(-2).float()
