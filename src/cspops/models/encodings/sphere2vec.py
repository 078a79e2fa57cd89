"""The Sphere2Vec family (Mai et al. 2023): sines and cosines of angles on the sphere at geometric scales.

With lambda and phi the longitude and latitude in radians, an encoding is made of their sines and cosines and of those of
lambda f_k and phi f_k, f_k = 1 / r_k, r_k = r_min (r_max / r_min)^(k / (s - 1)), k = 0..s-1. The r_k have no unit:
sin(lambda f_k) has the wavelength 360 r_k degrees. Published: r_max 1, where f_k is 1.

Only the terms whose longitude has the frequency 1 are periodic at the date line, and only where the cosine of the
latitude is taken without a scale does the longitude fade out at the poles: that is how the variants differ.

Note: TorchSpatial gives all scales of `sphereM+` and `dfs` the frequency 1 when r_max is 1. Here they all have the
geometric ones, as in the paper and in the first release.
"""

from collections.abc import Sequence

import torch

from cspops.models.encodings.base import Encoding, geometric_frequencies, radians
from cspops.shapes import Float, LonLat, Tensor


class Sphere2Vec(Encoding):
    """The frequencies that the family shares.

    Args:
        scales: s, at least 1.
        r_min: finest scale, without unit: wavelengths of longitude are 360 r degrees.
        r_max: coarsest scale; published: 1.
    """

    def __init__(self, *, scales: int, r_min: float, r_max: float) -> None:
        super().__init__()
        self.register_buffer("frequency", geometric_frequencies(scales, r_min, r_max), persistent=False)
        self.frequency: Tensor

    def _angles(self, lonlat: LonLat) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return lambda, phi (..., 1) and lambda f_k, phi f_k (..., s)."""
        lam, phi = (angle[..., None] for angle in radians(lonlat))
        return lam, phi, lam * self.frequency, phi * self.frequency


def _scale_by_scale(terms: Sequence[Tensor]) -> Tensor:
    """Arrange terms (..., s) as features (..., s terms): all terms of the finest scale, then of the next."""
    return torch.stack(list(terms), -1).flatten(-2).float()


class SphereC(Sphere2Vec):
    """`sphereC`: a point on a sphere at each scale. dim 3 s.

    For each k: sin(phi f), cos(phi f) cos(lambda f), cos(phi f) sin(lambda f).
    """

    def __init__(self, *, scales: int, r_min: float, r_max: float) -> None:
        super().__init__(scales=scales, r_min=r_min, r_max=r_max)
        self.dim = 3 * scales

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch dim"]:
        _, _, lf, pf = self._angles(lonlat)
        return _scale_by_scale((pf.sin(), pf.cos() * lf.cos(), pf.cos() * lf.sin()))


class SphereCPlus(Sphere2Vec):
    """`sphereC+`: `sphereC` and `grid` together. dim 6 s.

    For each k: sin(phi f), cos(phi f), sin(lambda f), cos(lambda f), cos(phi f) cos(lambda f), cos(phi f) sin(lambda f).
    """

    def __init__(self, *, scales: int, r_min: float, r_max: float) -> None:
        super().__init__(scales=scales, r_min=r_min, r_max=r_max)
        self.dim = 6 * scales

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch dim"]:
        _, _, lf, pf = self._angles(lonlat)
        return _scale_by_scale((pf.sin(), pf.cos(), lf.sin(), lf.cos(), pf.cos() * lf.cos(), pf.cos() * lf.sin()))


class SphereM(Sphere2Vec):
    """`sphereM`: one of the two angles at each scale, the other one whole. dim 5 s.

    For each k: sin(phi f), cos(phi f) cos(lambda), cos(phi) cos(lambda f), cos(phi f) sin(lambda), cos(phi) sin(lambda f).
    """

    def __init__(self, *, scales: int, r_min: float, r_max: float) -> None:
        super().__init__(scales=scales, r_min=r_min, r_max=r_max)
        self.dim = 5 * scales

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch dim"]:
        lam, phi, lf, pf = self._angles(lonlat)
        return _scale_by_scale((pf.sin(), *_mixed(lam, phi, lf, pf)))


class SphereMPlus(Sphere2Vec):
    """`sphereM+`: `sphereM` and `grid` together. dim 8 s.

    For each k: sin(phi f), cos(phi f), sin(lambda f), cos(lambda f), cos(phi f) cos(lambda), cos(phi) cos(lambda f),
    cos(phi f) sin(lambda), cos(phi) sin(lambda f).
    """

    def __init__(self, *, scales: int, r_min: float, r_max: float) -> None:
        super().__init__(scales=scales, r_min=r_min, r_max=r_max)
        self.dim = 8 * scales

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch dim"]:
        lam, phi, lf, pf = self._angles(lonlat)
        return _scale_by_scale((pf.sin(), pf.cos(), lf.sin(), lf.cos(), *_mixed(lam, phi, lf, pf)))


def _mixed(lam: Tensor, phi: Tensor, lf: Tensor, pf: Tensor) -> tuple[Tensor, ...]:
    """Return the four products of `sphereM`."""
    return pf.cos() * lam.cos(), phi.cos() * lf.cos(), pf.cos() * lam.sin(), phi.cos() * lf.sin()


class Dfs(Sphere2Vec):
    """`dfs`, the double Fourier sphere: all products of a scale of lambda and a scale of phi. dim 4 s^2 + 4 s.

    u v' row by row, u = [sin(lambda f_0..), cos(lambda f_0..)], v = [sin(phi f_0..), cos(phi f_0..)]; then for each k:
    sin(phi f), cos(phi f), sin(lambda f), cos(lambda f).
    """

    def __init__(self, *, scales: int, r_min: float, r_max: float) -> None:
        super().__init__(scales=scales, r_min=r_min, r_max=r_max)
        self.dim = 4 * scales**2 + 4 * scales

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch dim"]:
        _, _, lf, pf = self._angles(lonlat)
        u, v = torch.cat((lf.sin(), lf.cos()), -1), torch.cat((pf.sin(), pf.cos()), -1)
        products = (u[..., :, None] * v[..., None, :]).flatten(-2)
        return torch.cat((products.float(), _scale_by_scale((pf.sin(), pf.cos(), lf.sin(), lf.cos()))), -1)
