"""Position encodings against per-point transcriptions of the published formulas."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.models.encodings import ENCODINGS, Grid, Wrap, geometric_frequencies

FLOAT32_ULP = 6e-8
"""Half the spacing of float32 just below 1: the rounding of an output of a sine."""

GRID = {"scales": 6, "r_min": 0.01, "r_max": 360.0}


def make(name: str):
    return Grid(**GRID) if name == "grid" else Wrap()


def naive_wrap(lon: float, lat: float) -> list[float]:
    x, y = lon / 180, lat / 90
    return [math.sin(math.pi * x), math.sin(math.pi * y), math.cos(math.pi * x), math.cos(math.pi * y)]


def naive_grid(lon: float, lat: float, scales: int, r_min: float, r_max: float) -> list[float]:
    """Space2Vec: for each coordinate, for each scale, sine then cosine of c / r_k, r_k geometric from r_min to r_max."""
    out = []
    for c in (lon, lat):
        for k in range(scales):
            r = r_min * (r_max / r_min) ** (k / (scales - 1) if scales > 1 else 0)
            out += [math.sin(c / r), math.cos(c / r)]
    return out


def places(n: int, seed: int = 0) -> torch.Tensor:
    u = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    corners = torch.tensor([[-180.0, -90.0], [180.0, 90.0], [0.0, 0.0], [-180.0, 0.0], [0.0, 90.0]], dtype=torch.float64)
    return torch.cat((corners, u * torch.tensor([360.0, 180.0]) - torch.tensor([180.0, 90.0])))


def test_wrap_equals_its_formula_point_by_point():
    lonlat = places(50)
    expected = torch.tensor([naive_wrap(*row) for row in lonlat.tolist()], dtype=torch.float64)
    torch.testing.assert_close(Wrap()(lonlat).double(), expected, rtol=0, atol=FLOAT32_ULP)


@pytest.mark.parametrize("scales", [1, 2, 7])
def test_grid_equals_its_formula_point_by_point(scales):
    """Phases reach 180 / 0.01 = 1.8e4, where a relative error of 1e-15 in r_k moves the sine by 2e-11 at most."""
    lonlat = places(50)
    expected = torch.tensor([naive_grid(*row, scales, 0.01, 360.0) for row in lonlat.tolist()], dtype=torch.float64)
    got = Grid(scales=scales, r_min=0.01, r_max=360.0)(lonlat)
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=FLOAT32_ULP)


def test_grid_phases_keep_float64_accuracy_at_ten_metres():
    """At r_min = 1e-4 degrees a phase reaches 1.8e6: float32 would err by 0.06 there, float64 by 1e-9."""
    lonlat = places(200, seed=1)
    expected = torch.tensor([naive_grid(*row, 32, 1e-4, 360.0) for row in lonlat.tolist()], dtype=torch.float64)
    got = Grid(scales=32, r_min=1e-4, r_max=360.0)(lonlat)
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=1e-7)


def test_frequencies_are_geometric_from_the_finest_scale():
    """1 / r_k with r_0 = r_min, r_(s-1) = r_max and a constant ratio (r_max / r_min)^(1 / (s - 1)) = 10."""
    got = geometric_frequencies(4, 0.1, 100.0)
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, torch.tensor([10.0, 1.0, 0.1, 0.01], dtype=torch.float64), rtol=1e-14, atol=0)


def test_one_scale_is_the_finest():
    assert geometric_frequencies(1, 0.5, 360.0).tolist() == [2.0]


@given(lat=st.floats(-90, 90), lon=st.floats(-180, 180))
@settings(max_examples=50, deadline=None)
def test_wrap_is_periodic_in_longitude(lon, lat):
    here = torch.tensor([lon, lat], dtype=torch.float64)
    around = here + torch.tensor([360.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(Wrap()(here), Wrap()(around), rtol=0, atol=2e-7)


def test_wrap_joins_at_the_date_line_and_grid_does_not():
    """Grid's coarsest wavelength is 2 pi 360 > 360, so both sides of the date line differ by 2 sin(1/2) = 0.96 there."""
    west, east = torch.tensor([-180.0, 10.0]), torch.tensor([180.0, 10.0])
    torch.testing.assert_close(Wrap()(west), Wrap()(east), rtol=0, atol=2e-7)
    apart = Grid(scales=1, r_min=360.0, r_max=360.0)(east) - Grid(scales=1, r_min=360.0, r_max=360.0)(west)
    torch.testing.assert_close(apart, torch.tensor([2 * math.sin(0.5), 0.0, 0.0, 0.0]), rtol=0, atol=1e-6)


def test_wrap_gives_both_poles_one_code():
    """The latitude's angle is doubled, as published: sin(pi) = sin(-pi) and cos(pi) = cos(-pi)."""
    torch.testing.assert_close(Wrap()(torch.tensor([30.0, 90.0])), Wrap()(torch.tensor([30.0, -90.0])), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", sorted(ENCODINGS))
class TestEveryEncoding:
    def test_answers_float32_of_its_width_for_every_float_type(self, name):
        encoding = make(name)
        for dtype in (torch.float16, torch.float32, torch.float64):
            out = encoding(torch.tensor([[8.5, 47.5]], dtype=dtype))
            assert out.dtype == torch.float32
            assert out.shape == (1, encoding.dim)

    def test_takes_any_leading_axes(self, name):
        encoding, lonlat = make(name), places(19)
        flat = encoding(lonlat)
        assert torch.equal(encoding(lonlat.view(2, 3, 4, 2)), flat.view(2, 3, 4, -1))
        assert torch.equal(encoding(lonlat[0]), flat[0])
        assert encoding(lonlat[:0]).shape == (0, encoding.dim)

    def test_leaves_the_callers_tensor_alone(self, name):
        lonlat = places(5)
        before = lonlat.clone()
        make(name)(lonlat)
        assert torch.equal(lonlat, before)

    def test_gradients_flow_to_the_coordinates(self, name):
        """Against central differences of the naive formula, so that the gradient is right and not only there."""
        point = [12.3, -45.6]
        lonlat = torch.tensor([point], dtype=torch.float64, requires_grad=True)
        make(name)(lonlat).sum().backward()
        naive = naive_wrap if name == "wrap" else lambda lon, lat: naive_grid(lon, lat, **GRID)
        h = 1e-6
        slope = [
            (sum(naive(point[0] + h, point[1])) - sum(naive(point[0] - h, point[1]))) / (2 * h),
            (sum(naive(point[0], point[1] + h)) - sum(naive(point[0], point[1] - h))) / (2 * h),
        ]
        torch.testing.assert_close(lonlat.grad[0], torch.tensor(slope, dtype=torch.float64), rtol=1e-6, atol=1e-7)

    def test_has_nothing_to_learn_or_to_store(self, name):
        encoding = make(name)
        assert list(encoding.parameters()) == []
        assert encoding.state_dict() == {}


@pytest.mark.parametrize(
    "cast", [lambda m: m.half(), lambda m: m.float(), lambda m: m.to(torch.bfloat16), lambda m: m.to("cpu"), copy.deepcopy]
)
def test_casting_or_moving_keeps_the_frequencies_float64(cast):
    encoding = Grid(scales=5, r_min=1e-4, r_max=360.0)
    before = encoding.frequency.clone()
    after = cast(torch.nn.Sequential(encoding))[0]
    assert after.frequency.dtype == torch.float64
    assert torch.equal(after.frequency, before)


def test_moving_to_another_device_moves_the_frequencies():
    assert Grid(scales=2, r_min=1.0, r_max=10.0).to("meta").frequency.device.type == "meta"
