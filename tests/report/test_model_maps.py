"""The maps of stage report show the models and rows they name."""

import calendar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from cspops.climate_raster import is_land
from cspops.data.catalogue import Observations
from cspops.data.dates import day_share
from cspops.errors import ParamsError
from cspops.evaluation.predictor import LocationPredictor
from cspops.models.checkpoint import save_model
from cspops.models.heads import ClassEmbedding
from cspops.models.loading import load_location_classifier
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.report import class_months, model_maps
from cspops.report.model_maps import ClassFigures, class_of_map, draw_classes, draw_clusters, encoder_title
from cspops.report.reach import Reach
from cspops.report.world import World

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
    return Observations([f"o{i}" for i in range(20)], lonlat, label, [None] * 20, classes, torch.full((20,), torch.nan))


def look(loss: str = "mc", ratios: tuple[float, ...] = (0.5, 0.7, 1.0), clusters: int = 4) -> Any:
    settings = SimpleNamespace(class_name="dog", clusters=clusters, grid_degrees=10.0)
    return SimpleNamespace(loss=loss, seeds=(3, 5), label_ratios=ratios, report=settings)


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    return make_models(tmp_path, len(NAMES))


def make_models(folder: Path, classes: int) -> dict[str, Path]:
    """Random models of seed 3, and few-shot subsets: the even rows at ratio 0.5, all at 1. Every third row is of role test."""
    torch.manual_seed(1)
    save_model(folder / "pretrain" / "seed_3", LocationEncoder(CONFIG), CONFIG)
    for key in ("label_50", "label_70", "label_100"):
        model = LocationClassifier(LocationEncoder(CONFIG), ClassEmbedding(8, classes))
        save_model(folder / "finetune_loc" / "seed_3" / key, model, model.config)
    (folder / "split").mkdir()
    level = pa.array([0.5 if row % 2 == 0 else 1.0 for row in range(20)], pa.float32())
    pq.write_table(pa.table({"obs_id": [f"o{i}" for i in range(20)], "seed_3": level}), folder / "split" / "few_shot.parquet")
    roles = [("test", "train", "train")[row % 3] for row in range(20)]
    pq.write_table(pa.table({"obs_id": [f"o{i}" for i in range(20)], "role": roles}), folder / "split" / "roles.parquet")
    return {"pretrain": folder / "pretrain", "finetune-loc": folder / "finetune_loc", "split": folder / "split"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the three drawing functions are given."""
    calls: dict[str, Any] = {}
    monkeypatch.setattr(model_maps.maps, "class_map", lambda *given, **_: calls.update(class_map=given))
    monkeypatch.setattr(model_maps.maps, "cluster_map", lambda *given, **named: calls.update(cluster_map=given, **named))

    def likeliest(*given: Any, title: str | None) -> list[tuple[str, str]]:
        calls["likeliest"] = (*given, title)
        return []

    monkeypatch.setattr(model_maps, "likeliest_map", likeliest)
    return calls


FIGURES = ClassFigures(Path("a.png"), Path("b.png"))
NO_END = Reach.of(np.zeros((0, 2)))


def test_the_class_is_the_named_one_or_the_one_with_the_most_observations() -> None:
    assert class_of_map("hare", observed()) == 2
    label = torch.tensor([-1, -1, -1, 0, 1, 1, 3])
    few = Observations([""] * 7, torch.zeros(7, 2).double(), label, [None] * 7, NAMES, torch.full((7,), torch.nan))
    assert class_of_map(None, few) == 1


@pytest.mark.parametrize(("name", "says"), [("lynks", "did you mean `lynx`?"), ("Xyz", "the classes are cat, dog, hare, lynx")])
def test_a_class_that_is_not_in_the_data_is_named_with_the_nearest(name: str, says: str) -> None:
    with pytest.raises(ParamsError) as caught:
        class_of_map(name, observed())
    assert caught.value.message == f"params.yaml: report.class: {name!r} is not a class of the data; {says}"


def test_p_is_the_normalised_sigmoid_of_the_classifier_named_in_the_title(
    inputs: dict[str, Path], asked: dict[str, Any]
) -> None:
    observations = observed()
    titles, last, _ = draw_classes(look(), inputs, WORLD, observations, 1, FIGURES)
    panels, name, test_places, _, _ = asked["class_map"]
    assert name == "dog"
    dogs = [row for row in range(18) if row % 4 == 1]
    np.testing.assert_array_equal(test_places, observations.lonlat[[row for row in dogs if row % 3 == 0]].numpy())
    known = {50: observations.lonlat[:19:2], 100: observations.lonlat[:19]}
    assert titles == list(panels)
    assert titles == [
        f"with {ratio} % of the labels, seed 3, hatched beyond {Reach.of(places.numpy()).km:,.0f} km"
        for ratio, places in known.items()
    ]
    for key, panel, rows in zip(("label_50", "label_100"), panels.values(), ([], dogs), strict=True):  # dogs are odd rows
        np.testing.assert_array_equal(panel.labelled, observations.lonlat[rows].numpy())
        classifier = load_location_classifier(inputs["finetune-loc"] / "seed_3" / key)
        assert len(panel.p) == len(WORLD.lonlat)
        for pixel in range(0, len(panel.p), 97):
            with torch.no_grad():
                scores = classifier(torch.from_numpy(WORLD.lonlat[[pixel]]))[0].double()
            sigma = [1 / (1 + np.exp(-float(score))) for score in scores]
            assert panel.p[pixel] == pytest.approx(sigma[1] / sum(sigma), rel=1e-5)
            best = int(scores.argmax())  # of the last classifier at the end
    number, classes, _, _, title = asked["likeliest"]
    assert (number[pixel], classes, title) == (best, NAMES, f"The most likely class, {last}")


def test_classes_are_drawn_near_labelled_places_alone(inputs: dict[str, Path], asked: dict[str, Any]) -> None:
    """Twenty rows within some 60 km: all other land is hatched, on the map of one class and on that of the most likely."""
    observations = observed()
    observations.lonlat[:19] = torch.stack((torch.linspace(10, 10.5, 19), torch.linspace(50, 50.5, 19)), 1)
    draw_classes(look(), inputs, WORLD, observations, 1, FIGURES)
    number = asked["likeliest"][0]
    for panel in asked["class_map"][0].values():
        drawn = ~np.isnan(panel.p)
        assert 0 < drawn.sum() < 12
        assert np.abs(WORLD.lonlat[drawn] - (10, 50)).max() < 15
    np.testing.assert_array_equal(number >= 0, drawn)


def test_one_label_ratio_is_one_map_and_the_only_class_is_certain(tmp_path: Path, asked: dict[str, Any]) -> None:
    observations = observed(["only"])
    draw_classes(look(ratios=(0.5,)), make_models(tmp_path, 1), WORLD, observations, 0, FIGURES)
    ((_, panel),) = asked["class_map"][0].items()
    np.testing.assert_allclose(panel.p, 1)
    np.testing.assert_array_equal(panel.labelled, observations.lonlat[:18:2].numpy())  # row 18 has no label


@pytest.mark.parametrize(("loss", "title"), [("mc", "pre-trained (mc)"), ("none", "untrained (loss none)")])
def test_clusters_are_of_land_and_named_after_what_the_encoder_has_seen(
    inputs: dict[str, Path], asked: dict[str, Any], loss: str, title: str
) -> None:
    assert encoder_title(look(loss)) == title
    titles, kept = draw_clusters(look(loss), inputs, WORLD, NO_END, Path("a.png"))
    panels, points, _, _ = asked["cluster_map"]
    assert list(panels) == titles == [f"{title}, seed 3", "with 50 % of the labels, seed 3"]
    before, after = panels.values()
    assert set(before) == set(after) == {0, 1, 2, 3}
    assert kept == pytest.approx(np.mean(before == after))
    assert is_land(points).all()
    assert -60 <= points[:, 1].min() <= points[:, 1].max() <= 84
    means = [np.abs(points[before == one, 1]).mean() for one in range(4)]
    assert means == sorted(means, reverse=True)


def test_an_encoder_that_fine_tuning_left_alone_is_drawn_once(inputs: dict[str, Path], asked: dict[str, Any]) -> None:
    encoder = LocationEncoder(CONFIG)
    save_model(inputs["pretrain"] / "seed_3", encoder, CONFIG)
    model = LocationClassifier(encoder, ClassEmbedding(8, 4))
    save_model(inputs["finetune-loc"] / "seed_3" / "label_50", model, model.config)
    one = "pre-trained (mc), before and after fine-tuning, seed 3"
    assert draw_clusters(look(), inputs, WORLD, NO_END, Path("a.png")) == ([one], 1)
    assert list(asked["cluster_map"][0]) == [one]


def test_more_clusters_than_places_are_a_cluster_each(inputs: dict[str, Path], asked: dict[str, Any]) -> None:
    draw_clusters(look(clusters=10_000), inputs, WORLD, NO_END, Path("a.png"))
    before, after = asked["cluster_map"][0].values()
    assert len(set(before)) == len(set(after)) == len(before)


@pytest.mark.parametrize("world", [WORLD, World(40, 60, west=0, east=20, width=60)], ids=["world", "box"])
def test_clusters_are_of_places_near_training_rows_alone(inputs: dict[str, Path], asked: dict[str, Any], world: World) -> None:
    reach = Reach.of(np.random.default_rng(0).uniform((8, 48), (12, 52), (200, 2)))
    draw_clusters(look(), inputs, world, reach, Path("a.png"))
    points = asked["cluster_map"][1]
    assert len(points) > 0
    for lonlat in (points, world.lonlat[asked["drawn"]]):
        assert ((lonlat > (0, 43)) & (lonlat < (17, 57))).all()


def test_the_months_of_a_class_are_p_at_their_middle(inputs, tmp_path, monkeypatch):
    """By the classifier of the largest ratio, for one class of four, as far as the map without dates."""
    panels = {}
    monkeypatch.setattr(class_months, "month_map", lambda found, *_, **__: panels.update(found))
    torch.manual_seed(0)
    encoder = LocationEncoder(CONFIG | {"time": {"name": "harmonics", "orders": 2, "dropped": 0.0}})
    dated = LocationClassifier(encoder, ClassEmbedding(8, 4)).eval()
    save_model(inputs["finetune-loc"] / "seed_3" / "label_100", dated, dated.config)
    title = class_months.draw_class_months(look(), inputs, WORLD, observed(), 1, tmp_path / "months.png")
    assert title is not None and title.startswith(
        "in the middle of each month, with 100 % of the labels, seed 3, hatched beyond"
    )
    assert list(panels) == list(calendar.month_name)[1:]
    where = ~np.isnan(panels["July"])
    when = torch.full((int(where.sum()),), day_share("July"), dtype=torch.float64)
    expected = LocationPredictor(dated)(torch.from_numpy(WORLD.lonlat[where]), when)[:, 1].exp()
    np.testing.assert_allclose(panels["July"][where], expected.detach())
    assert not np.allclose(panels["January"][where], panels["July"][where])


def test_without_time_there_is_no_strip(inputs, tmp_path):
    assert class_months.draw_class_months(look(), inputs, WORLD, observed(), 1, tmp_path / "months.png") is None
    assert not (tmp_path / "months.png").exists()
