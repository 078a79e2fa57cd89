"""Encoders: baselines are their encodings, an untrained twin shares nothing that was learned."""

import pytest
import torch

from cspops.geo import unit_vectors
from cspops.models.encodings.spherical import spherical_harmonics
from cspops.models.location_encoder import LocationEncoder
from cspops.probing.encoders import baselines, given, learned, untrained

LONLAT = torch.tensor([[8.5, 47.4], [-70.0, -33.5], [179.9, 0.0]], dtype=torch.float64)
NETWORK = {"name": "ffn", "hidden": 8}


def test_baselines_are_constant_position_and_encodings() -> None:
    by_name = {one.name: one for one in baselines()}
    assert list(by_name) == ["constant", "neighbours of position", "sin, cos", "xyz", "spherical harmonics"]
    position = by_name["neighbours of position"].features(LONLAT)
    assert not position.scaled
    torch.testing.assert_close(position.x, unit_vectors(LONLAT))
    torch.testing.assert_close(by_name["spherical harmonics"].features(LONLAT).x, spherical_harmonics(LONLAT, 9).float())
    assert [by_name[name].features(LONLAT).x.shape[1] for name in ("sin, cos", "xyz")] == [4, 3]


@pytest.mark.parametrize("encoding", [{"name": "wrap"}, {"name": "tile", "cell": 30.0, "features": 4}])
def test_an_untrained_twin_has_fresh_weights_and_the_same_for_a_seed(encoding) -> None:
    torch.manual_seed(1)
    encoder = LocationEncoder({"encoding": encoding, "network": NETWORK, "dim": 5}).eval()
    twin, same, other = (untrained(encoder, "untrained", seed=seed).features(LONLAT).x for seed in (0, 0, 1))
    trained = learned("trained", encoder).features(LONLAT).x
    assert torch.equal(twin, same)
    assert not torch.allclose(twin, other)
    assert not torch.allclose(twin, trained)
    torch.testing.assert_close(trained, encoder(LONLAT))


def test_what_was_drawn_from_training_positions_stays() -> None:
    encoder = LocationEncoder({"encoding": {"name": "rbf", "anchors": 7, "sigma": 10.0}, "network": NETWORK, "dim": 5}).eval()
    encoder.fit(LONLAT, torch.Generator().manual_seed(0))
    before = torch.random.get_rng_state()
    twin = untrained(encoder, "untrained", seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert twin.features(LONLAT).x.isfinite().all()


def test_features_that_rows_have_of_their_own_are_given_as_they_are() -> None:
    features = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(given("image features", features).features(LONLAT).x, features)
