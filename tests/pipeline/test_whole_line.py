"""The whole graph by `dvc repro`, small, through the real command line: results, re-runs, kills, experiments."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from edited_params import set_params

ROOT = Path(__file__).parents[2]

SMALL: dict[str, Any] = {
    "seeds": [0, 1],
    "dataset.blue_marble.train": 600,
    "dataset.blue_marble.val": 200,
    "dataset.blue_marble.test": 200,
    "dataset.blue_marble.spatial_val": 60,
    "dataset.blue_marble.spatial_test": 60,
    "dataset.blue_marble.min_zone_points": 10,
    "split.label_ratios": [0.1, 1.0],
    "pretrain_img.methods.moco.epochs": 3,
    "pretrain_img.methods.moco.batch_size": 64,
    "pretrain.epochs": 4,
    "pretrain.batch_size": 128,
    "finetune_loc.steps": 40,
    "finetune_img.max_iterations": 20,
}


def run(project: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, timeout=600)
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def environment() -> dict[str, str]:
    bin_folder = str(Path(sys.executable).parent)
    return os.environ | {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
        "CSPOPS_DEVICE": "cpu",
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of its own with the sources of this one, small params, run once from nothing."""
    folder = tmp_path_factory.mktemp("project")
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in tracked.stdout.splitlines():
        if name.startswith(("src/", ".dvc", "data.dvc", "dvc.yaml", "params.yaml", ".gitignore")) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    set_params(folder, SMALL)
    for command in (
        ["git", "init", "-q"],
        ["git", "config", "user.email", "tests@example.org"],
        ["git", "config", "user.name", "tests"],
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "start"],
        ["dvc", "repro", "-q"],
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "first run"],
    ):
        run(folder, *command)
    return folder


