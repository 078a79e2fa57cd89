"""A project of `cspops init` with 60 photos and none of the sources, through the real command line."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from edited_params import set_params
from photos import write_photos
from small_project import environment, run
from test_whole_line import stages_run

import cspops
from cspops.params import VIEWS

PACKAGE = Path(cspops.__file__).parent
ALL = ["check", *VIEWS]
SMALL = {
    "seeds": [0],
    "split.label_ratios": [0.5, 1.0],
    "image_encoder.model": "timm:test_resnet",
    "image_encoder.weights": "random",
    "image_encoder.px": 32,
    "pretrain.epochs": 2,
    "pretrain.batch_size": 16,
    "finetune_loc.modes.probe_then_full.steps": 10,
    "finetune_img.modes.linear_probe.max_iterations": 5,
    "report.grid_degrees": 5.0,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, run once and committed."""
    folder = tmp_path_factory.mktemp("new")
    write_photos(folder / "photos", 60, exif=True)
    run(folder, "cspops", "init", "birds", "--data", "photos")
    project = folder / "birds"
    set_params(project, SMALL)
    assert stages_run(run(project, "dvc", "repro").stdout) == ALL
    for command in (["add", "-A"], ["-c", "user.name=tests", "-c", "user.email=tests@example.org", "commit", "-qm", "run"]):
        run(project, "git", *command)
    return project


def test_a_second_run_has_nothing_to_do_and_all_is_in_git(made: Path) -> None:
    assert (made / "reports/report.md").read_text().startswith("# birds\n")
    assert "<title>birds</title>" in (made / "reports/report.html").read_text()
    assert "up to date" in run(made, "dvc", "repro", "--allow-missing").stdout
    assert run(made, "git", "status", "--short").stdout == ""
    tracked = run(made, "git", "ls-files").stdout.splitlines()
    assert not [name for name in tracked if name.startswith(("data/", "artifacts/", "src/"))]


def test_an_experiment_in_a_copy_runs_from_the_stage_that_it_changes_on(made: Path) -> None:
    later = ["check", "pretrain", "finetune-loc", "evaluate"]
    done = run(made, "dvc", "exp", "run", "--temp", "-S", "loss=none", "-n", "sup", "evaluate")
    assert stages_run(done.stdout) == later
    assert "up to date" in run(made, "dvc", "status").stdout
    rows = json.loads(run(made, "cspops", "versus", "sup", "--json").stdout)
    assert {(row["role"], row["label_ratio"], row["model"]) for row in rows} >= {("test", 0.5, "combined")}
    images = [row for row in rows if row["model"] == "image"]
    assert all(row["difference"] == row["low"] == row["high"] == 0 for row in images)  # same features, same probe


def test_other_code_is_refused_until_upgrade_and_then_only_its_stages_run(made: Path, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "cspops", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "cspops/evaluation/pool_fit.py").open("a") as file:
        file.write("ANOTHER_VERSION = True\n")

    def by_other_code(*command: str) -> subprocess.CompletedProcess[str]:
        where = environment() | {"PYTHONPATH": str(tmp_path)}
        return subprocess.run(command, cwd=made, env=where, capture_output=True, text=True, timeout=600, check=False)

    assert "up to date" in by_other_code("dvc", "repro").stdout  # what is recorded is by the code that cspops.lock names
    refused = by_other_code("dvc", "repro", "-f", "-s", "evaluate")
    assert refused.returncode != 0
    assert "error: cspops.lock names other code of stage evaluate than is installed" in refused.stderr
    assert "stages whose code changed: evaluate\n" in by_other_code("cspops", "upgrade").stdout
    done = by_other_code("dvc", "repro")
    assert done.returncode == 0, done.stderr[-2000:]
    assert stages_run(done.stdout) == ["check", "evaluate", "report"]  # which records the code of every stage
