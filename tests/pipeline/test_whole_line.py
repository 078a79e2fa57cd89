"""The whole graph by `dvc repro`, small, through the real command line: results, what runs again, experiments."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from edited_params import set_params
from PIL import Image
from small_project import run


def stages_run(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def metrics(project: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((project / "reports/scores.json").read_text())
    return content


def test_the_keys_of_the_metrics_are_these(project: Path) -> None:
    found = metrics(project)
    assert list(found) == ["test", "spatial_test"]
    assert list(json.loads((project / "reports/validation.json").read_text())) == ["val", "spatial_val"]
    for ratios in found.values():
        assert list(ratios) == ["label_10", "label_100"]
        for models in ratios.values():
            assert list(models) == [*LEARNED, *PRIORS]
            for model, scores in models.items():
                assert list(scores) == (LEARNED_METRICS if model in LEARNED else PRIOR_METRICS)
                for metric, value in scores.items():
                    assert list(value) == ["mean", "sd"]
                    assert 0 <= value["mean"] <= (100 if metric != "nll" else 1000)


LEARNED = ["image", "location", "combined", "pool"]
PRIORS = ["frequency", "histogram", "knn", "distance_knn", "kde"]
LEARNED_METRICS = ["top1", "top3", "top5", "top10", "mrr", "balanced_top1", "nll", "ece"]
PRIOR_METRICS = ["top1", "top5", "mrr", "balanced_top1", "nll"]


def test_intervals_and_regions_are_of_the_same_rows_as_the_metrics(project: Path) -> None:
    intervals, regions = (json.loads((project / f"reports/{name}.json").read_text()) for name in ("intervals", "regions"))
    assert list(intervals) == ["test", "spatial_test", "val", "spatial_val"]
    for role, ratios in metrics(project).items():
        for ratio, models in ratios.items():
            gain = models["pool"]["top1"]["mean"] - models["image"]["top1"]["mean"]
            found = intervals[role][ratio]["pool_minus_image"]
            assert found["mean"] == pytest.approx(gain, abs=1e-3)
            assert found["low"] <= found["mean"] <= found["high"]
            places = regions[role][ratio]
            for rows in (places[kind] for kind in ("latitude", "cell", "distance", "density")):  # each cuts all rows into parts
                assert sum(row["rows"] for row in rows) == pytest.approx(found["rows"])
                assert sum(row["rows"] * row["gain"] for row in rows) / found["rows"] == pytest.approx(gain, abs=1e-3)
    for seed in (0, 1):
        chosen = json.loads((project / f"artifacts/evaluate/seed_{seed}/label_10/chosen.json").read_text())
        assert set(chosen["priors"]) == set(PRIORS[1:])


def test_the_metrics_are_those_of_the_predictions(project: Path) -> None:
    """Top-1 counted again from predictions.parquet, a row at a time."""
    rows = pq.read_table(project / "artifacts/evaluate/predictions.parquet").to_pylist()
    for model in LEARNED:
        mine = [row for row in rows if row["role"] == "test" and row["label_ratio"] == 0.1]
        by_seed = [100 * sum(r[model][0] == r["label"] for r in mine if r["seed"] == seed) / 100 for seed in (0, 1)]
        mean = sum(by_seed) / 2
        sd = (((by_seed[0] - mean) ** 2 + (by_seed[1] - mean) ** 2) / 1) ** 0.5
        assert metrics(project)["test"]["label_10"][model]["top1"] == {
            "mean": pytest.approx(mean, abs=1e-3),
            "sd": pytest.approx(sd, abs=1e-3),
        }
        nll = sum(-row[f"{model}_log_p"] for row in mine) / len(mine)
        assert metrics(project)["test"]["label_10"][model]["nll"]["mean"] == pytest.approx(nll, abs=1e-3)


def test_nothing_of_the_test_rows_reaches_training(project: Path) -> None:
    few = pq.read_table(project / "artifacts/split/few_shot.parquet")
    role = pq.read_table(project / "artifacts/split/roles.parquet")["role"].to_pylist()
    for seed in ("seed_0", "seed_1"):
        lends = [value is not None for value in few[seed].to_pylist()]
        assert {one for one, lent in zip(role, lends, strict=True) if lent} == {"train"}


def test_a_second_repro_runs_nothing_and_git_is_clean(project: Path) -> None:
    assert "Data and pipelines are up to date." in run(project, "dvc", "repro").stdout
    assert run(project, "git", "status", "--short").stdout == ""


def test_an_inactive_setting_runs_only_check(project: Path) -> None:
    set_params(project, {"losses.nce.weight_dropout": 0.123, "encodings.grid.scales": 32})
    assert stages_run(run(project, "dvc", "repro", processes="cold").stdout) == ["check"]
    run(project, "git", "restore", ".")


def test_another_loss_is_due_from_pretrain_on_and_nothing_before(project: Path) -> None:
    set_params(project, {"loss": "none"})
    due = set(json.loads(run(project, "dvc", "status", "--json").stdout))
    run(project, "git", "restore", ".")
    assert {"check", "pretrain"} <= due <= {"check", "pretrain", "finetune-loc", "evaluate", "report"}


def test_an_experiment_with_other_networks_runs_from_pretrain_img_on_and_can_be_compared(project: Path) -> None:
    """A name with a plus sign, and settings of every stage that trains."""
    changes = {
        "pretrain_img.method": "tile2vec",
        "pretrain_img.methods.tile2vec.epochs": "1",
        "location_encoder.encoding.name": "sphereC+",
        "location_encoder.network.name": "siren",
        "losses.mc.symmetric": "true",
        "losses.mc.learn_temperature": "true",
        "pretrain.negatives": "land",
        "finetune_loc.loss": "cross_entropy",
        "finetune_loc.mode": "full",
        "finetune_loc.modes.full.steps": "20",
        "finetune_loc.modes.full.patience": "2",
        "finetune_loc.modes.full.check_every": "5",
        "finetune_img.mode": "full",
        "finetune_img.modes.full.epochs": "2",
    }
    settings = [word for key, value in changes.items() for word in ("-S", f"{key}={value}")]
    done = run(project, "dvc", "exp", "run", *settings, "-n", "others")
    later = ["pretrain-img", "featurize", "pretrain", "finetune-loc", "finetune-img", "evaluate", "report"]
    assert stages_run(done.stdout) == ["check", "download", *later]  # which draws overhead images for one method
    assert curves(project, "pretrain_img")[0] == ["epoch", "triplet", "norm", "total", "knn_km"]
    assert curves(project, "pretrain")[0] == ["epoch", "B", "L", "D", "total", "tau_batch", "tau_locations", "tau_dropout"]
    assert len(curves(project, "finetune_img")) == 3
    facts = json.loads((project / "reports/pretrain_img.json").read_text())
    assert facts["method"] == "tile2vec"
    assert 0 < facts["neighbour_share"] <= 1
    config = json.loads((project / "artifacts/finetune_loc/seed_0/label_10/config.json").read_text())
    assert (config["link"], config["encoder"]["encoding"]["name"]) == ("softmax", "sphereC+")
    assert (project / "artifacts/finetune_img/seed_1/label_100/network/model.safetensors").is_file()
    assert "`tile2vec`" in (project / "reports/report.md").read_text()
    assert metrics(project)["test"]["label_100"]["image"]["top1"]["mean"] > 0
    assert "others" in json.dumps(json.loads(run(project, "dvc", "exp", "show", "--json").stdout))
    assert "test.label_10.pool" in run(project, "dvc", "metrics", "diff", "HEAD").stdout
    run(project, "git", "restore", ".")
    run(project, "dvc", "checkout", "-q")
    rows = json.loads(run(project, "cspops", "versus", "others", "--json").stdout)
    assert {(row["role"], row["label_ratio"], row["model"]) for row in rows} >= {("test", 0.1, "combined")}
    for nowhere in ("no-such-branch", "HEAD~1", ""):  # unknown, without predictions, unnamed
        refused = run(project, "cspops", "versus", nowhere, check=False)
        assert (refused.returncode, refused.stderr.count("\n")) == (3, 2), refused.stderr


def curves(project: Path, stage: str) -> list[list[str]]:
    """Header and rows."""
    return [line.split("\t") for line in (project / f"reports/curves/{stage}.tsv").read_text().splitlines()]


def test_evaluate_prints_a_table_and_json(project: Path) -> None:
    table = run(project, "cspops", "evaluate").stdout
    assert "product" in table
    assert "spatial test" in table
    document = json.loads(run(project, "cspops", "evaluate", "--json").stdout)
    assert document == metrics(project)
    assert run(project, "git", "status", "--short").stdout == ""


LOOK = """
import json, sys, numpy, cspops
model = cspops.load(sys.argv[1], **json.loads(sys.argv[2]))
places = numpy.load("places.npy")
numpy.savez(sys.argv[3], e=model.encode_location(places), p=model.predict_proba(["photo.png"] * len(places), places),
            c=model.predict_proba(["photo.png"] * len(places), places, combine="product"))
