"""`.ci/branch` on local branches of a small DVC project, each in a shallow clone without data, as CI has it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from small_project import ROOT, run

SCORE = '''"""Metrics of five seeds as params.yaml says."""
import json
from pathlib import Path
from ruamel.yaml import YAML

params = YAML(typ="safe").load(Path("params.yaml").read_text())
scores = {"combined": {"top1": {"mean": params["mean"], "sd": params["sd"]}}}
Path("reports").mkdir(exist_ok=True)
Path("reports/scores.json").write_text(json.dumps({"test": {"label_5": scores}}))
'''
GRAPH = """stages:
  check:
    cmd: mkdir -p code && grep -v '^#' score.py > code/evaluate
    deps: [score.py]
    outs: [code]
  prepare:
    cmd: echo rows > rows.txt
    outs: [rows.txt]
  evaluate:
    cmd: python score.py
    params: [mean, sd]
    deps: [code/evaluate, rows.txt]
    metrics:
      - reports/scores.json: {cache: false}
"""


def write_params(project: Path, *, mean: float, sd: float = 0.3) -> None:
    (project / "params.yaml").write_text(f"seeds: [0, 1, 2, 3, 4]\nmean: {mean}\nsd: {sd}\n")


def commit(project: Path, message: str) -> None:
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", message)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with `main` and a branch for each way that a branch can go."""
    project = tmp_path_factory.mktemp("origin")
    (project / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "branch", project / ".ci" / "branch")
    (project / "score.py").write_text(SCORE)
    (project / "dvc.yaml").write_text(GRAPH)
    write_params(project, mean=50.0)
    for command in (["init", "-q", "-b", "main"], ["config", "user.email", "t@example.org"], ["config", "user.name", "t"]):
        run(project, "git", *command)
    run(project, "dvc", "init", "-q")
    run(project, "dvc", "repro", "-q")
    commit(project, "first run")
    for branch, mean, runs in (("better", 53.0, True), ("worse", 47.0, True), ("noise", 49.8, True), ("stale", 60.0, False)):
        run(project, "git", "checkout", "-qb", branch, "main")
        write_params(project, mean=mean)
        if runs:
            run(project, "dvc", "repro", "-q")
        commit(project, branch)
    run(project, "git", "checkout", "-qb", "rewritten", "main")
    (project / "score.py").write_text(SCORE + "pass\n")
    commit(project, "rewritten")
    run(project, "git", "checkout", "-qb", "explained", "main")
    (project / "score.py").write_text(SCORE + "# why\n")
    commit(project, "explained")
    return project


def judge(origin: Path, branch: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What CI does: a shallow clone of the branch, the target fetched beside it."""
    run(folder, "git", "clone", "-q", "--depth=1", "--branch", branch, f"file://{origin}", "clone")
    clone = folder / "clone"
    run(clone, "git", "fetch", "-q", "--depth=1", "origin", "+refs/heads/main:refs/heads/main")
    done = run(clone, ".ci/branch", "main", *options, check=False)
    assert run(clone, "git", "status", "--porcelain").stdout in ("", " M dvc.lock\n")
    return done


@pytest.mark.parametrize(("branch", "verdict", "code"), [("better", "gain", 0), ("noise", "noise", 0), ("worse", "drop", 1)])
def test_a_branch_is_judged_by_its_difference_and_the_spread(
    origin: Path, tmp_path: Path, branch: str, verdict: str, code: int
) -> None:
    done = judge(origin, branch, tmp_path)
    assert done.returncode == code, done.stdout + done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("| test"))
    assert row.endswith(f"| {verdict} |")
    assert "| mean | 50.0 |" in done.stdout  # the params that differ


def test_a_drop_that_is_allowed_passes(origin: Path, tmp_path: Path) -> None:
    assert judge(origin, "worse", tmp_path, "--max-drop", "5").returncode == 0


@pytest.mark.parametrize("branch", ["stale", "rewritten"])
def test_a_lock_of_other_params_or_sources_is_refused_before_its_numbers_are_believed(
    origin: Path, tmp_path: Path, branch: str
) -> None:
    done = judge(origin, branch, tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("### dvc.lock is stale")
    assert "`evaluate`" in done.stdout
    assert "| test" not in done.stdout


def test_an_edit_that_changes_no_code_leaves_the_lock_of_the_branch_good(origin: Path, tmp_path: Path) -> None:
    done = judge(origin, "explained", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stale" not in done.stdout


def test_without_a_target_or_with_an_unknown_one(origin: Path, tmp_path: Path) -> None:
    assert run(origin, ".ci/branch", check=False).returncode == 2
    run(tmp_path, "git", "clone", "-q", "--branch", "better", f"file://{origin}", "clone")
    done = run(tmp_path / "clone", ".ci/branch", "nowhere", check=False)
    assert done.returncode == 3
    assert "nowhere" in done.stderr


def test_a_graph_that_cannot_be_read_is_no_stale_lock(origin: Path, tmp_path: Path) -> None:
    run(tmp_path, "git", "clone", "-q", "--branch", "better", f"file://{origin}", "clone")
    (tmp_path / "clone" / "dvc.yaml").write_text("stages: [")
    done = run(tmp_path / "clone", ".ci/branch", "main", check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("### params.yaml or dvc.yaml is refused")


def test_what_git_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/branch", tmp_path / ".ci/branch")
    (tmp_path / ".git").write_text("gitdir: /no/where")
    done = run(tmp_path, ".ci/branch", "main", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (4, "", "fatal: not a git repository: /no/where\n")
