"""Position encodings against per-point transcriptions of the published formulas."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_encodings import DRAWN, SETTINGS, SPHERE2VEC, naive

from cspops.models.encodings import ENCODINGS
from cspops.models.encodings.base import geometric_frequencies

FLOAT32_ULP = 6e-8
"""Half the spacing of float32 just below 1: the rounding of an output of a sine."""

SEAMLESS = ("tile", "wrap", "xyz", "nerf", "spherical_harmonics")
"""Same code on both sides of the date line."""


def make(name: str, **changed):
    torch.manual_seed(3)
    return ENCODINGS[name](**SETTINGS[name] | changed)


def drawn(encoding) -> dict[str, list]:
    return {key: value.tolist() for key, value in encoding.state_dict().items()}


def expected(name: str, lonlat: torch.Tensor, encoding, **changed) -> torch.Tensor:
    state = drawn(encoding)
    rows = [naive(name, lon, lat, SETTINGS[name] | changed, state) for lon, lat in lonlat.tolist()]
    return torch.tensor(rows, dtype=torch.float64)


def places(n: int, seed: int = 0) -> torch.Tensor:
    u = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    corners = torch.tensor([[-180.0, -90.0], [180.0, 90.0], [0.0, 0.0], [-180.0, 0.0], [0.0, 90.0]], dtype=torch.float64)
    return torch.cat((corners, u * torch.tensor([360.0, 180.0]) - torch.tensor([180.0, 90.0])))


@pytest.mark.parametrize("scales", [1, 2, 7])
def test_grid_equals_its_formula_for_any_number_of_scales(scales):
    """Phases reach 180 / 0.01 = 1.8e4, where a relative error of 1e-15 in r_k moves the sine by 2e-11 at most."""
    lonlat = places(50)
    got = make("grid", scales=scales)(lonlat)
    torch.testing.assert_close(got.double(), expected("grid", lonlat, make("grid"), scales=scales), rtol=0, atol=FLOAT32_ULP)


@pytest.mark.parametrize("name", ["grid", "theory", *SPHERE2VEC])
def test_phases_keep_float64_accuracy_at_fine_scales(name):
    """At r_min = 1e-4 a phase reaches 1.8e6 (degrees), pi 1e4 (radians): float32 would err by 0.06 or 1e-3, float64 by
    1e-9; the finest scale then tells points 10 m (1e-4 degrees) apart: a phase of 1 or 0.017."""
    change = {"scales": 4, "r_min": 1e-4}
    lonlat, encoding = places(200, seed=1), make(name, **change)
    torch.testing.assert_close(encoding(lonlat).double(), expected(name, lonlat, encoding, **change), rtol=0, atol=1e-7)
    ten_metres = torch.tensor([1e-4, 0.0], dtype=torch.float64)
    point = torch.tensor([8.5, 47.4], dtype=torch.float64)
    assert (encoding(point + ten_metres) - encoding(point)).abs().max() > 5e-3


def test_frequencies_are_geometric_from_the_finest_scale():
    """1 / r_k with r_0 = r_min, r_(s-1) = r_max and a constant ratio (r_max / r_min)^(1 / (s - 1)) = 10."""
    got = geometric_frequencies(4, 0.1, 100.0)
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, torch.tensor([10.0, 1.0, 0.1, 0.01], dtype=torch.float64), rtol=1e-14, atol=0)


def test_one_scale_is_the_finest():
    assert geometric_frequencies(1, 0.5, 360.0).tolist() == [2.0]


@given(lat=st.floats(-90, 90), lon=st.floats(-180, 180), name=st.sampled_from([n for n in SEAMLESS if n != "tile"]))
@settings(max_examples=60, deadline=None)
def test_periodic_in_longitude(lon, lat, name):
    here = torch.tensor([lon, lat], dtype=torch.float64)
    around = here + torch.tensor([360.0, 0.0], dtype=torch.float64)
    encoding = make(name)
    torch.testing.assert_close(encoding(here), encoding(around), rtol=0, atol=2e-7)


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_joined_at_the_date_line_or_not_as_the_formula_has_it(name):
    """Planar codes and scales whose frequency is no whole number jump there; anchors of rbf are within reach of 180 E."""
    west, east = torch.tensor([-180.0, 10.0]), torch.tensor([180.0, 10.0])
    encoding = make(name)
    if name == "rbf":
        encoding.anchor[0] = torch.tensor([175.0, 10.0])
    apart = (encoding(east) - encoding(west)).abs().max()
    assert apart < 3e-7 if name in SEAMLESS else apart > 0.1


@pytest.mark.parametrize("name", SPHERE2VEC)
def test_the_coarsest_published_scale_of_sphere2vec_is_one_turn(name):
    """At r = 1 the frequency is 1 and the code joins at the date line; at r = 0.4 it is 2.5 turns and does not."""
    west, east = torch.tensor([-180.0, 10.0]), torch.tensor([180.0, 10.0])
    turn, more = (make(name, scales=1, r_min=r, r_max=1.0) for r in (1.0, 0.4))
    torch.testing.assert_close(turn(west), turn(east), rtol=0, atol=2e-7)
    assert (more(west) - more(east)).abs().max() > 0.1


@pytest.mark.parametrize("name", sorted(ENCODINGS))
@pytest.mark.parametrize("pole", [-90.0, 90.0])
def test_a_pole_is_one_place_where_the_formula_has_it(name, pole):
    """cos(90 degrees) is 6e-17 in float64, times a frequency below 1e3: longitude is gone. Elsewhere it is not."""
    encoding = make(name)
    if name == "rbf":
        encoding.anchor[0] = torch.tensor([30.0, pole])
    spread = encoding(torch.tensor([[30.0, pole], [-100.0, pole]])).diff(dim=0).abs().max()
    assert spread < 1e-6 if name in ("xyz", "nerf", "spherical_harmonics") else spread > 0.1 or name == "tile"


def by_scale(name: str, code: torch.Tensor, scales: int) -> torch.Tensor:
    """Features (n, dim) as (n, terms, scales)."""
    if name == "nerf":
        return code.view(len(code), -1, scales)
    if name == "grid":
        return code.view(len(code), 2, scales, 2).transpose(2, 3).flatten(1, 2)
    if name == "dfs":
        return code[:, 4 * scales**2 :].view(len(code), scales, 4).transpose(1, 2)
    return code.view(len(code), scales, -1).transpose(1, 2)


@pytest.mark.parametrize("name", ["nerf", "grid", "theory", *SPHERE2VEC])
@pytest.mark.parametrize("scales", [2, 16])
def test_no_two_scales_are_equal(name, scales):
    """In a published benchmark all scales of sphereM+ and dfs were one. Each term, scale against scale, on 300 places."""
    terms = by_scale(name, make(name, scales=scales)(places(300, seed=5)), scales)
    apart = (terms[..., :, None] - terms[..., None, :]).abs().amax(0)
    assert apart.masked_select(~torch.eye(scales, dtype=torch.bool)).min() > 0.02


def test_products_of_dfs_are_all_different():
    code = make("dfs", scales=4)(places(300, seed=5))[:, :64]
    apart = (code[:, :, None] - code[:, None, :]).abs().amax(0)
    assert apart.masked_select(~torch.eye(64, dtype=torch.bool)).min() > 0.02


def test_scales_of_equal_earth_rff_have_their_sigmas():
    """Rows of B are normal with sd sigma: 20 000 numbers a scale, so the sample's sd is within 5 / sqrt(40 000) of it."""
    encoding = make("equal_earth_rff", features=10_000, sigmas=[1.0, 16.0, 256.0])
    torch.testing.assert_close(
        encoding.frequency.flatten(1).std(1), torch.tensor([1.0, 16.0, 256.0], dtype=torch.float64), rtol=0.025, atol=0
    )
    assert encoding.widths == (20_000,) * 3


