"""The stage on a catalogue of a few dozen rows made by hand: which rows are judged, what is written, that it is finite."""

import json
import math
import os
import signal
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from feature_files import write_features
from judged_set import MONTHS, RATIOS, ROLES, SEEDS, UNLABELLED, VIEW, N, Q, place, write_models, write_site

from cspops import kernels, numerics
from cspops.data.features import read_features
from cspops.data.splits import piece
from cspops.errors import DataError, EnvironmentProblem
from cspops.evaluation.pool import Pool, read_pool
from cspops.evaluation.predictor import combined_log_p, image_log_p, location_log_p
from cspops.host import Host
from cspops.models.checkpoint import save_model
from cspops.models.heads import LinearProbe
from cspops.models.loading import load_image_classifier, load_location_classifier
from cspops.pipeline import evaluate
from cspops.pipeline.paths import whole_folder
from cspops.ranks import ALONE, Processes
from cspops.site import Site
from cspops.training.distributed import run_together


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return write_site(tmp_path)


def test_judged_are_the_labelled_rows_of_the_four_roles_and_no_buffer(site: Site) -> None:
    evaluate.run(VIEW, site)
    rows = pq.read_table(site.out / "predictions.parquet").to_pylist()
    assert len(rows) == len(SEEDS) * len(RATIOS) * (36 - len(UNLABELLED))
    want = {(f"o{i}", role, i % Q) for i, role in enumerate(ROLES) if role not in ("train", "buffer") and i not in UNLABELLED}
    assert {(row["obs_id"], row["role"], row["label"]) for row in rows} == want


def test_predictions_are_those_of_the_models(site: Site) -> None:
    """All three classes, best first (there are fewer than ten), and log P of the true one; image alone without a place."""
    evaluate.run(VIEW, site)
    rows = [
        row
        for row in pq.read_table(site.out / "predictions.parquet").to_pylist()
        if (row["seed"], row["label_ratio"]) == (1, 0.5)
    ]
    index = [int(row["obs_id"][1:]) for row in rows]
    folder = site.inputs["finetune-img"] / piece(1, 0.5)
    features = torch.from_numpy(read_features(site.inputs["featurize"], [f"o{i}" for i in range(N)])[np.array(index)]).float()
    lonlat = place()[index]
    located = ~lonlat.isnan().any(1)
    classifier = load_location_classifier(site.inputs["finetune-loc"] / piece(1, 0.5))
    assert classifier.link == "sigmoid"
    with torch.inference_mode():
        image = image_log_p(load_image_classifier(folder)(features))
        location = location_log_p(classifier(lonlat.nan_to_num()), located)
    for model, log_p in {"image": image, "location": location, "combined": combined_log_p(image, location, located)}.items():
        for row, one in zip(rows, log_p, strict=True):
            assert row[f"{model}_log_p"] == pytest.approx(float(one[row["label"]]), abs=1e-6)
            assert row[f"{model}_confidence"] == pytest.approx(float(one.exp().max()), abs=1e-6)
            if row["obs_id"] not in ("o20", "o33", "o34") or model != "location":  # uniform there: any order
                assert row[model] == one.argsort(descending=True).tolist()
    for row in rows:
        if row["obs_id"] in ("o20", "o33", "o34"):
            assert row["combined"] == row["image"] == row["pool"]
            assert row["location_log_p"] == pytest.approx(-math.log(Q))


def test_everything_written_is_finite_and_complete(site: Site) -> None:
    evaluate.run(VIEW, site)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = {}
    for file in (
        *(site.out / piece(0, 0.5) / name for name in ("pool.json", "chosen.json")),
        *(site.reports / f"{n}.json" for n in ("metrics", "scores", "validation", "intervals", "regions")),
    ):
        found[file.stem] = json.loads(file.read_text(), parse_constant=refuse)
    assert (list(found["scores"]), list(found["validation"])) == (["test", "spatial_test"], ["val", "spatial_val"])
    of_test = found["scores"]["test"]
    assert found["metrics"] == {
        "test": {ratio: {one: of_test[ratio][one]["top1"]["mean"] for one in ("combined", "pool")} for ratio in of_test}
    }
    assert list(of_test["label_50"]) == [
        *("image", "location", "combined", "pool", "frequency", "histogram", "knn", "distance_knn", "kde"),
    ]
    assert list(found["regions"]) == ["test", "spatial_test"]
    assert found["chosen"]["rows"] == {"val": 11, "spatial_val": 6, "alone": 1}
    assert found["intervals"]["test"]["label_50"]["combined_minus_image"]["rows"] == 11  # one has no label
    by_kind = found["regions"]["test"]["label_50"]
    for kind in ("latitude", "cell", "distance", "density"):
        assert sum(row["rows"] for row in by_kind[kind]) == 9  # and two have no place
    for kind in ("continent", "country"):
        assert sum(row["rows"] for row in by_kind[kind]) <= 9  # and some lie at sea
    assert by_kind["worst"] == by_kind["effort"] == []  # of so few rows and cells


