"""The capsules against their formulas, one place at a time, and as a location encoder of this project."""

import math

import pytest
import torch

from cspops.gair.location import Capsules, as_location_encoder
from cspops.models.location_encoder import LocationEncoder
from cspops.shapes import Tensor

PLACES = [(0.0, 0.0), (-180.0, -90.0), (180.0, 90.0), (8.54, 47.37), (-70.65, -33.45), (179.99, 0.01)]


def projected(lon: float, lat: float) -> tuple[float, float]:
    """Equal Earth over the half of the equator's length, by its published constants."""
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    t = math.asin(math.sqrt(3) / 2 * math.sin(math.radians(lat)))
    slope = 9 * a4 * t**8 + 7 * a3 * t**6 + 3 * a2 * t**2 + a1
    x = 2 * math.sqrt(3) * math.radians(lon) * math.cos(t) / (3 * slope)
    return x * 66.50336 / 180, (a4 * t**9 + a3 * t**7 + a2 * t**3 + a1 * t) * 66.50336 / 180


def naive(state: dict[str, Tensor], lon: float, lat: float, scales: int) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for scale in range(scales):
        phases = (
            2
            * math.pi
            * (state[f"LocEnc{scale}.capsule.0.b"].double() @ torch.tensor(projected(lon, lat), dtype=torch.float64))
        )
        x = torch.cat((phases.cos(), phases.sin()))
        for layer in (1, 3, 5):
            at = f"LocEnc{scale}.capsule.{layer}"
            x = (state[f"{at}.weight"].double() @ x + state[f"{at}.bias"].double()).clamp(min=0)
        total = total + state[f"LocEnc{scale}.head.0.weight"].double() @ x + state[f"LocEnc{scale}.head.0.bias"].double()
    return total


def capsules(sigmas: tuple[float, ...] = (1, 16, 256), features: int = 4, hidden: int = 5) -> Capsules:
    torch.manual_seed(0)
    return Capsules(features, hidden, 3, sigmas)


@pytest.mark.parametrize("sigmas", [(1, 16, 256), (2,)])
def test_is_the_sum_over_the_scales(sigmas: tuple[float, ...]) -> None:
    encoder = capsules(sigmas).double()
    expected = torch.stack([naive(encoder.state_dict(), *place, len(sigmas)) for place in PLACES])
    lonlat = torch.tensor(PLACES, dtype=torch.float64)
    torch.testing.assert_close(encoder(lonlat), expected, rtol=1e-10, atol=1e-10)
    assert encoder(lonlat.view(2, 3, 2)).shape == (2, 3, 3)
    narrow = encoder.float()(lonlat)
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), expected, rtol=1e-4, atol=1e-4)


def test_gradients_reach_weights_and_places_and_not_the_frequencies() -> None:
    encoder, lonlat = capsules().double(), torch.tensor(PLACES[3:], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(encoder, (lonlat,))
    encoder(lonlat).sum().backward()
    assert {name for name, one in encoder.named_parameters() if one.grad is None} == {
        f"LocEnc{i}.capsule.0.b" for i in range(3)
    }


@pytest.mark.parametrize("sigmas", [(1, 16, 256), (2,)])
@pytest.mark.parametrize(("features", "hidden"), [(4, 5), (6, 4), (5, 10), (10, 3)])  # of 6 and 4, 2 x 6 = 3 x 4
def test_is_a_location_encoder_of_this_project(sigmas: tuple[float, ...], features: int, hidden: int) -> None:
    encoder = capsules(sigmas, features, hidden)
    ours = as_location_encoder(encoder)
    lonlat = torch.tensor(PLACES, dtype=torch.float64)
    torch.testing.assert_close(ours(lonlat), encoder(lonlat), rtol=1e-6, atol=1e-6)
    again = LocationEncoder(ours.config)
    again.load_state_dict(ours.state_dict())
    assert torch.equal(again.eval()(lonlat), ours(lonlat))


@pytest.mark.parametrize("shape", [(2, 3), (2,), ()])
def test_places_are_pairs(shape: tuple[int, ...]) -> None:
    encoder = capsules()
    if shape == (2,):
        assert encoder(torch.zeros(shape)).shape == (3,)
    else:
        with pytest.raises(ValueError, match="lonlat has shape"):
            encoder(torch.zeros(shape))
