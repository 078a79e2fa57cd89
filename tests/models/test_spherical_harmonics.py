"""Spherical harmonics against independent evaluations, and against what makes them what they are."""

import math

import numpy as np
import pytest
import torch
from naive_encodings import spherical_harmonics as naive_harmonics
from scipy.special import sph_harm_y

from cspops.models.encodings.spherical import spherical_harmonics

LONLAT = torch.tensor(
    [[0.0, 90.0], [40.0, -90.0], [-180.0, 0.0], [180.0, 33.0], [12.3, 45.6], [-77.7, -89.999], [101.0, 1e-9], [3.0, 62.0]],
    dtype=torch.float64,
)


@pytest.mark.parametrize("degree", [0, 1, 2, 12, 40])
def test_equal_the_explicit_sum_in_120_digits(degree):
    """Sines and cosines of the angles err by 1e-16, and |dY/d angle| < l sqrt(2 l + 1) < 360: 1e-12 is ample."""
    wanted = torch.tensor([naive_harmonics(*row, degree) for row in LONLAT.tolist()], dtype=torch.float64)
    got = spherical_harmonics(LONLAT, degree)
    assert got.shape == (len(LONLAT), (degree + 1) ** 2)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("degree", [10, 40, 90])
def test_equal_scipys_complex_ones_without_their_phase(degree):
    """Y_lm = sqrt(2) (-1)^m Re or Im of the complex Y_l|m|, which has the Condon-Shortley phase; Y_l0 is the same."""
    generator = torch.Generator().manual_seed(0)
    lonlat = torch.rand(40, 2, generator=generator, dtype=torch.float64) * torch.tensor([360.0, 180.0]) - torch.tensor(
        [180, 90]
    )
    lon, polar = np.radians(lonlat[:, 0].numpy()), np.radians(90 - lonlat[:, 1].numpy())
    got = spherical_harmonics(lonlat, degree).numpy()
    for n in range(0, degree + 1, 5):
        for m in range(-n, n + 1):
            y = sph_harm_y(n, abs(m), polar, lon)
            wanted = y.real if m == 0 else math.sqrt(2) * (-1) ** m * (y.real if m > 0 else y.imag)
            np.testing.assert_allclose(got[:, n * n + n + m], wanted, rtol=0, atol=1e-9)


def test_low_degrees_are_the_textbooks():
    """Y_00 = 1 / sqrt(4 pi); Y_1,-1 Y_10 Y_11 = sqrt(3 / 4 pi) (y, z, x); Y_20 = sqrt(5 / 16 pi) (3 z^2 - 1)."""
    lon, lat = torch.deg2rad(LONLAT).unbind(-1)
    x, y, z = lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()
    got = spherical_harmonics(LONLAT, 2)
    wanted = [torch.full_like(x, 1 / math.sqrt(4 * math.pi)), *(math.sqrt(3 / (4 * math.pi)) * c for c in (y, z, x))]
    torch.testing.assert_close(got[:, :4], torch.stack(wanted, -1), rtol=0, atol=1e-15)
    torch.testing.assert_close(got[:, 6], math.sqrt(5 / (16 * math.pi)) * (3 * z**2 - 1), rtol=0, atol=1e-15)


def test_are_orthonormal():
    """Gauss-Legendre in sin(lat) times equal steps in longitude integrates products of degree 2 x 12 exactly."""
    degree = 12
    nodes, weights = np.polynomial.legendre.leggauss(degree + 1)
    lat = torch.rad2deg(torch.asin(torch.from_numpy(nodes)))
    lon = torch.arange(2 * degree + 1, dtype=torch.float64) * 360 / (2 * degree + 1) - 180
    grid = torch.stack(torch.meshgrid(lat, lon, indexing="ij"), -1).flip(-1)
    y = spherical_harmonics(grid, degree).flatten(0, 1)
    area = torch.from_numpy(weights).repeat_interleave(len(lon)) * 2 * math.pi / len(lon)
    gram = y.T @ (area[:, None] * y)
    torch.testing.assert_close(gram, torch.eye((degree + 1) ** 2, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("degree", [40, 128])
def test_addition_theorem_holds_at_every_degree(degree):
    """sum_m Y_lm(x) Y_lm(y) = (2 l + 1) / (4 pi) P_l(x . y): for y = x the right side is (2 l + 1) / (4 pi)."""
    y = spherical_harmonics(LONLAT, degree)
    assert y.isfinite().all()
    for n in range(degree + 1):
        total = (y[:, n * n : (n + 1) ** 2] ** 2).sum(-1)
        torch.testing.assert_close(total, torch.full_like(total, (2 * n + 1) / (4 * math.pi)), rtol=1e-11, atol=0)


def closed_form(lon: float, lat: float, n: int, m: int) -> float:
    """SatCLIP's `closed-form` column: Legendre functions with the Condon-Shortley phase, evaluated at the antipode."""
    phi, theta = math.radians(lon + 180), math.radians(lat + 90)
    x, order = math.cos(theta), abs(m)
    before, p = 0.0, float((-1) ** order * math.prod(range(1, 2 * order, 2))) * math.sqrt((1 - x) * (1 + x)) ** order
    for k in range(order + 1, n + 1):
        before, p = p, ((2 * k - 1) * x * p - (k + order - 1) * before) / (k - order)
    norm = math.sqrt((2 * n + 1) / (4 * math.pi) * math.factorial(n - order) / math.factorial(n + order))
    return p * norm * (1 if m == 0 else math.sqrt(2) * (math.cos(m * phi) if m > 0 else math.sin(-m * phi)))


def test_satclips_closed_form_differs_by_a_sign():
    """(-1)^l from the antipode, (-1)^m from the phase, as the class says."""
    lon, lat = 12.3, 45.6
    y = spherical_harmonics(torch.tensor([lon, lat], dtype=torch.float64), 9)
    for n in range(10):
        for m in range(-n, n + 1):
            assert (-1) ** (n + m) * closed_form(lon, lat, n, m) == pytest.approx(float(y[n * n + n + m]), abs=1e-12)


def test_gradients_are_finite_at_the_poles():
    lonlat = LONLAT.clone().requires_grad_()
    spherical_harmonics(lonlat, 20).sum().backward()
    assert lonlat.grad.isfinite().all()