@pytest.mark.parametrize("name", sorted(ENCODINGS))
class TestEveryEncoding:
    def test_equals_its_formula_point_by_point(self, name):
        """Every feature is rounded to float32 once: 6e-8 of its size, where float64 errs by 1e-11 at most."""
        lonlat, encoding = places(50), make(name)
        wanted = expected(name, lonlat, encoding)
        got = encoding(lonlat).double()
        assert got.shape == wanted.shape == (55, encoding.dim)
        assert ((got - wanted).abs() <= FLOAT32_ULP * wanted.abs().clamp(min=1)).all()

    def test_answers_float32_of_its_width_for_every_float_type(self, name):
        encoding = make(name)
        exact = torch.tensor([[8.5, 47.5]], dtype=torch.float64)
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            out = encoding(exact.to(dtype))
            assert out.dtype == torch.float32
            assert out.shape == (1, encoding.dim)
            assert torch.equal(out, encoding(exact.to(dtype).double()))

    def test_takes_any_leading_axes(self, name):
        encoding, lonlat = make(name), places(19)
        flat = encoding(lonlat)
        assert torch.equal(encoding(lonlat.view(2, 3, 4, 2)), flat.view(2, 3, 4, -1))
        assert torch.equal(encoding(lonlat[0]), flat[0])
        assert encoding(lonlat[:0]).shape == (0, encoding.dim)
        assert torch.equal(encoding(lonlat.T.contiguous().T), flat)

    def test_leaves_the_callers_tensor_alone(self, name):
        lonlat = places(5)
        before = lonlat.clone()
        make(name)(lonlat)
        assert torch.equal(lonlat, before)

    def test_gradients_flow_to_the_coordinates(self, name):
        """Against central differences of the naive formula, so that the gradient is right and not only there.

        Weights are exact in float32. Slopes below 200 a feature: rounding 1e-16 dim / h = 1e-8, h^2 f''' / 6 = 1e-7.
        """
        if name == "tile":
            pytest.skip("piecewise constant")
        encoding, point = make(name), [12.3, -45.6]
        weight = [(-1) ** k * (1 + k % 4) / 4 for k in range(encoding.dim)]
        lonlat = torch.tensor([point], dtype=torch.float64, requires_grad=True)
        (encoding(lonlat) * torch.tensor(weight)).sum().backward()
        state = drawn(encoding)

        def total(lon, lat):
            features = naive(name, lon, lat, SETTINGS[name], state)
            return math.fsum(w * f for w, f in zip(weight, features, strict=True))

        h = 1e-6
        slope = [
            (total(point[0] + h, point[1]) - total(point[0] - h, point[1])) / (2 * h),
            (total(point[0], point[1] + h) - total(point[0], point[1] - h)) / (2 * h),
        ]
        torch.testing.assert_close(lonlat.grad[0], torch.tensor(slope, dtype=torch.float64), rtol=1e-6, atol=1e-7)

    def test_stores_what_it_drew_and_nothing_else(self, name):
        assert {key: tuple(value.shape) for key, value in make(name).state_dict().items()} == DRAWN.get(name, {})
        assert make(name).learnable is (name == "tile")

    def test_casting_or_moving_keeps_buffers_float64(self, name):
        encoding = make(name)
        before = {key: value.clone() for key, value in encoding.named_buffers()}
        casts = [lambda m: m.half(), lambda m: m.float(), lambda m: m.to(torch.bfloat16), lambda m: m.to("cpu"), copy.deepcopy]
        for cast in casts:
            after = dict(cast(torch.nn.Sequential(encoding))[0].named_buffers())
            assert after.keys() == before.keys()
            for key, value in after.items():
                assert value.dtype == torch.float64
                assert torch.equal(value, before[key])

    def test_runs_on_the_device_of_its_input(self, name):
        """On the meta device, where a tensor made on the CPU inside the formula would be an error."""
        out = make(name).to("meta")(torch.empty(4, 2, device="meta"))
        assert out.device.type == "meta"
        assert out.shape == (4, make(name).dim)

    def test_parts_make_up_the_whole(self, name):
        encoding = make(name)
        assert sum(encoding.widths) == encoding.dim
        assert len(encoding.widths) == (3 if name == "equal_earth_rff" else 1)

    def test_a_setting_it_lacks_is_an_error(self, name):
        with pytest.raises(TypeError, match="r_medium"):
            make(name, r_medium=3.0)