def stages_run(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def metrics(project: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((project / "reports/metrics.json").read_text())
    return content


def test_the_keys_of_the_metrics_are_these(project: Path) -> None:
    found = metrics(project)
    assert list(found) == ["test", "spatial_test"]
    assert list(json.loads((project / "reports/validation.json").read_text())) == ["val", "spatial_val"]
    for ratios in found.values():
        assert list(ratios) == ["label_10", "label_100"]
        for models in ratios.values():
            assert list(models) == [*LEARNED, *PRIORS, *(f"image_x_{name}" for name in PRIORS)]
            for model, scores in models.items():
                assert list(scores) == (LEARNED_METRICS if model in LEARNED else PRIOR_METRICS)
                for metric, value in scores.items():
                    assert list(value) == ["mean", "sd"]
                    assert 0 <= value["mean"] <= (100 if metric != "nll" else 1000)


LEARNED = ["image", "location", "combined", "calibrated"]
PRIORS = ["frequency", "histogram", "knn", "distance_knn", "kde"]
LEARNED_METRICS = ["top1", "top3", "top5", "top10", "mrr", "balanced_top1", "nll", "ece"]
PRIOR_METRICS = ["top1", "top5", "mrr", "balanced_top1", "nll"]


def test_intervals_and_regions_are_of_the_same_rows_as_the_metrics(project: Path) -> None:
    intervals, regions = (json.loads((project / f"reports/{name}.json").read_text()) for name in ("intervals", "regions"))
    assert list(intervals) == ["test", "spatial_test", "val", "spatial_val"]
    for role, ratios in metrics(project).items():
        for ratio, models in ratios.items():
            gain = models["combined"]["top1"]["mean"] - models["image"]["top1"]["mean"]
            found = intervals[role][ratio]["combined_minus_image"]
            assert found["mean"] == pytest.approx(gain, abs=1e-3)
            assert found["low"] <= found["mean"] <= found["high"]
            for rows in regions[role][ratio].values():  # each kind of region cuts all rows into parts
                assert sum(row["rows"] for row in rows) == pytest.approx(found["rows"])
                assert sum(row["rows"] * row["gain"] for row in rows) / found["rows"] == pytest.approx(gain, abs=1e-3)
    fitted = json.loads((project / "artifacts/evaluate/calibration.json").read_text())
    assert set(fitted["label_10"]) == {"seed_0", "seed_1"}
    assert set(fitted["label_10"]["seed_0"]["priors"]) == set(PRIORS[1:])


def test_the_metrics_are_those_of_the_predictions(project: Path) -> None:
    """Top-1 counted again from predictions.parquet, a row at a time."""
    rows = pq.read_table(project / "artifacts/evaluate/predictions.parquet").to_pylist()
    for model in LEARNED:
        mine = [row for row in rows if row["role"] == "test" and row["label_ratio"] == 0.1]
        by_seed = [100 * sum(r[model][0] == r["label"] for r in mine if r["seed"] == seed) / 200 for seed in (0, 1)]
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


def test_two_runs_give_the_same_bytes(project: Path) -> None:
    before = (project / "reports/metrics.json").read_bytes()
    figures = {file.name: file.read_bytes() for file in (project / "reports/figures").iterdir()}
    run(project, "dvc", "repro", "-q", "-f", "-s", "pretrain-img", "featurize", "pretrain", "finetune-loc", "finetune-img")
    run(project, "dvc", "repro", "-q", "-f", "-s", "evaluate", "report")
    assert (project / "reports/metrics.json").read_bytes() == before
    assert {file.name: file.read_bytes() for file in (project / "reports/figures").iterdir()} == figures


@pytest.mark.parametrize("value", ["loss=mcc", "losses.mc.tau_batch=-1", "pretrain.epochs=abc", "+los=mc", "~losses.nce"])
def test_a_wrong_value_stops_dvc_and_every_output_is_still_there(project: Path, value: str) -> None:
    before = {
        path: path.stat().st_mtime_ns
        for top in ("artifacts", "reports")
        for path in (project / top).rglob("*")
        if path.is_file()
    }
    started = time.monotonic()
    done = run(project, "dvc", "exp", "run", "-S", value, check=False)
    assert done.returncode != 0
    assert time.monotonic() - started < 60
    says = value.split("=")[0].lstrip("+~")
    assert f"error: params.yaml: {says}" in done.stderr
    after = {
        path: path.stat().st_mtime_ns
        for top in ("artifacts", "reports")
        for path in (project / top).rglob("*")
        if path.is_file()
    }
    assert after == before
    run(project, "git", "restore", "params.yaml")
    assert "up to date" in run(project, "dvc", "repro").stdout


def test_an_inactive_setting_runs_only_check(project: Path) -> None:
    set_params(project, {"losses.nce.weight_dropout": 0.123, "encodings.grid.scales": 32})
    assert stages_run(run(project, "dvc", "repro").stdout) == ["check"]
    run(project, "git", "restore", ".")
    run(project, "dvc", "repro", "-q")


def test_another_loss_runs_from_pretrain_on_and_can_be_compared(project: Path) -> None:
    done = run(project, "dvc", "exp", "run", "-S", "loss=none", "-n", "sup-only")
    assert stages_run(done.stdout) == ["check", "pretrain", "finetune-loc", "evaluate", "report"]
    shown = json.loads(run(project, "dvc", "exp", "show", "--json").stdout)
    assert "sup-only" in json.dumps(shown)
    assert "label_10.location.top1.mean" in run(project, "dvc", "metrics", "diff", "HEAD").stdout
    run(project, "git", "restore", ".")
    run(project, "dvc", "checkout", "-q")
    rows = json.loads(run(project, "cspops", "versus", "sup-only", "--json").stdout)
    assert {(row["role"], row["label_ratio"], row["model"]) for row in rows} >= {("test", 0.1, "combined")}
    for nowhere in ("no-such-branch", "HEAD~1", ""):  # unknown, without predictions, unnamed
        refused = run(project, "cspops", "versus", nowhere, check=False)
        assert (refused.returncode, refused.stderr.count("\n")) == (3, 2), refused.stderr
    images = [row for row in rows if row["model"] == "image"]
    assert all(row["difference"] == row["low"] == row["high"] == 0 for row in images)  # same features, same probe


def test_other_encodings_negatives_and_losses_run_as_experiments(project: Path) -> None:
    """A name with a plus sign, and settings of both training stages at once."""
    changes = {
        "location_encoder.encoding.name": "sphereC+",
        "location_encoder.network.name": "siren",
        "losses.mc.symmetric": "true",
        "losses.mc.learn_temperature": "true",
        "pretrain.negatives": "land",
        "finetune_loc.loss": "cross_entropy",
        "finetune_loc.patience": "2",
        "finetune_loc.check_every": "5",
    }
    settings = [word for key, value in changes.items() for word in ("-S", f"{key}={value}")]
    done = run(project, "dvc", "exp", "run", *settings, "-n", "siren")
    assert stages_run(done.stdout) == ["check", "pretrain", "finetune-loc", "evaluate", "report"]
    config = json.loads((project / "artifacts/finetune_loc/seed_0/label_10/config.json").read_text())
    assert (config["link"], config["encoder"]["encoding"]["name"]) == ("softmax", "sphereC+")
    header = (project / "reports/curves/pretrain.tsv").read_text().splitlines()[0].split("\t")
    assert header == ["epoch", "B", "L", "D", "total", "tau_batch", "tau_locations", "tau_dropout"]
    run(project, "git", "restore", ".")
    run(project, "dvc", "checkout", "-q")


def test_evaluate_prints_a_table_and_json(project: Path) -> None:
    table = run(project, "cspops", "evaluate").stdout
    assert "combined" in table
    assert "spatial test" in table
    document = json.loads(run(project, "cspops", "evaluate", "--json").stdout)
    assert document == metrics(project)
    assert run(project, "git", "status", "--short").stdout == ""


@pytest.mark.parametrize(
    ("stage", "after"),
    [("pretrain-img", "moco: epoch 2"), ("pretrain", "seed 1: epoch 2"), ("finetune-loc", "seed 0, ratio 1,")],
)
def test_a_killed_stage_continues_and_ends_with_the_same_bytes(project: Path, stage: str, after: str) -> None:
    folder = project / "artifacts" / stage.replace("-", "_")
    before = {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    command = ["dvc", "repro", "-f", "-s", stage]  # -f: or DVC would take the outputs from its cache
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=project, env=environment(), stdout=subprocess.DEVNULL, stderr=pipe, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if after in line:
                os.killpg(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert not (folder / "stage.json").exists()  # nothing half-written passes for whole
    done = run(project, *command)
    again = done.stdout + done.stderr
    assert FIRST[stage] not in again
    assert {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    assert not list((project / ".dvc/tmp/cspops").glob("*"))
    assert run(project, "git", "status", "--short").stdout == ""


FIRST = {
    "pretrain-img": "moco: epoch 1 of",
    "pretrain": "pretrain seed 0: epoch 1 of",
    "finetune-loc": "finetune-loc: seed 0, ratio 0.1,",
}
"""What a run from the beginning reports first."""
