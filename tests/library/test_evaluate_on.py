"""Trained models scored on other images: the same numbers as by hand, whatever the size of a piece."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from location_runs import CLASSES, make_classifier, write_run
from PIL import Image

import cspops
from cspops.data.schemas import SCHEMA
from cspops.errors import DataError
from cspops.evaluation.groups import WITHIN_KM
from cspops.geo import haversine
from cspops.library import evaluate_on
from cspops.library.given_dates import Day, day_of_option
from cspops.library.inputs import Input
from cspops.library.loading import load_seeds
from cspops.library.model import Model
from cspops.library.taxonomy import RollUp


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project") / "artifacts"
    write_run(folder, seeds=(0, 1), ratios=(0.5, 1.0))
    return folder


@pytest.fixture(scope="module")
def models(run):
    return load_seeds(run)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Twelve labelled images, of which every fifth has no position, and one without a label."""
    folder, draws, out = tmp_path_factory.mktemp("images"), np.random.default_rng(0), []
    for number in range(12):
        file = folder / f"{number}.png"
        Image.fromarray(draws.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file)
        lon, lat = (np.nan, np.nan) if number % 5 == 4 else draws.uniform((-180, -60), (180, 80))
        out.append(Input(str(number), file, float(lon), float(lat), "table", label=CLASSES[number % 2]))
    return [*out, Input("12", out[0].image, 0.0, 0.0, "table")]


def test_the_metrics_are_those_of_the_models_own_probabilities(run, models, rows):
    document = evaluate_on.score(models, iter(rows), run=run, by_class=True)
    assert (document["rows"], document["scored"], document["seeds"], document["label_ratio"]) == (13, 12, [0, 1], 1.0)
    assert document["not_scored"] == {"no label": {"rows": 1, "such_as": ["12"]}}
    assert sum(document["scored_without_position"].values()) == 2
    lonlat = np.array([[row.lon, row.lat] for row in rows[:12]])
    images, label = [row.image for row in rows[:12]], np.arange(12) % 2
    for name, ask in {
        "image": lambda model: model.predict_proba(images, combine="image"),
        "location": lambda model: model.predict_proba(lonlat=lonlat, combine="location"),
        "combined": lambda model: model.predict_proba(images, lonlat, combine="product"),
        "pool": lambda model: model.predict_proba(images, lonlat),
    }.items():
        nll, hits = [], []
        for model in models.values():
            p = ask(model)
            nll.append(-np.log(p[np.arange(12), label]).mean())
            own = p[np.arange(12), label][:, None]
            hits.append((p >= own).sum(1) == 1)
        found = document["metrics"][name]
        assert found["nll"] == {
            "mean": pytest.approx(np.mean(nll), abs=1e-4),
            "sd": pytest.approx(np.std(nll, ddof=1), abs=1e-4),
        }
        assert found["top1"]["mean"] == pytest.approx(100 * np.mean(hits), abs=1e-4)
        for one in document["per_class"]:
            of_class = np.array(hits)[:, label == CLASSES.index(one["class"])]
            assert one["top1"][name] == pytest.approx(100 * of_class.mean(), abs=1e-4)


def test_rows_are_scored_at_their_dates(tmp_path, rows):
    write_run(tmp_path / "artifacts", dated=True)
    model = cspops.load(tmp_path)
    days = [day_of_option(one) for one in ("June", "none", "12-24")]
    dated = [replace(row, day=days[number % 3]) for number, row in enumerate(rows)]
    dated[1:5:3] = [replace(row, day=Day(problem="no such day")) for row in dated[1:5:3]]
    document = evaluate_on.score({0: model}, iter(dated), run=None)
    assert (document["dated"], document["scored"]) == (8, 12)
    assert document["unusable_dates"] == {"rows": 2, "first": f"{rows[1].where}: no such day"}
    when = torch.tensor([row.day.when for row in dated[:12]], dtype=torch.float64)
    lonlat, label = np.array([[row.lon, row.lat] for row in rows[:12]]), np.arange(12) % 2
    for combine, name in (("pool", "pool"), ("location", "location")):
        images = [row.image for row in rows[:12]] if combine == "pool" else None
        p = [model.predict_proba(images, lonlat, dates=dates, combine=combine) for dates in (when, None)]
        nll, without = (-np.log(one[np.arange(12), label]).mean() for one in p)
        assert document["metrics"][name]["nll"]["mean"] == pytest.approx(nll, abs=1e-4)
        assert abs(nll - without) > 1e-3


