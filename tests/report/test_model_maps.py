"""The maps of stage report show the models and rows they name."""

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from cspops.data.catalogue import Observations
from cspops.errors import DataError, ParamsError
from cspops.geo import unit_vectors
from cspops.models.checkpoint import save_model
from cspops.models.heads import ClassEmbedding
from cspops.models.loading import load_location_classifier
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.report import model_maps
from cspops.report.model_maps import (
    area_fair_grid,
    class_of_map,
    directions,
    draw_class,
    draw_clusters,
    encoder_title,
    hierarchical_clusters,
    matched,
    ordered_by,
)
from cspops.report.world import World, is_land

NETWORK = {
    "name": "ffn", "hidden_layers": 1, "hidden": 16, "activation": "relu", "dropout": 0.5,
    "layer_norm": False, "output_activation": False,
}  # fmt: skip
CONFIG = {"encoding": {"name": "wrap"}, "network": NETWORK, "dim": 8}
WORLD = World(-60, 84, width=60)
NAMES = ["cat", "dog", "hare", "lynx"]


def observed(classes: list[str] = NAMES) -> Observations:
    """Twenty rows of the classes in turn; the last row has no position, the last but one no label."""
    lonlat = torch.stack((torch.linspace(-170, 170, 20), torch.linspace(-50, 70, 20)), 1).double()
    lonlat[19] = float("nan")
    label = torch.arange(20) % len(classes)
    label[18] = -1
    return Observations([f"o{i}" for i in range(20)], lonlat, label, [None] * 20, classes)


def look(loss: str = "mc", ratios: tuple[float, ...] = (0.5, 0.7, 1.0), clusters: int = 4) -> Any:
    settings = SimpleNamespace(class_name="dog", clusters=clusters, grid_degrees=10.0)
    return SimpleNamespace(loss=loss, seeds=(3, 5), label_ratios=ratios, report=settings)


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    return make_models(tmp_path, len(NAMES))


