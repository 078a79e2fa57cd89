"""Encodings of positions as points on the unit sphere: seamless at the date line and at the poles."""

import math

import torch

from cspops.geo import unit_vectors
from cspops.kernels import sqrt
from cspops.models.encodings.base import Encoding, radians
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


class SphericalHarmonics(Encoding):
    """`spherical_harmonics` (Russwurm et al. 2024): Y_lm for all l up to ``degree``. dim (degree + 1)^2.

    Column l l + l + m holds Y_lm, l = 0..degree, m = -l..l; see :func:`spherical_harmonics`. Seamless everywhere.

    Args:
        degree: highest l; structures of about 180 / degree degrees are resolved.

    Note: SatCLIP's L counts degrees, l = 0..L-1, so that its L = 10 is degree 9 here. Its `analytic` columns are
    (-1)^l Y_lm (it evaluates at the antipode), those with m = 0 times pi; its `closed-form` columns are
    (-1)^(l + m) Y_lm, and overflow in float32 from degree 29 on.
    """

    def __init__(self, *, degree: int) -> None:
        super().__init__()
        self.degree = degree
        self.dim = (degree + 1) ** 2

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch dim"]:
        return spherical_harmonics(lonlat, self.degree).float()


def spherical_harmonics(lonlat: LonLat, degree: int) -> Float[Tensor, "*batch dim"]:
    """Return orthonormal real spherical harmonics of positions in degrees, in float64; column l l + l + m.

    With normalised Legendre functions P_lm without the Condon-Shortley phase, so that Y_11 is positive at 0 E 0 N::

        Y_lm = sqrt(2) P_lm(sin lat) cos(m lon)     m > 0
        Y_l0 = P_l0(sin lat)
        Y_lm = sqrt(2) P_l|m|(sin lat) sin(|m| lon)  m < 0

    The integral of Y_lm Y_l'm' over the unit sphere is 1 where both indices agree and 0 elsewhere.

    The standard forward column method (Holmes and Featherstone 2002): P_ll from P_(l-1)(l-1) times the cosine of the
    latitude, and P_lm = a_lm (sin(lat) P_(l-1)m - b_lm P_(l-2)m); nothing grows, where unnormalised functions overflow.
    """
    lam, phi = (angle[..., None] for angle in radians(lonlat))
    m = torch.arange(degree + 1, dtype=torch.float64, device=lonlat.device)
    cos, sin = math.sqrt(2) * (m * lam).cos(), math.sqrt(2) * (m * lam).sin()
    t, u = phi.sin(), phi.cos()
    two_before = torch.empty_like(t[..., :0])
    before = torch.full_like(t, math.sqrt(1 / (4 * math.pi)))
    columns = [before]
    for ell in range(1, degree + 1):
        k = m[: max(ell - 1, 0)]
        a = sqrt((4 * ell**2 - 1) / (ell**2 - k**2))
        b = sqrt(((ell - 1) ** 2 - k**2) / (4 * (ell - 1) ** 2 - 1))
        inner = a * (t * before[..., : ell - 1] - b * two_before)
        last = before[..., ell - 1 :]
        legendre = torch.cat((inner, math.sqrt(2 * ell + 1) * t * last, math.sqrt((2 * ell + 1) / (2 * ell)) * u * last), -1)
        west = (legendre * sin[..., : ell + 1])[..., 1:].flip(-1)
        east = (legendre * cos[..., : ell + 1])[..., 1:]
        columns += [west, legendre[..., :1], east]
        two_before, before = before, legendre
    return torch.cat(columns, -1)
