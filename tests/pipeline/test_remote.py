"""A DVC remote: what was trained in one place is used in another, without training."""

import json
from pathlib import Path

import pytest
from small_project import run


@pytest.fixture(scope="module")
def elsewhere(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the project, after `dvc push` here and `dvc pull` there."""
    store, clone = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("elsewhere") / "clone"
    run(project, "dvc", "remote", "add", "-d", "store", str(store))
    run(project, "git", "commit", "-qam", "Remote")
    run(project, "dvc", "push", "-q")
    run(project, "git", "clone", "-q", str(project), str(clone))
    run(clone, "dvc", "pull", "-q")
    return clone


def test_nothing_is_due_in_the_clone_and_git_is_clean(elsewhere: Path) -> None:
    assert "Data and pipelines are up to date." in run(elsewhere, "dvc", "repro").stdout
    assert run(elsewhere, "git", "status", "--short").stdout == ""


def test_the_models_that_came_are_evaluated_without_training(elsewhere: Path, project: Path) -> None:
    document = json.loads(run(elsewhere, "cspops", "evaluate", "--json").stdout)
    assert document == json.loads((project / "reports/scores.json").read_text())


def test_a_clone_that_pulled_nothing_is_told_the_next_command(project: Path, tmp_path: Path) -> None:
    run(tmp_path, "git", "clone", "-q", str(project), "bare")
    refused = run(tmp_path / "bare", "cspops", "evaluate", check=False)
    assert refused.returncode == 3
    assert "dvc repro" in refused.stderr or "dvc pull" in refused.stderr