def make_models(folder: Path, classes: int) -> dict[str, Path]:
    """Random models of seed 3, and few-shot subsets: the even rows at ratio 0.5, all at 1."""
    torch.manual_seed(1)
    save_model(folder / "pretrain" / "seed_3", LocationEncoder(CONFIG), CONFIG)
    for key in ("label_50", "label_70", "label_100"):
        model = LocationClassifier(LocationEncoder(CONFIG), ClassEmbedding(8, classes))
        save_model(folder / "finetune_loc" / "seed_3" / key, model, model.config)
    (folder / "split").mkdir()
    level = pa.array([0.5 if row % 2 == 0 else 1.0 for row in range(20)], pa.float32())
    pq.write_table(pa.table({"obs_id": [f"o{i}" for i in range(20)], "seed_3": level}), folder / "split" / "few_shot.parquet")
    return {"pretrain": folder / "pretrain", "finetune-loc": folder / "finetune_loc", "split": folder / "split"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the two drawing functions are given."""
    calls: dict[str, Any] = {}
    monkeypatch.setattr(model_maps.maps, "class_map", lambda *given, **_: calls.update(class_map=given))
    monkeypatch.setattr(model_maps.maps, "cluster_map", lambda *given, **_: calls.update(cluster_map=given))
    return calls


def test_the_class_is_the_named_one_or_the_one_with_the_most_observations() -> None:
    assert class_of_map("hare", observed()) == 2
    label = torch.tensor([-1, -1, -1, 0, 1, 1, 3])
    few = Observations([""] * 7, torch.zeros(7, 2).double(), label, [None] * 7, NAMES)
    assert class_of_map(None, few) == 1


@pytest.mark.parametrize(("name", "says"), [("lynks", "did you mean `lynx`?"), ("Csa", "the classes are cat, dog, hare, lynx")])
def test_a_class_that_is_not_in_the_data_is_named_with_the_nearest(name: str, says: str) -> None:
    with pytest.raises(ParamsError) as caught:
        class_of_map(name, observed())
    assert caught.value.message == f"params.yaml: report.class: {name!r} is not a class of the data; {says}"


def test_p_is_the_normalised_sigmoid_of_the_classifier_named_in_the_title(
    inputs: dict[str, Path], asked: dict[str, Any]
) -> None:
    observations, test = observed(), torch.arange(20) % 3 == 0
    draw_class(look(), inputs, WORLD, observations, 1, test=test, file=Path("a.png"))
    panels, name, test_places, _, _ = asked["class_map"]
    assert name == "dog"
    dogs = [row for row in range(18) if row % 4 == 1]
    np.testing.assert_array_equal(test_places, observations.lonlat[[row for row in dogs if row % 3 == 0]].numpy())
    assert list(panels) == ["fine-tuned on 50 % of the labels, seed 3", "fine-tuned on 100 % of the labels, seed 3"]
    for key, panel, rows in zip(("label_50", "label_100"), panels.values(), ([], dogs), strict=True):  # dogs are odd rows
        np.testing.assert_array_equal(panel.labelled, observations.lonlat[rows].numpy())
        classifier = load_location_classifier(inputs["finetune-loc"] / "seed_3" / key)
        assert len(panel.p) == len(WORLD.lonlat)
        for pixel in range(0, len(panel.p), 97):
            with torch.no_grad():
                scores = classifier(torch.from_numpy(WORLD.lonlat[[pixel]]))[0].double()
            sigma = [1 / (1 + np.exp(-float(score))) for score in scores]
            assert panel.p[pixel] == pytest.approx(sigma[1] / sum(sigma), rel=1e-5)


def test_one_label_ratio_is_one_map_and_the_only_class_is_certain(tmp_path: Path, asked: dict[str, Any]) -> None:
    observations = observed(["only"])
    draw_class(
        look(ratios=(0.5,)), make_models(tmp_path, 1), WORLD, observations, 0, test=torch.zeros(20).bool(), file=Path("a.png")
    )
    ((_, panel),) = asked["class_map"][0].items()
    np.testing.assert_allclose(panel.p, 1)
    np.testing.assert_array_equal(panel.labelled, observations.lonlat[:18:2].numpy())  # row 18 has no label


@pytest.mark.parametrize(("loss", "title"), [("mc", "pre-trained (mc)"), ("none", "untrained (loss none)")])
def test_clusters_are_of_land_and_named_after_what_the_encoder_has_seen(
    inputs: dict[str, Path], asked: dict[str, Any], loss: str, title: str
) -> None:
    assert encoder_title(look(loss)) == title
    kept = draw_clusters(look(loss), inputs, WORLD, Path("a.png"))
    panels, points, _, _ = asked["cluster_map"]
    assert list(panels) == [f"{title}, seed 3", "fine-tuned on 50 % of the labels, seed 3"]
    before, after = panels.values()
    assert set(before) == set(after) == {0, 1, 2, 3}
    assert kept == pytest.approx(np.mean(before == after))
    assert is_land(points).all()
    assert -60 <= points[:, 1].min() <= points[:, 1].max() <= 84
    means = [np.abs(points[before == one, 1]).mean() for one in range(4)]
    assert means == sorted(means, reverse=True)


def test_an_encoder_that_fine_tuning_left_alone_keeps_all_its_colours(inputs: dict[str, Path], asked: dict[str, Any]) -> None:
    encoder = LocationEncoder(CONFIG)
    save_model(inputs["pretrain"] / "seed_3", encoder, CONFIG)
    model = LocationClassifier(encoder, ClassEmbedding(8, 4))
    save_model(inputs["finetune-loc"] / "seed_3" / "label_50", model, model.config)
    assert draw_clusters(look(), inputs, WORLD, Path("a.png")) == 1


def test_more_clusters_than_places_are_a_cluster_each(inputs: dict[str, Path], asked: dict[str, Any]) -> None:
    draw_clusters(look(clusters=10_000), inputs, WORLD, Path("a.png"))
    before, after = asked["cluster_map"][0].values()
    assert len(set(before)) == len(set(after)) == len(before)


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