def test_weights_are_those_of_the_models_and_the_document_says_them(models, rows):
    weighed = {seed: model.weighed(0.25, {"place": 2.0}) for seed, model in models.items()}
    document = evaluate_on.score(weighed, iter(rows), run=None)
    assert document["weights"] == "prior weight 0.25, weight of place 2"
    images, lonlat = [row.image for row in rows[:12]], np.array([[row.lon, row.lat] for row in rows[:12]])
    for name, combine in (("combined", "product"), ("pool", "pool")):
        nll = []
        for model in models.values():
            p = model.predict_proba(images, lonlat, combine=combine, prior_weight=0.25, weights={"place": 2.0})
            nll.append(-np.log(p[np.arange(12), np.arange(12) % 2]).mean())
        assert document["metrics"][name]["nll"]["mean"] == pytest.approx(np.mean(nll), abs=1e-4)
    assert evaluate_on.score(models, iter(rows), run=None)["weights"] is None


def test_labels_that_are_no_candidates_count_as_wrong_and_masked_rows_are_counted(models, rows):
    images, lonlat, label = (
        [row.image for row in rows[:12]],
        np.array([[row.lon, row.lat] for row in rows[:12]]),
        np.arange(12) % 2,
    )
    restricted = {seed: model.among(["fir", "oak"]) for seed, model in models.items()}
    document = evaluate_on.score(restricted, iter(rows), run=None, by_class=True)
    free = [model.predict_proba(images, lonlat) for model in models.values()]
    p = [model.predict_proba(images, lonlat) for model in restricted.values()]
    hits = [(one.argmax(1) == label).mean() for one in p]
    pool = document["metrics"]["pool"]
    assert pool["top1"]["mean"] == pytest.approx(100 * np.mean(hits), abs=1e-4) and "nll" not in pool
    assert pool["top10"]["mean"] == pytest.approx(100.0)
    about = document["candidates"]
    assert (about["classes"], about["label_is_none"]) == (2, 6)
    assert about["best_is_none"]["pool"] == np.mean([(one.argmax(1) == 0).sum() for one in free])
    every = evaluate_on.score({seed: model.among(CLASSES[:2]) for seed, model in models.items()}, iter(rows), run=None)
    assert every["candidates"]["label_is_none"] == 0 and "nll" in every["metrics"]["pool"]


def test_answers_are_scored_by_coverage_and_accuracy(models, rows, tmp_path):
    (tmp_path / "trees.csv").write_text("class,kind\noak,broadleaved\nbeech,broadleaved\nfir,conifer\n")
    roll_up = RollUp.of(CLASSES, 0.6, tmp_path / "trees.csv")
    document = evaluate_on.score(models, iter(rows), run=None, roll_up=roll_up)["rolled_up"]
    images, lonlat, label = (
        [row.image for row in rows[:12]],
        np.array([[row.lon, row.lat] for row in rows[:12]]),
        np.arange(12) % 2,
    )
    kind, coverage, accuracy, itself = np.array([0, 1, 0]), [], [], []
    for model in models.values():
        p = model.predict_proba(images, lonlat)
        best = p.argmax(1)
        in_kind = np.where(kind[best] == 0, p[:, 0] + p[:, 2], p[:, 1])
        sure, above = p.max(1) >= 0.6, in_kind >= 0.6
        right = np.where(sure, best == label, kind[best] == kind[label])[sure | above]
        coverage.append(100 * (sure | above).mean())
        itself.append(sure)
        accuracy += [100 * right.mean()] if len(right) else []
    pool = document["models"]["pool"]
    assert document["min_confidence"] == 0.6
    assert pool["coverage"]["mean"] == pytest.approx(np.mean(coverage), abs=1e-3)
    assert pool["accuracy"]["mean"] == pytest.approx(np.mean(accuracy), abs=1e-3)
    assert pool["by_steps"][0]["share"] == pytest.approx(100 * np.mean(itself), abs=1e-3)
    assert sum(one["share"] for one in pool["by_steps"]) == pytest.approx(pool["coverage"]["mean"], abs=1e-3)
    assert set(document["models"]) == {"image", "location", "combined", "pool"}


