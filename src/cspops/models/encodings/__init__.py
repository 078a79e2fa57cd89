"""Position encodings: positions in degrees to features.

Every encoding is a module called on a tensor ``(..., 2)`` of degrees, longitude first, of any float type and on any
device; it returns ``(..., dim)`` in float32. Phases are computed in float64, where float32 would lose the fine scales
(10 m are 1e-4 degrees; a float32 near 180 is good to 1.5e-5). The caller's tensor is never modified and gradients flow
to it (not for `tile`, which is piecewise constant).

    >>> from cspops.models.encodings import ENCODINGS
    >>> ENCODINGS["grid"](scales=32, r_min=0.01, r_max=360.0)(torch.tensor([[8.5, 47.4]])).shape
    torch.Size([1, 128])

All of them, with lon, lat in degrees, lambda, phi the same in radians, (x, y, z) the unit vector and the scales
r_k = r_min (r_max / r_min)^(k / (s - 1)), k = 0..s-1, finest first. "For each" names the outer loop first, so that
features stand in the order in which they are listed; see the classes for details.

| name                  | keywords             | dim          | features                                                  |
|-----------------------|----------------------|--------------|-----------------------------------------------------------|
| `direct`              |                      | 2            | lon / 180, lat / 90                                       |
| `tile`                | cell, features       | features     | a learned vector for each cell of ``cell`` degrees        |
| `wrap`                |                      | 4            | sin lambda, sin 2 phi, cos lambda, cos 2 phi              |
| `xyz`                 |                      | 3            | x, y, z                                                   |
| `nerf`                | scales               | 6 s          | for each f in (sin, cos), c in (x, y, z), k: f(2^k pi c)  |
| `rbf`                 | anchors, sigma       | anchors      | exp(-|(lon, lat) - anchor|^2 / (2 sigma^2)), degrees      |
| `rff`                 | features, variance   | features     | sqrt(2 / s) cos(W' (lon / 180, lat / 90) + b)             |
| `grid`                | scales, r_min, r_max | 4 s          | for each c in (lon, lat), k: sin(c / r_k), cos(c / r_k)   |
| `theory`              | scales, r_min, r_max | 6 s          | for each k, j: sin(a_j / r_k), cos(a_j / r_k), a_j = lon  |
|                       |                      |              | and lat along 0, 120, 240 degrees; r in degrees as `grid` |
| `sphereC`             | scales, r_min, r_max | 3 s          | for each k, lf = lambda / r_k and pf = phi / r_k: sin pf, |
|                       |                      |              | cos pf cos lf, cos pf sin lf                              |
| `sphereC+`            | scales, r_min, r_max | 6 s          | for each k: sin pf, cos pf, sin lf, cos lf,               |
|                       |                      |              | cos pf cos lf, cos pf sin lf                              |
| `sphereM`             | scales, r_min, r_max | 5 s          | for each k: sin pf, cos pf cos lambda, cos phi cos lf,    |
|                       |                      |              | cos pf sin lambda, cos phi sin lf                         |
| `sphereM+`            | scales, r_min, r_max | 8 s          | for each k: sin pf, cos pf, sin lf, cos lf, and the last  |
|                       |                      |              | four of `sphereM`                                         |
| `dfs`                 | scales, r_min, r_max | 4 s^2 + 4 s  | (sin lf_0.., cos lf_0..) times (sin pf_0.., cos pf_0..);  |
|                       |                      |              | then for each k: sin pf, cos pf, sin lf, cos lf           |
| `spherical_harmonics` | degree               | (degree+1)^2 | orthonormal real Y_lm at l l + l + m, no Condon-Shortley  |
|                       |                      |              | phase; ``spherical_harmonics(lonlat, degree)`` in float64 |
| `equal_earth_rff`     | features, sigmas     | 2 s a sigma  | for each sigma: cos(2 pi B p), sin(2 pi B p), p the equal |
|                       |                      |              | earth projection; ``widths`` lists the parts              |

Units: r_min and r_max of `grid` and `theory` are degrees (wavelength 2 pi r); in the Sphere2Vec family they have no
unit, they divide radians (wavelength 360 r degrees, published r_max 1); ``cell`` and ``sigma`` are degrees.

`rbf`, `rff`, `equal_earth_rff` and `tile` draw from torch's global generator when they are made, and keep what they drew
in their state dict (``anchor`` (anchors, 2); ``frequency`` W (2, s) and ``shift`` b (s,); ``frequency`` B (scales, s, 2);
``table`` (cells, features)). ``rbf.fit(lonlat, generator)`` then draws the anchors from training positions.
"""

from cspops.models.encodings.base import Encoding
from cspops.models.encodings.planar import Direct, EqualEarthRff, Grid, Rbf, Rff, Theory, Tile, Wrap
from cspops.models.encodings.sphere2vec import Dfs, SphereC, SphereCPlus, SphereM, SphereMPlus
from cspops.models.encodings.spherical import Nerf, SphericalHarmonics, Xyz

ENCODINGS: dict[str, type[Encoding]] = {
    "direct": Direct,
    "tile": Tile,
    "wrap": Wrap,
    "xyz": Xyz,
    "nerf": Nerf,
    "rbf": Rbf,
    "rff": Rff,
    "grid": Grid,
    "theory": Theory,
    "sphereC": SphereC,
    "sphereC+": SphereCPlus,
    "sphereM": SphereM,
    "sphereM+": SphereMPlus,
    "dfs": Dfs,
    "spherical_harmonics": SphericalHarmonics,
    "equal_earth_rff": EqualEarthRff,
}
"""The names that `location_encoder.encoding.name` takes."""
