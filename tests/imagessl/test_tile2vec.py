"""Tile2Vec: what it learns, whom it compares, and runs that are interrupted."""

import copy
import math
from functools import partial

import pytest
import torch
from interrupted import same_numbers_for_the_same_seed, stopped_and_continued
from unlabelled import CPU, backbone, tiles, unlabelled

from cspops.errors import DataError
from cspops.imagessl import tile2vec as module
from cspops.imagessl.tile2vec import tile2vec
from cspops.params.image_networks import Tile2Vec
from cspops.training.loop import Run


def settings(**changes) -> Tile2Vec:
    defaults = {
        "epochs": 3,
        "batch_size": 8,
        "learning_rate": 0.001,
        "margin": 10.0,
        "l2": 0.01,
        "mode": "catalogue",
        "neighbour_km": None,
        "distant_km": None,
        "min_scale": 0.25,
        "tile_px": 8,
        "neighbourhood_px": 6,
        "same_image": False,
        "raster": None,
        "turns": True,
    }
    return Tile2Vec(**defaults).model_copy(update=changes)


def places(n: int = 24) -> torch.Tensor:
    """Eight towns of n / 8, far from one another; one row in twelve has no position."""
    town = torch.arange(n) % 8
    lonlat = torch.stack((town * 40.0 - 150, torch.arange(n) * 0.01), 1).double()
    lonlat[::12] = math.nan
    return lonlat


def run(n: int = 24, *, lonlat=None, network=None, seed: int = 0, resume=None, raster=None, **changes):
    network = network or backbone()
    images = unlabelled(n, lonlat=places(n) if lonlat is None else lonlat)
    about = settings(**changes)
    made = tile2vec(network, images, about, Run(seed, CPU, resume), raster=raster)
    return network, made


def recorded(monkeypatch) -> list[torch.Tensor]:
    """What the network is shown: before flips and turns."""
    seen, real = [], module.random_views

    def views(pixels, augmentation, **asked):
        if augmentation.min_scale == 1.0:
            seen.append(pixels.clone())
        return real(pixels, augmentation, **asked)

    monkeypatch.setattr(module, "random_views", views)
    return seen


def rows_of(shown: torch.Tensor, n: int = 24) -> list[int | None]:
    """Which image each is; None for a crop."""
    known = {tile.float().div(255).permute(2, 0, 1).numpy().tobytes(): row for row, tile in enumerate(tiles(n))}
    return [known.get(one.contiguous().numpy().tobytes()) for one in shown]


def test_it_compares_an_image_with_one_of_its_town_and_one_of_another(monkeypatch):
    """Rows without a position are shown as two crops of themselves."""
    seen = recorded(monkeypatch)
    _, made = run(epochs=1, neighbour_km=100.0, distant_km=1000.0)
    anchors = []
    for batch in seen:
        for anchor, near, far in zip(*(rows_of(part) for part in batch.chunk(3)), strict=True):
            anchors.append(anchor)
            assert far is not None
            if anchor is None:
                assert near is None
            else:
                assert near != anchor and near % 8 == anchor % 8
                assert far % 8 != anchor % 8
    assert anchors.count(None) == 2
    assert sorted(anchor for anchor in anchors if anchor is not None) == [row for row in range(24) if row % 12]
    assert made.facts["neighbour_share"] == pytest.approx(22 / 24, abs=1e-4)
    assert made.facts["neighbour_km"] == 100.0
    assert made.facts["distant_km"] == 1000.0


def test_without_any_position_all_are_crops():
    _, made = run(epochs=1, lonlat=torch.full((24, 2), math.nan))
    assert made.facts == {"neighbour_share": 0.0, "neighbour_km": 0.0, "distant_km": 0.0}
    assert list(made.curve[0]) == ["epoch", "triplet", "norm", "total"]


def test_it_learns_that_towns_are_alike():
    """The images of a town are of its colours: with the rates that train, the hinge falls well below a standstill's."""
    colours = torch.rand(8, 3, generator=torch.Generator().manual_seed(3))
    noise = torch.rand(48, 32, 32, 3, generator=torch.Generator().manual_seed(4))
    town = torch.arange(48) % 8
    pixels = ((0.7 * colours[town][:, None, None] + 0.3 * noise) * 255).to(torch.uint8)
    lonlat = torch.stack((town * 40.0 - 150, torch.arange(48) * 0.01), 1)

    def end(rate: float) -> float:
        images = unlabelled(pixels, lonlat=lonlat)
        about = settings(epochs=6, learning_rate=rate, neighbour_km=100.0, distant_km=1000.0)
        return tile2vec(backbone(), images, about, Run(0, CPU)).curve[-1]["triplet"]

    assert end(0.003) < 0.7 * end(1e-9)


@pytest.mark.parametrize("changes", [{}, {"mode": "tiles", "same_image": True}])
def test_columns_mode_of_the_network_and_facts(changes):
    network = backbone()
    before = copy.deepcopy(network.state_dict())
    network, made = run(network=network, epochs=1, **changes)
    assert not any(one.training for one in network.modules())
    assert all(not torch.equal(value, before[key]) for key, value in network.named_parameters())
    assert list(made.curve[0]) == ["epoch", "triplet", "norm", "total", "knn_km"]
    assert made.curve[0]["total"] == pytest.approx(made.curve[0]["triplet"] + made.curve[0]["norm"], rel=1e-5)
    assert {"knn_km_before", "knn_km_after"} < made.facts.keys()


def test_tiles_of_a_raster(monkeypatch):
    """Every tile shown is a piece of the raster, in the network's size; there are as many triplets as images."""
    seen = recorded(monkeypatch)
    raster = (torch.arange(96 * 110).reshape(96, 110, 1) % 251).expand(96, 110, 3).to(torch.uint8).contiguous()
    _, made = run(epochs=1, mode="tiles", tile_px=32, neighbourhood_px=20, raster=raster)
    assert sum(len(batch) for batch in seen) == 3 * 24
    assert all(batch.shape[1:] == (3, 32, 32) for batch in seen)
    values = raster[..., 0].float() / 255
    windows = values.unfold(0, 32, 1).unfold(1, 32, 1).reshape(-1, 32 * 32)
    whole = [tile for batch in seen for tile in batch[:, 0].reshape(-1, 32 * 32) if tile[0] in values]
    inside = sum(bool((windows == tile).all(1).any()) for tile in whole)
    assert inside > 10  # the others reach beyond the border
    assert made.facts["tiles_from"] == "a raster, seen whole"


def test_a_raster_is_large_enough_or_refused():
    with pytest.raises(DataError, match="images of at least 96 px, and these have 50 x 40"):
        run(mode="tiles", tile_px=32, raster=torch.zeros(40, 50, 3, dtype=torch.uint8))


def test_small_tiles_come_in_the_size_that_the_network_takes(monkeypatch):
    seen = recorded(monkeypatch)
    run(epochs=1, mode="tiles", tile_px=8)
    assert all(batch.shape[1:] == (3, 32, 32) for batch in seen)


def test_same_seed_same_numbers_whatever_the_global_stream():
    same_numbers_for_the_same_seed(run)


@pytest.mark.parametrize("changes", [{}, {"mode": "tiles"}])
def test_an_interrupted_run_ends_bit_identical(tmp_path, monkeypatch, changes):
    line = stopped_and_continued(partial(run, **changes), tmp_path, monkeypatch, at="epoch 2 of 3")
    assert "continuing after epoch 1 of 3" in line


def test_one_image_is_refused():
    with pytest.raises(DataError, match="1 training image is too few: Tile2Vec contrasts an image with a distant one"):
        run(1)
