"""Encodings of the point in space that a position is on the unit sphere: seamless at the date line and at the poles."""

import math

import torch

from cspops.geo import unit_vectors
from cspops.models.encodings.base import Encoding
from cspops.shapes import Float, LonLat, Tensor


class Xyz(Encoding):
    """`xyz`: the unit vector. dim 3.

    [cos(phi) cos(lambda), cos(phi) sin(lambda), sin(phi)], lambda and phi in radians.

    Note: the released code's `encode_3D` doubles the latitude and leaves the sphere; this is the textbook's.
    """

    dim = 3

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch 3"]:
        return unit_vectors(lonlat.double()).float()


class Nerf(Encoding):
    """`nerf` (Mildenhall et al. 2020, Eq. 4): sin and cos of the unit vector at scales that double. dim 6 s.

    For c in (x, y, z), for k in 0..s-1: sin(2^k pi c); then the same with cos.

    Args:
        scales: s; the finest wavelength is 2^(2 - s) radii of the Earth.

    Note: TorchSpatial ignores its setting and has always s = 16.
    """

    def __init__(self, *, scales: int) -> None:
        super().__init__()
        self.dim = 6 * scales
        self.register_buffer("frequency", math.pi * 2 ** torch.arange(scales, dtype=torch.float64), persistent=False)
        self.frequency: Tensor

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch dim"]:
        phase = (unit_vectors(lonlat.double())[..., None] * self.frequency).flatten(-2)
        return torch.cat((phase.sin(), phase.cos()), -1).float()
