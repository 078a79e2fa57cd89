"""The distance between neighbours in features, against a loop."""

import math

import pytest
import torch
from unlabelled import backbone, tiles, unlabelled

from cspops.geo import haversine
from cspops.imagessl import monitor
from cspops.imagessl.monitor import NeighbourDistance, median_distance


def test_the_median_is_that_of_a_loop():
    draws = torch.Generator().manual_seed(0)
    features, lonlat = torch.randn(31, 4, generator=draws), torch.rand(31, 2, generator=draws).double() * 80
    centred = (features - features.mean(0)).double()
    distances = []
    for i in range(31):
        cosines = [-2.0 if i == j else float(torch.cosine_similarity(centred[i], centred[j], dim=0)) for j in range(31)]
        distances.append(float(haversine(lonlat[i], lonlat[cosines.index(max(cosines))])))
    assert median_distance(features, lonlat) == pytest.approx(sorted(distances)[15])


def test_blocks_change_nothing(monkeypatch):
    draws = torch.Generator().manual_seed(0)
    features, lonlat = torch.randn(31, 4, generator=draws), torch.rand(31, 2, generator=draws).double() * 80
    whole = median_distance(features, lonlat)
    monkeypatch.setattr(monitor, "BLOCK", 7)
    assert median_distance(features, lonlat) == whole


def test_twins_at_one_place_have_distance_zero():
    """Each image is there twice, at one position; without positions there is nothing to say."""
    pixels = tiles(8).repeat(2, 1, 1, 1)
    lonlat = torch.arange(8.0)[:, None].expand(8, 2).repeat(2, 1)
    network = backbone()
    found = NeighbourDistance.of(network, unlabelled(pixels, lonlat=lonlat), seed=0)
    assert found()["knn_km"] == pytest.approx(0, abs=1e-6)
    assert NeighbourDistance.of(network, unlabelled(pixels), seed=0)() == {}


def test_the_sample_is_of_rows_with_a_position_and_the_network_stays_in_its_mode(monkeypatch):
    monkeypatch.setattr(monitor, "SAMPLE", 5)
    lonlat = torch.full((32, 2), math.nan)
    lonlat[::3] = 7.0
    network = backbone().train()
    state = {key: value.clone() for key, value in network.state_dict().items()}
    found = NeighbourDistance.of(network, unlabelled(32, lonlat=lonlat), seed=0)
    assert len(found.rows) == 5
    assert set(found.rows.tolist()) <= set(range(0, 32, 3))
    assert found() == {"knn_km": 0.0}
    assert network.training
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