def test_the_size_of_a_piece_changes_nothing(run, models, rows, monkeypatch):
    whole = evaluate_on.score(models, iter(rows), run=run, by_class=True)
    monkeypatch.setattr(evaluate_on, "BATCH", 5)
    assert evaluate_on.score(models, iter(rows), run=run, by_class=True) == whole


def test_no_more_images_are_held_than_a_piece_has(run, models, rows, monkeypatch):
    monkeypatch.setattr(evaluate_on, "BATCH", 2)
    held, add = [], evaluate_on._add
    monkeypatch.setattr(
        evaluate_on,
        "_add",
        lambda growing, models, part, **how: (held.append(len(part)), add(growing, models, part, **how)),
    )
    evaluate_on.score(models, iter(rows), run=run)
    assert held == [2] * 6


def test_seeds_that_share_a_network_ask_it_once(models, rows, monkeypatch):
    first, second = models.values()
    assert first.image.network is second.image.network
    calls, ask = [], type(first.image).features_of_squares
    monkeypatch.setattr(type(first.image), "features_of_squares", lambda self, squares: calls.append(1) or ask(self, squares))
    evaluate_on.score(models, iter(rows), run=None)
    assert len(calls) == 1


def test_regions_count_from_the_labelled_rows_of_the_run_where_they_are_known(run, models, rows):
    without = evaluate_on.score(models, iter(rows), run=run, by_region=True)["regions"]
    assert set(without) == {"latitude", "cell", "continent", "country", "worst"}
    assert sum(one["rows"] for one in without["latitude"]) == 10
    known = torch.tensor([[0.0, 0.0], [120.0, 40.0], [-60.0, -10.0]], dtype=torch.float64)
    columns = {"obs_id": ["a", "b", "c"], "lon": known[:, 0].tolist(), "lat": known[:, 1].tolist(), "label": [0, 1, 0]}
    rest = {field.name: pa.nulls(3, field.type) for field in SCHEMA if field.name not in columns}
    table = pa.table({name: (columns | rest)[name] for name in SCHEMA.names}).cast(SCHEMA)
    pq.write_table(table, run / "download" / "observations.parquet")
    (run / "split").mkdir()
    few = {
        "obs_id": ["a", "b", "c"],
        "seed_0": pa.array([0.5, 1, None], pa.float32()),
        "seed_1": pa.array([1, 1, 1], pa.float32()),
    }
    pq.write_table(pa.table(few), run / "split" / "few_shot.parquet")
    found = evaluate_on.score(models, iter(rows), run=run, by_region=True)["regions"]
    places = torch.tensor([[row.lon, row.lat] for row in rows[:12] if row.lon == row.lon], dtype=torch.float64)
    km = haversine(places[:, None], known)
    nearest = torch.cat((km[:, :2].amin(1), km.amin(1)))
    for one in found["distance"]:
        high = one["to"] if one["to"] is not None else np.inf
        assert one["rows"] == pytest.approx(float(((nearest >= one["from"]) & (nearest < high)).sum()) / 2)
    within = torch.cat(((km[:, :2] <= WITHIN_KM).sum(1), (km <= WITHIN_KM).sum(1)))
    for one in found["density"]:
        high = one["to"] if one["to"] is not None else np.inf
        assert one["rows"] == pytest.approx(float(((within >= one["from"]) & (within < high)).sum()) / 2)
    assert {kind: found[kind] for kind in without} == without


def test_a_location_classifier_alone_is_scored_on_rows_with_a_position(rows):
    classifier = make_classifier()
    model = Model(classifier.encoder, classifier, classes=tuple(CLASSES))
    document = evaluate_on.score({0: model}, iter(rows), run=None)
    assert list(document["metrics"]) == ["location"]
    assert (document["scored"], document["seeds"]) == (10, None)
    with pytest.raises(DataError, match="no image classifier"):
        evaluate_on.score({0: model}, iter(rows), run=None, by_region=True)


def test_a_model_without_classes_and_labels_that_nobody_knows_are_refused(models, rows):
    with pytest.raises(DataError, match="no location classifier with named classes"):
        evaluate_on.score({0: Model(make_classifier().encoder)}, iter(rows), run=None)
    strange = [Input("x", rows[0].image, 1.0, 2.0, "table", label="elm")]
    with pytest.raises(DataError, match="the labels are 'elm'; the classes are 'beech', 'fir', 'oak'"):
        evaluate_on.score(models, iter(strange), run=None)
