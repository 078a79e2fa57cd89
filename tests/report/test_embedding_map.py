"""The grid is fair to areas; clusters are Ward's; colours follow overlap."""

import itertools

import numpy as np
import pytest
import torch

from cspops.errors import DataError
from cspops.geo import unit_vectors
from cspops.models.location_encoder import LocationEncoder
from cspops.report import model_maps
from cspops.report.model_maps import area_fair_grid, directions, hierarchical_clusters, matched, ordered_by

CONFIG = {
    "encoding": {"name": "grid", "scales": 4, "r_min": 5.0, "r_max": 360.0},
    "network": {
        "name": "ffn", "hidden_layers": 1, "hidden": 16, "activation": "relu", "dropout": 0.5,
        "layer_norm": False, "output_activation": True,
    },
    "dim": 8,
}  # fmt: skip


@pytest.mark.parametrize("degrees", [1.0, 2.5, 7.0])
def test_each_point_of_the_grid_stands_for_the_same_area(degrees: float) -> None:
    """The sphere is 4 pi (180 / pi)^2 = 41253 square degrees; a belt from latitude a to b is (sin b - sin a) / 2 of it.

    A row's count is rounded, so it is off by half a point at most; rows are cut at a belt's edge, so by one row more.
    """
    lat = area_fair_grid(degrees)[:, 1]
    rows = len(lat.unique())
    spacing = 180 / rows
    assert degrees - spacing < degrees / rows + 1e-9
    assert spacing <= degrees
    expected = 4 * np.pi * (180 / np.pi) ** 2 / (degrees * spacing)
    assert abs(len(lat) - expected) <= rows / 2 + 1 + 0.001 * expected
    belt = ((lat > 30) & (lat < 60)).sum().item()
    share = (np.sin(np.pi / 3) - np.sin(np.pi / 6)) / 2
    assert abs(belt - share * expected) <= rows / 2 + 360 / degrees


def test_the_grid_is_on_the_globe_and_balanced_about_its_centre() -> None:
    grid = area_fair_grid(3.0)
    assert bool(((grid[:, 0] >= -180) & (grid[:, 0] < 180) & (grid[:, 1].abs() < 90)).all())
    torch.testing.assert_close(unit_vectors(grid).mean(0), torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)


def test_directions_are_normalised_embeddings_without_dropout_whatever_the_block() -> None:
    torch.manual_seed(0)
    encoder = LocationEncoder(CONFIG).train()
    lonlat = area_fair_grid(20.0)
    found = directions(encoder, lonlat)
    with torch.no_grad():
        embedding = encoder.eval()(lonlat).float().numpy()
    for row, vector in zip(found, embedding, strict=True):
        np.testing.assert_allclose(row, vector / max(np.sqrt((vector**2).sum()), 1e-12), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(directions(encoder.train(), lonlat, rows=7), found, rtol=1e-5, atol=1e-6)


def test_an_encoder_that_has_diverged_is_named() -> None:
    encoder = LocationEncoder(CONFIG)
    with torch.no_grad():
        next(encoder.parameters()).fill_(float("nan"))
    with pytest.raises(DataError, match="not finite"):
        directions(encoder, area_fair_grid(30.0))


def parts(labels: np.ndarray) -> set[frozenset[int]]:
    """The clusters as sets of rows, whatever their numbers."""
    return {frozenset(np.flatnonzero(labels == one).tolist()) for one in np.unique(labels)}


def ward(points: np.ndarray, clusters: int) -> set[frozenset[int]]:
    """Merge the two clusters whose merger adds least to the sum of squared distances to the means, again and again."""
    found = [frozenset([row]) for row in range(len(points))]

    def spread(rows: frozenset[int]) -> float:
        some = points[sorted(rows)]
        return float(((some - some.mean(0)) ** 2).sum())

    while len(found) > clusters:
        a, b = min(itertools.combinations(found, 2), key=lambda two: spread(two[0] | two[1]) - spread(two[0]) - spread(two[1]))
        found = [one for one in found if one not in (a, b)] + [a | b]
    return set(found)


@pytest.mark.parametrize("clusters", [1, 2, 4, 9])
def test_clusters_are_those_of_ward_by_definition(clusters: int) -> None:
    points = np.random.default_rng(3).normal(size=(18, 3))
    assert parts(hierarchical_clusters(points, clusters)) == ward(points, clusters)


def test_fewer_rows_than_clusters_are_a_cluster_each() -> None:
    assert hierarchical_clusters(np.eye(3), 5).tolist() == [0, 1, 2]
    assert hierarchical_clusters(np.eye(1), 5).tolist() == [0]


@pytest.mark.parametrize("limit", [1, 10, 40])
def test_rows_beyond_the_limit_join_the_nearest_linked_row(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    points = np.random.default_rng(4).normal(size=(57, 3))
    monkeypatch.setattr(model_maps, "MAX_LINKED", limit)
    labels = hierarchical_clusters(points, 3)
    step = -(-57 // limit)
    linked = points[::step]
    assert len(linked) <= limit
    assert parts(labels[::step]) == ward(linked, 3)
    for row in range(57):
        distances = [((points[row] - other) ** 2).sum() for other in linked]
        assert labels[row] == labels[::step][int(np.argmin(distances))]


def test_the_order_is_that_of_the_means() -> None:
    labels, value = np.array([7, 7, 2, 5, 5, 5]), np.array([1.0, 3.0, 9.0, -4.0, 0.0, 1.0])
    assert ordered_by(labels, value).tolist() == [1, 1, 2, 0, 0, 0]  # means 2, 9, -1


def test_the_match_is_the_best_of_all_renumberings() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        labels, reference = rng.integers(0, 4, 30), rng.integers(0, 4, 30)
        renamed, kept = matched(labels, reference)
        best = max(np.mean(np.array(order)[labels] == reference) for order in itertools.permutations(range(4)))
        assert kept == pytest.approx(best)
        assert kept == pytest.approx(np.mean(renamed == reference))
        assert parts(renamed) == parts(labels)


def test_a_mere_renumbering_is_undone_and_numbers_of_clusters_may_differ() -> None:
    reference = np.array([0, 0, 1, 1, 2, 2])
    renamed, kept = matched(np.array([2, 2, 0, 0, 1, 1]), reference)
    assert renamed.tolist() == reference.tolist()
    assert kept == 1
    renamed, kept = matched(np.array([0, 0, 0, 0, 0, 1]), reference)
    assert renamed[:5].tolist() in ([0] * 5, [1] * 5)
    assert renamed[5] == 2
    assert kept == pytest.approx(3 / 6)
    assert matched(reference, np.zeros(6, dtype=int))[1] == pytest.approx(2 / 6)
