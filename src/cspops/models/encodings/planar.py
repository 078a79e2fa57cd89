"""Encodings of longitude and latitude on a plane: in degrees, as they stand, in cells, or projected."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from cspops.geo import blocks, equal_earth
from cspops.kernels import asin
from cspops.models.encodings.base import Encoding, geometric_frequencies
from cspops.shapes import Float, LonLat, Tensor

EAST = 66.50336 / 180
"""GeoCLIP's factor, which maps 180 E on the equator to x = 1."""


class Direct(Encoding):
    """`direct`: the coordinates scaled to [-1, 1]. dim 2.

    [lon / 180, lat / 90]. Not periodic at the date line.
    """

    dim = 2

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch 2"]:
        return _scaled(lonlat).float()


class Wrap(Encoding):
    """`wrap` (Mac Aodha et al. 2019): sin and cos of longitude and of twice the latitude. dim 4.

    [sin(pi lon/180), sin(pi lat/90), cos(pi lon/180), cos(pi lat/90)].

    Note: as published, the latitude's angle is doubled, so that both poles have the same code.
    """

    dim = 4

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch 4"]:
        lon, lat = lonlat.double().unbind(-1)
        angle = torch.stack((lon * (math.pi / 180), lat * (math.pi / 90)), -1)
        return torch.cat((angle.sin(), angle.cos()), -1).float()


class Grid(Encoding):
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


class Theory(Encoding):
    """`theory` (Space2Vec, Mai et al. 2020): sin and cos along three directions 120 degrees apart. dim 6 s.

    For k in 0..s-1, for j in 0..2: sin(a_j / r_k), cos(a_j / r_k), with a_j = lon cos(120 j) + lat sin(120 j) and the
    scales of `grid`.

    Args:
        scales: s, at least 1.
        r_min: finest scale, degrees; the finest wavelength is 2 pi r_min.
        r_max: coarsest scale, degrees.

    Note: as published, degrees enter the sine; not periodic at the date line.
    """

    def __init__(self, *, scales: int, r_min: float, r_max: float) -> None:
        super().__init__()
        self.dim = 6 * scales
        self.register_buffer("frequency", geometric_frequencies(scales, r_min, r_max), persistent=False)
        self.frequency: Tensor

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch dim"]:
        lon, lat = lonlat.double().unbind(-1)
        along = torch.stack([lon, *(-lon / 2 + sign * math.sqrt(3) / 2 * lat for sign in (1, -1))], -1)
        phase = along[..., None, :] * self.frequency[:, None]
        return torch.stack((phase.sin(), phase.cos()), -1).flatten(-3).float()


class Rbf(Encoding):
    """`rbf`: Gaussian kernels around anchors. dim m.

    exp(-((lon - lon_m)^2 + (lat - lat_m)^2) / (2 sigma^2)) for each anchor (lon_m, lat_m), buffer ``anchor`` (m, 2).

    Args:
        anchors: m. `fit` draws them from the training positions, without replacement where there are enough; until
            then they are uniform on the sphere.
        sigma: standard deviation of the kernels, degrees.

    Note: as published, degrees are planar: no wrap at the date line, and a degree of longitude counts the same
    everywhere. The released checkpoints hold row numbers of the training file; ours holds the anchors.
    """

    def __init__(self, *, anchors: int, sigma: float) -> None:
        super().__init__()
        self.dim, self.sigma = anchors, sigma
        u = torch.rand(anchors, 2, dtype=torch.float64)
        lat = torch.rad2deg(asin(2 * u[:, 1] - 1))
        self.register_buffer("anchor", torch.stack((360 * u[:, 0] - 180, lat), -1))
        self.anchor: Tensor

    @torch.no_grad()
    def fit(self, lonlat: Float[Tensor, "n 2"], generator: torch.Generator) -> None:
        n = len(lonlat)
        if n == 0:
            raise ValueError("the anchors of rbf are drawn from training positions, and there is none")
        if n >= self.dim:
            rows = torch.randperm(n, generator=generator, device=generator.device)[: self.dim]
        else:
            rows = torch.randint(n, (self.dim,), generator=generator, device=generator.device)
        self.anchor.copy_(lonlat[rows.to(lonlat.device)])

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch dim"]:
        lon, lat = lonlat.double()[..., None, :].unbind(-1)
        squared = (lon - self.anchor[:, 0]) ** 2 + (lat - self.anchor[:, 1]) ** 2
        return (-squared / (2 * self.sigma**2)).exp().float()