def test_a_set_without_rows_is_left_out(site: Site) -> None:
    file = site.inputs["split"] / "roles.parquet"
    roles = ["train" if role.startswith("spatial") else role for role in ROLES]
    pq.write_table(pa.table({"obs_id": [f"o{i}" for i in range(N)], "role": roles}), file)
    evaluate.run(VIEW, site)
    for name, there in (("scores", ["test"]), ("validation", ["val"]), ("intervals", ["test", "val"]), ("regions", ["test"])):
        assert list(json.loads((site.reports / f"{name}.json").read_text())) == there


def test_without_validation_rows_the_pool_is_the_plain_product(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    file = site.inputs["split"] / "roles.parquet"
    roles = ["train" if role == "val" else role for role in ROLES]
    pq.write_table(pa.table({"obs_id": [f"o{i}" for i in range(N)], "role": roles}), file)
    evaluate.run(VIEW, site)
    metrics = json.loads((site.reports / "scores.json").read_text())["test"]["label_50"]
    assert metrics["pool"] == metrics["combined"]
    found = read_pool(site.out / piece(0, 0.5), classes=Q, remake="")
    assert found is not None and found[0] == Pool()
    assert json.loads((site.out / piece(0, 0.5) / "chosen.json").read_text()) == {
        "rows": {"val": 0, "spatial_val": 6, "alone": 0},
        "priors": {"histogram": 10.0, "knn": 1, "distance_knn": 3, "kde": 500.0},
    }
    assert [one.message for one in caplog.records if one.levelname == "WARNING"] == [
        f"evaluate: {key}: no labelled row of role val can choose: the pool is the plain product"
        for key in ("label_50", "label_100")
    ]


def test_the_pool_written_is_the_pool_that_is_judged(site: Site) -> None:
    """Read back, with its labelled places, it gives the probabilities of predictions.parquet."""
    evaluate.run(VIEW, site)
    found = read_pool(site.out / piece(1, 0.5), classes=Q, remake="")
    assert found is not None
    pool, places = found
    assert pool.fade_km is not None and pool.count_weight in VIEW.pool.count_weight and pool.kernel_km in VIEW.pool.kernel_km
    assert len(places.label) == sum(role == "train" and i % 2 for i, role in enumerate(ROLES))
    features = torch.from_numpy(read_features(site.inputs["featurize"], [f"o{i}" for i in range(N)])[:]).float()
    lonlat, classifier = place(), load_location_classifier(site.inputs["finetune-loc"] / piece(1, 0.5))
    located = ~lonlat.isnan().any(1)
    with torch.inference_mode():
        image = image_log_p(load_image_classifier(site.inputs["finetune-img"] / piece(1, 0.5))(features))
        location = location_log_p(classifier(lonlat.nan_to_num()), located)
        want = pool.log_p(image, location, places.near(lonlat), located)
    for row in pq.read_table(site.out / "predictions.parquet").to_pylist():
        if (row["seed"], row["label_ratio"]) == (1, 0.5):
            one = want[int(row["obs_id"][1:])]
            assert row["pool_log_p"] == pytest.approx(float(one[row["label"]]), abs=1e-6)
            assert row["pool_confidence"] == pytest.approx(float(one.exp().max()), abs=1e-6)
            assert row["pool"] == one.argsort(descending=True).tolist()


@pytest.fixture
def dated_site(tmp_path: Path) -> Site:
    (tmp_path / "dated").mkdir()
    return write_site(tmp_path / "dated", dated=True)


def test_dates_are_judged_as_far_as_there_are_any(dated_site: Site) -> None:
    """P(y|x, t) of predictions.parquet is that of the classifier at the row's date; and the pool's neighbours have theirs."""
    days = replace(VIEW, pool=VIEW.pool.model_copy(update={"kernel_days": (25.0,)}))
    evaluate.run(days, dated_site)
    found = read_pool(dated_site.out / piece(1, 0.5), classes=Q, remake="")
    assert found is not None
    pool, places = found
    when = torch.tensor([torch.nan if m is None else (date(2023, m, 1) - date(2023, 1, 1)).days / 365 for m in MONTHS])
    when = when.double()
    few = [i for i, role in enumerate(ROLES) if role == "train" and i % 2]
    assert pool.kernel_days == 25.0 and places.when is not None
    torch.testing.assert_close(places.when, when[few], equal_nan=True, rtol=0, atol=1e-6)
    classifier = load_location_classifier(dated_site.inputs["finetune-loc"] / piece(1, 0.5))
    lonlat = place()
    located = ~lonlat.isnan().any(1)
    features = torch.from_numpy(read_features(dated_site.inputs["featurize"], [f"o{i}" for i in range(N)])[:]).float()
    with torch.inference_mode():
        image = image_log_p(load_image_classifier(dated_site.inputs["finetune-img"] / piece(1, 0.5))(features))
        location = location_log_p(classifier(lonlat.nan_to_num(), when), located)
        of_pool = pool.log_p(image, location, places.near(lonlat, when), located)
        undated = location_log_p(classifier(lonlat.nan_to_num()), located)
    assert not torch.allclose(location, undated)
    for row in pq.read_table(dated_site.out / "predictions.parquet").to_pylist():
        if (row["seed"], row["label_ratio"]) == (1, 0.5):
            i = int(row["obs_id"][1:])
            assert row["location_log_p"] == pytest.approx(float(location[i, row["label"]]), abs=1e-6)
            assert row["pool_log_p"] == pytest.approx(float(of_pool[i, row["label"]]), abs=1e-6)


def test_dates_of_rows_change_nothing_where_no_model_takes_them(site: Site, dated_site: Site) -> None:
    for seed in SEEDS:
        for ratio in RATIOS:
            write_models(dated_site.scratch.parent, seed, ratio)
    tables = []
    for one in (site, dated_site):
        evaluate.run(VIEW, one)
        tables.append(pq.read_table(one.out / "predictions.parquet"))
        assert "kernel_days" not in (one.out / piece(0, 0.5) / "pool.json").read_text()
    assert tables[0] == tables[1]


def test_rows_of_classes_without_a_labelled_row_choose_no_weights(site: Site) -> None:
    """Only class 0 lends labels: 4 of 12 rows of val are of it, among them none without a place, and 2 of 6 of spatial_val."""
    file = site.inputs["split"] / "few_shot.parquet"
    level = [0.5 if role == "train" and i % Q == 0 else None for i, role in enumerate(ROLES)]
    few = {f"seed_{seed}": pa.array(level, pa.float32()) for seed in SEEDS}
    pq.write_table(pa.table({"obs_id": [f"o{i}" for i in range(N)]} | few), file)
    evaluate.run(VIEW, site)
    rows = json.loads((site.out / piece(0, 0.5) / "chosen.json").read_text())["rows"]
    assert rows == {"val": 4, "spatial_val": 2, "alone": 0}


def test_the_link_is_that_of_the_saved_classifier(site: Site) -> None:
    def location_nll() -> float:
        evaluate.run(VIEW, site)
        return float(json.loads((site.reports / "scores.json").read_text())["test"]["label_50"]["location"]["nll"]["mean"])

    paper = location_nll()
    for seed in SEEDS:
        write_models(site.scratch.parent, seed, 0.5, link="softmax")
    assert location_nll() != paper


def test_a_model_that_gives_nan_is_named(site: Site) -> None:
    folder = site.inputs["finetune-img"] / piece(1, 1.0)
    probe = LinearProbe(5, Q)
    torch.nn.init.constant_(probe.linear.weight, 3e38)
    save_model(folder, probe, probe.config)
    with pytest.raises(DataError, match=r"seed_1/label_100 gives scores that are not finite"):
        evaluate.run(VIEW, site)


def test_some_rows_at_a_time_give_the_same_files(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five rows at a time: float32 scores of other batches may differ in their last bits, the rounded metrics in 1e-4."""
    evaluate.run(VIEW, site)
    names = ("reports/scores.json", "reports/validation.json", "reports/regions.json")
    before = {name: json.loads((site.out / name).read_text()) for name in names}
    whole = pq.read_table(site.out / "predictions.parquet").to_pylist()
    monkeypatch.setattr(kernels, "TABLE", 5 * Q)
    monkeypatch.setattr(kernels, "CACHE", 2 * Q)
    monkeypatch.setattr(evaluate, "AT_ONCE", 5 * Q)
    evaluate.run(VIEW, site)
    for name, content in before.items():
        for one, other in zip(numbers(content), numbers(json.loads((site.out / name).read_text())), strict=True):
            assert one == pytest.approx(other, abs=2e-4), name
    for one, other in zip(whole, pq.read_table(site.out / "predictions.parquet").to_pylist(), strict=True):
        for model in ("image", "combined", "pool"):
            assert one[model] == other[model]
            assert one[f"{model}_log_p"] == pytest.approx(other[f"{model}_log_p"], abs=1e-4)


def test_processes_side_by_side_write_the_same_bytes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def written() -> dict[Path, bytes]:
        evaluate.run(VIEW, replace(site, host=Host(workers="2")))
        return {path: path.read_bytes() for path in site.out.rglob("*") if path.is_file()}

    alone = written()
    monkeypatch.setattr(numerics, "portable", lambda: True)
    assert written() == alone


def in_parts(what: str, processes: Processes, device: torch.device, *, site: Site) -> None:
    """Judge five rows at a time; only the first process writes, and the second one dies if it is to."""
    evaluate.AT_ONCE = 5 * Q
    if what == "killed" and not processes.first:
        os.kill(os.getpid(), signal.SIGKILL)
    out = site.out / ("one" if processes.size == 1 else "two") if processes.first else site.out / "nowhere"
    out.mkdir()
    evaluate.run(VIEW, replace(site, out=out, host=Host(workers="0"), shared_by=processes))


@pytest.mark.parametrize("choose", ["val", "train"])
def test_two_processes_judge_every_other_part_and_the_first_writes_what_one_writes(
    site: Site, monkeypatch: pytest.MonkeyPatch, choose: str
) -> None:
    """To the bit, whether validation chooses or not: five rows at a time, in eleven parts."""
    roles = [choose if role == "val" else role for role in ROLES]
    table = pa.table({"obs_id": [f"o{i}" for i in range(N)], "role": roles})
    pq.write_table(table, site.inputs["split"] / "roles.parquet")
    monkeypatch.setattr(evaluate, "AT_ONCE", 5 * Q)
    in_parts("whole", ALONE, torch.device("cpu"), site=site)
    run_together(partial(in_parts, site=site), "whole", size=2, device=torch.device("cpu"))
    one, two = (
        {path.relative_to(site.out / name): path.read_bytes() for path in (site.out / name).rglob("*") if path.is_file()}
        for name in ("one", "two")
    )
    assert Path("predictions.parquet") in one and two == one


def test_a_killed_process_ends_the_evaluation(site: Site) -> None:
    target = site.scratch / "evaluate"
    with (
        pytest.raises(EnvironmentProblem, match=r"process 1 of 2 was killed \(signal 9: out of memory\?\)"),
        whole_folder(target, {}) as out,
    ):
        run_together(partial(in_parts, site=replace(site, out=out)), "killed", size=2, device=torch.device("cpu"))
    assert list(site.scratch.iterdir()) == []


def numbers(content: Any) -> list[Any]:
    """The leaves of a tree of JSON, in order."""
    if isinstance(content, dict):
        content = list(content.values())
    return [leaf for one in content for leaf in numbers(one)] if isinstance(content, list) else [content]


def test_no_labelled_test_row_leaves_nothing_to_report(site: Site) -> None:
    file = site.inputs["split"] / "roles.parquet"
    roles = ["val" if role in ("test", "spatial_test") else role for role in ROLES]
    pq.write_table(pa.table({"obs_id": [f"o{i}" for i in range(N)], "role": roles}), file)
    with pytest.raises(DataError, match="no row of role test or spatial_test has a label"):
        evaluate.run(VIEW, site)


def test_features_in_many_shards_are_judged_as_in_one(site: Site) -> None:
    evaluate.run(VIEW, site)
    one = (site.out / "predictions.parquet").read_bytes()
    ids = [f"o{i}" for i in range(N)]
    write_features(site.out / "many", ids, read_features(site.inputs["featurize"], ids)[:], rows_per_shard=7)
    evaluate.run(VIEW, replace(site, inputs={**site.inputs, "featurize": site.out / "many"}))
    assert (site.out / "predictions.parquet").read_bytes() == one
