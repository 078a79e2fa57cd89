"""Through a bare repository and a DVC remote: experiments, and the artifacts of dvc.yaml by their names."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML
from small_project import ROOT, run

OUTS = {"download": "artifacts/download", "pretrain": "artifacts/pretrain", "finetune-loc": "artifacts/finetune_loc"}
ARTIFACTS = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["artifacts"]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose stages write their param, with the artifacts of this repository, pushed to `bare.git` beside it."""
    project = tmp_path_factory.mktemp("registry") / "project"
    project.mkdir()
    stages = {
        name: {"cmd": f"mkdir -p {out} && cp params.yaml {out}/loss.yaml", "params": ["loss"], "outs": [out]}
        for name, out in OUTS.items()
    }
    YAML(typ="safe").dump({"stages": stages, "artifacts": ARTIFACTS}, project / "dvc.yaml")
    (project / "params.yaml").write_text("loss: mc\n")
    (project / ".gitignore").write_text("/artifacts/\n")
    run(project.parent, "git", "init", "-q", "--bare", "-b", "main", "bare.git")
    run(project, "git", "init", "-q", "-b", "main")
    for key, value in (("user.name", "tests"), ("user.email", "tests@example.org")):
        run(project, "git", "config", key, value)
    run(project, "git", "remote", "add", "origin", str(project.parent / "bare.git"))
    run(project, "dvc", "init", "-q")
    run(project, "dvc", "remote", "add", "-q", "-d", "store", str(project.parent / "store"))
    run(project, "dvc", "repro", "-q")
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", "run")
    run(project, "git", "push", "-q", "origin", "main")
    run(project, "dvc", "push", "-q")
    return project


@pytest.fixture(scope="module")
def elsewhere(origin: Path) -> Path:
    """A clone of the bare repository."""
    run(origin.parent, "git", "clone", "-q", "bare.git", "elsewhere")
    return origin.parent / "elsewhere"


def test_what_is_registered_is_brought_by_its_name(origin: Path, tmp_path: Path) -> None:
    for name in ARTIFACTS:
        run(origin, "gto", "register", name)
        run(origin, "git", "push", "-q", "origin", f"{name}@v0.0.1")
    for name, stages in (("location-encoder", {"pretrain"}), ("classifier", set(OUTS)), ("catalogue", {"download"})):
        run(tmp_path, "dvc", "artifacts", "get", str(origin.parent / "bare.git"), name, "--out", name)
        brought = {file.parent.name for file in (tmp_path / name).rglob("loss.yaml")} - {name}
        assert brought == ({Path(OUTS[stage]).name for stage in stages} if name == "classifier" else set())
        assert len(list((tmp_path / name).rglob("loss.yaml"))) == len(stages)


def test_an_experiment_is_pushed_with_its_outputs_and_applied_elsewhere(origin: Path, elsewhere: Path) -> None:
    run(origin, "dvc", "exp", "run", "--temp", "-S", "loss=nce", "-n", "nce")
    assert run(origin, "dvc", "exp", "push", "origin", "nce").stdout.startswith("Pushed experiment nce")
    assert run(elsewhere, "dvc", "exp", "list", "origin").stdout.split() == ["main:", "nce"]
    run(elsewhere, "dvc", "exp", "pull", "origin", "nce")
    run(elsewhere, "dvc", "exp", "apply", "nce")
    assert {(elsewhere / out / "loss.yaml").read_text() for out in OUTS.values()} == {"loss: nce\n"}
    run(elsewhere, "dvc", "exp", "branch", "nce", "best")
    assert run(elsewhere, "git", "show", "best:params.yaml").stdout == "loss: nce\n"


def test_what_lies_in_the_workspace_is_saved_as_an_experiment(origin: Path) -> None:
    (origin / "params.yaml").write_text("loss: mse\n")
    run(origin, "dvc", "repro", "-q")
    run(origin, "dvc", "exp", "save", "-n", "mine")
    run(origin, "git", "restore", ".")
    run(origin, "dvc", "checkout", "-q")
    assert "mine" in run(origin, "dvc", "exp", "list").stdout


def test_links_take_the_place_of_copies(origin: Path) -> None:
    run(origin, "dvc", "config", "--local", "cache.type", "hardlink,symlink,copy")
    run(origin, "dvc", "checkout", "--relink")
    file = origin / OUTS["pretrain"] / "loss.yaml"
    assert file.stat().st_nlink > 1 or file.is_symlink()
    assert not file.stat().st_mode & 0o222