"""


def answers(folder: Path, model: Path, **choice: float) -> dict[str, np.ndarray]:
    """Of a model, by a Python of its own that stands in ``folder``."""
    run(folder, "python", "-c", LOOK, str(model), json.dumps(choice), "answers.npz")
    with np.load(folder / "answers.npz") as found:
        return dict(found)


def test_an_export_answers_as_the_project_does(project: Path, tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    Image.fromarray(draws.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    places = np.stack((draws.uniform(-180, 180, 7), draws.uniform(-90, 90, 7)), 1)
    places[3] = np.nan
    np.save(tmp_path / "places.npy", places)
    out = tmp_path / "out"
    run(project, "cspops", "export", "--out", str(out), "--seed", "1", "--label-ratio", "0.1", "--no-onnx")
    of_project = answers(tmp_path, project, seed=1, label_ratio=0.1)
    of_export = answers(tmp_path, out)
    for name, expected in of_project.items():
        assert np.array_equal(of_export[name], expected, equal_nan=True), name
    about = json.loads((out / "export.json").read_text())
    summary = metrics(project)
    for role, models in about["metrics"]["scores"].items():
        for name, scores in models.items():
            assert scores["top1"] == summary[role]["label_10"][name]["top1"]
    assert list(about["metrics"]["scores"]["test"]) == ["image", "location", "combined", "pool"]
    assert about["git"]["changed"] is False
    assert about["git"]["commit"] == run(project, "git", "rev-parse", "HEAD").stdout.strip()
    assert about["data"]["source"] == "blue_marble"
    assert about["params"]["losses.mc"]["terms"] == "BLD"
    assert run(project, "git", "status", "--short").stdout == ""