class Rff(Encoding):
    """`rff` (Rahimi and Recht 2007): random Fourier features of the coordinates scaled to [-1, 1]. dim s.

    sqrt(2 / s) cos(W' [lon / 180, lat / 90] + b), buffers ``frequency`` W (2, s) and ``shift`` b (s,). Not periodic
    at the date line.

    Args:
        features: s.
        variance: of the entries of W, which are normal with mean 0; b is uniform on [0, 2 pi). The kernel that the
            features approximate is Gaussian with standard deviation 1 / sqrt(variance) in scaled coordinates.

    Note: the released code calls the variance of W the kernel size, and scales by the bounding box of the USA; ours is
    the globe.
    """

    def __init__(self, *, features: int, variance: float) -> None:
        super().__init__()
        self.dim = features
        self.register_buffer("frequency", math.sqrt(variance) * torch.randn(2, features, dtype=torch.float64))
        self.register_buffer("shift", 2 * math.pi * torch.rand(features, dtype=torch.float64))
        self.frequency: Tensor
        self.shift: Tensor

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch dim"]:
        lon, lat = _scaled(lonlat)[..., None, :].unbind(-1)
        phase = lon * self.frequency[0] + lat * self.frequency[1] + self.shift
        return (math.sqrt(2 / self.dim) * phase.cos()).float()


class Tile(Encoding):
    """`tile`: the learned vector of the longitude-latitude cell that a position lies in. dim d.

    table[row columns + column], column = floor((lon + 180) / cell), row = floor((lat + 90) / cell), columns =
    ceil(360 / cell); longitudes are taken modulo 360 and 90 N belongs to the northernmost row. The parameter ``table``
    (cells, d) starts normal with mean 0 and standard deviation 1 / d. Piecewise constant: no gradient reaches the
    coordinates.

    Args:
        cell: side of a cell, degrees.
        features: d.

    Note: the released cell is 1,000,000 degrees wide: one vector for the whole Earth.
    """

    def __init__(self, *, cell: float, features: int) -> None:
        super().__init__()
        self.dim, self.cell = features, cell
        cells = math.ceil(360 / cell) * math.ceil(180 / cell)
        self.table = nn.Parameter(torch.randn(cells, features) / features)

    def forward(self, lonlat: LonLat) -> Float[Tensor, "*batch dim"]:
        return self.table[blocks(lonlat.detach().double(), self.cell)].float()


class EqualEarthRff(Encoding):
    """`equal_earth_rff` (GeoCLIP, Vivanco Cepeda et al. 2023). dim 2 s for each scale.

    For each sigma: [cos(2 pi B p), sin(2 pi B p)], p the projected position times `EAST`, so that x lies in
    [-1, 1] and y in [-0.49, 0.49], and B (s, 2) normal with mean 0 and standard deviation sigma; buffer ``frequency``
    (scales, s, 2). Each scale is a part of its own: it gets its own network, and their outputs are summed. Not periodic at
    the date line.

    Args:
        features: s, rows of B.
        sigmas: one per scale; published: 1, 16, 256.
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


def _scaled(lonlat: LonLat) -> Float[Tensor, "*batch 2"]:
    """Return degrees as shares of 180 and 90, in float64."""
    lon, lat = lonlat.double().unbind(-1)
    return torch.stack((lon / 180, lat / 90), -1)
