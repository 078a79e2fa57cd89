"""Retrieval between photos and overhead places."""

import pytest
import torch

from cspops.gair import retrieval as module
from cspops.gair.retrieval import retrieval, within_image

LONLAT = torch.stack((torch.arange(20.0), torch.zeros(20)), 1).double()
ONE_DEGREE = 111.19


def test_the_right_place_is_found_and_its_neighbour_is_a_degree_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 7)
    own = torch.eye(20)
    assert retrieval(3 * own, own, LONLAT) == {"r_1": 100.0, "r_5": 100.0, "r_10": 100.0, "median_km": 0.0}
    found = retrieval(own, own.roll(1, 0), LONLAT)
    assert found["r_1"] == 0.0
    assert found["median_km"] == pytest.approx(ONE_DEGREE, abs=0.1)
    assert retrieval(own, own.roll(1, 0), LONLAT / 1e4)["median_km"] == pytest.approx(ONE_DEGREE / 1e4, rel=1e-3)


def test_a_gallery_of_equal_rows_gives_chance() -> None:
    found = retrieval(torch.rand(20, 4), torch.ones(20, 4), LONLAT)
    assert (found["r_1"], found["r_5"], found["r_10"]) == (5.0, 25.0, 50.0)


def test_within_an_image_the_last_place_is_the_right_one() -> None:
    """Three images with four places a degree apart; the photo of the last one is alike everywhere."""
    lonlat = torch.stack((torch.arange(4.0).repeat(3, 1), torch.zeros(3, 4)), 2).double()
    overhead = torch.eye(4).repeat(3, 1, 1)
    photo = torch.stack((overhead[0, 3], overhead[0, 1], torch.ones(4)))
    found = within_image(photo, overhead, lonlat)
    assert found["r_1"] == pytest.approx(100 * (1 + 0 + 1 / 4) / 3, abs=0.01)
    assert found["r_5"] == 100.0
    assert (found["places"], found["median_km"]) == (4, pytest.approx(2 * ONE_DEGREE, abs=0.2))
    assert found["chance_km"] == pytest.approx(3 * ONE_DEGREE, abs=0.2)


def test_ranks_are_those_of_a_loop() -> None:
    q, g = torch.randn(2, 20, 3, generator=torch.Generator().manual_seed(0)).unbind()
    cosine = torch.nn.functional.cosine_similarity(q[:, None], g[None], dim=-1)
    ranks = [int((cosine[i] > cosine[i, i]).sum()) for i in range(20)]
    found = retrieval(q, g, LONLAT)
    assert [found[f"r_{k}"] for k in (1, 5, 10)] == [100 * sum(rank < k for rank in ranks) / 20 for k in (1, 5, 10)]
