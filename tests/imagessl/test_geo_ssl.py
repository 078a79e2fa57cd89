"""Geo-SSL: with neither switch it is MoCo, temporal positives draw places together, positions are learned, resume."""

import dataclasses
import math
from functools import partial

import pytest
import torch
from interrupted import stopped_and_continued
from seasons import seasons, small_network, togetherness
from test_moco import settings as moco_settings
from unlabelled import CPU, unlabelled

from cspops.errors import DataError
from cspops.imagessl.geo_ssl import clusters_of, geo_ssl
from cspops.imagessl.moco import moco
from cspops.params.image_networks import GeoSsl
from cspops.training import loop
from cspops.training.loop import Run

OFF = {"geo": False, "temporal": False}


def settings(**changes) -> GeoSsl:
    geo = {"geo": True, "temporal": True, "place_metres": None, "weight_geo": 1.0, "clusters": None, "space": "sphere"}
    own = {name: changes.pop(name) for name in tuple(changes) if name in geo}
    return GeoSsl.model_construct(**dict(moco_settings(**changes)), **(geo | own))


def run(images=None, *, resume=None, **changes):
    network = small_network()
    images = seasons() if images is None else images
    return network, geo_ssl(network, images, settings(**changes), Run(0, CPU, resume))


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_with_neither_it_is_moco():
    plain = small_network()
    made = moco(plain, seasons(), moco_settings(epochs=2), Run(0, CPU))
    network, its = run(epochs=2, **OFF)
    assert same(network, plain)
    assert its == made


def test_without_places_temporal_positives_are_moco():
    """Every key falls back to the row's own image, and no number is drawn for it."""
    images = dataclasses.replace(seasons(), place=torch.full((60,), -1))
    plain, made = run(images, epochs=1, **OFF)
    network, its = run(images, epochs=1, geo=False)
    assert same(network, plain)
    assert its.curve == made.curve
    assert its.facts["temporal_fallback"] == 1


def test_the_switches_have_their_columns_and_facts():
    images = seasons()
    images.lonlat[:6] = torch.nan
    images.place[:15] = -1
    for geo, temporal in [(False, False), (False, True), (True, False), (True, True)]:
        _, made = run(images, epochs=1, geo=geo, temporal=temporal)
        assert list(made.curve[0]) == ["epoch", "total", *(["contrast", "geo"] if geo else []), "knn_km"]
        monitor = {"knn_km_before", "knn_km_after"}
        assert made.facts.keys() == {*monitor} | ({"temporal_fallback"} if temporal else set()) | (
            {"clusters", "rows_without_position"} if geo else set()
        )
        assert made.facts.get("temporal_fallback", 0.25) == 0.25
        assert made.facts.get("rows_without_position", 6) == 6


def test_the_total_is_the_weighted_sum():
    _, made = run(epochs=1, weight_geo=0.25)
    row = made.curve[0]
    assert row["total"] == pytest.approx(row["contrast"] + 0.25 * row["geo"], rel=1e-6)


@pytest.mark.parametrize(("clusters", "candidates"), [(None, 2), (7, 7)])
def test_untrained_the_cross_entropy_is_log_of_the_clusters(clusters, candidates):
    """20 places ask for two clusters. Projections are small: scores are near the head's biases, within 1 / sqrt(8)."""
    _, made = run(epochs=1, clusters=clusters, learning_rate=1e-9)
    assert made.facts["clusters"] == candidates
    assert made.curve[0]["geo"] == pytest.approx(math.log(candidates), abs=2 / math.sqrt(8))


@pytest.mark.parametrize(("places", "clusters"), [(1, 2), (29, 2), (30, 3), (1000, 100), (5000, 100)])
def test_a_tenth_of_the_places_is_clusters(places, clusters):
    assert clusters_of(torch.arange(places).repeat(2)) == clusters


def test_positions_are_learned():
    """Two halves of the globe whose images differ: the cross-entropy falls far below ln 2."""
    images = seasons(places=24, dates=1)
    images.pixels[:] = images.pixels // 2
    images.pixels[12:] += 110
    images.lonlat[:, 0] = torch.where(torch.arange(24) < 12, 10.0, -170.0) + torch.arange(24) % 12
    _, made = run(images, epochs=20, clusters=2, batch_size=8, norm_groups=2, learning_rate=0.02)
    assert sum(row["geo"] for row in made.curve[-5:]) / 5 < 0.5 * math.log(2)


def test_temporal_positives_draw_the_dates_of_a_place_together():
    """Untrained features go by the colour, which is the season's; MoCo alone tells the dates of a place apart by it."""
    images = seasons()
    views = {"min_scale": 0.8, "colour_jitter": 0.02, "grey": 0.0}
    training = {"epochs": 30, "batch_size": 20, "learning_rate": 0.005, "momentum": 0.95, "temperature": 0.2, "queue": 10}

    def together(temporal: bool) -> float:
        network, _ = run(images, geo=False, temporal=temporal, norm_groups=2, **views, **training)
        return togetherness(network, images)

    assert together(True) > max(togetherness(small_network(), images), together(False)) + 0.1


def test_with_dates_the_queue_is_at_most_half_the_places():
    """20 places of 3 dates: 10 keys, where MoCo takes 30. A longer one would hold keys of the query's own place."""
    start = {"epochs": 1, "geo": False, "queue": 4096, "temperature": 1000.0, "learning_rate": 1e-9}
    assert run(**start)[1].curve[0]["total"] == pytest.approx(math.log(11), abs=2e-3)
    assert run(temporal=False, **start)[1].curve[0]["total"] == pytest.approx(math.log(31), abs=2e-3)


def test_without_positions_there_are_no_clusters():
    with pytest.raises(DataError, match="0 distinct positions"):
        run(unlabelled(32))
    assert run(unlabelled(32), epochs=1, geo=False)[1].facts == {"temporal_fallback": 1.0}


def test_fewer_than_two_images_are_refused():
    with pytest.raises(DataError, match="too few"):
        run(unlabelled(1))


@pytest.mark.parametrize(("seconds", "at"), [(60.0, "epoch 2 of 2"), (-1.0, 5)])
def test_an_interrupted_run_ends_bit_identical(tmp_path, monkeypatch, seconds, at):
    """Killed after an epoch, and two steps into the second: after each of four steps an epoch a snapshot.

    Partners are drawn from the stream that the snapshot holds.
    """
    monkeypatch.setattr(loop, "SNAPSHOT_SECONDS", seconds)
    line = stopped_and_continued(partial(run, epochs=2), tmp_path, monkeypatch, at=at)
    assert line.startswith("moco+geo+tp: continuing after epoch 1 of 2")
    assert ("and 1 steps" in line) == (seconds < 0)
