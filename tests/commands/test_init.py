"""`cspops init` through the command line: what it makes, where, and what it refuses."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from in_process import command_line
from photos import write_photos
from ruamel.yaml import YAML

from cspops.params import Params, completed, default_params, load, parse, unchosen
from cspops.params.editing import edited

PACKAGE = Path(__file__).parents[2] / "src" / "cspops"
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cspops(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Runs cspops in tmp_path, with a git that knows who commits, and gives the exit code, stdout and stderr."""
    config = tmp_path / "gitconfig"
    config.write_text("[user]\nname = tests\nemail = tests@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)

    return command_line(monkeypatch, capsys)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def entries(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


FILES = {".dvc", ".gitattributes", ".gitignore", "README.md", "cspops.lock", "data.dvc", "dvc.yaml", "params.yaml"}


def test_a_project_starts_from_the_sample_committed_and_clean(cspops: Command, tmp_path: Path) -> None:
    assert cspops("init", "deep/birds & co") == (
        0,
        "deep/birds & co: a project of cspops 0.1.0\n"
        "data: the embedded sample, in raw/\n"
        "source: blue_marble\n"
        "next: cd 'deep/birds & co'\n"
        "next: cspops data check\n"
        "next: dvc repro\n",
        "",
    )
    project = tmp_path / "deep/birds & co"
    assert entries(project) == {*FILES, ".git", "raw"}
    assert entries(tmp_path / "deep") == {"birds & co"}  # nothing was left beside it
    assert git(project, "status", "--short", "--ignored") == ""
    assert git(project, "log", "--format=%an %s") == "tests Start of a cspops project\n"
    for file in (PACKAGE / "sample").iterdir():
        assert (project / "raw" / file.name).read_bytes() == file.read_bytes()
    assert (project / "README.md").read_text().startswith("# birds & co\n")


def default_with(path: tuple[str, ...], value: str) -> Params:
    return parse(edited((PACKAGE / "template/params.yaml").read_text(), {path: value}), Path("params.yaml"))


def assert_only_the_chosen_sections(project: Path, default: Params) -> None:
    """All values are as by default, all comments of the chosen sections stay, and a person can read it at a sitting."""
    text = (project / "params.yaml").read_text()
    assert len(text.splitlines()) <= 120
    params = load(project / "params.yaml")
    assert unchosen(params) == []
    assert completed(params) == default != params
    whole = (PACKAGE / "template/params.yaml").read_text()
    usual = {line.split("#")[-1] for line in whole.splitlines()}
    assert {line.split("#")[-1] for line in text.splitlines() if "#" in line} <= usual


def test_a_folder_of_any_name_steers_no_terminal(cspops: Command, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\x1b[31m")
    code, out, _ = cspops("init", name)
    assert code == 0 and out.startswith("caf\\xe9\\x1b[31m: a project")
    assert (tmp_path / name / "README.md").read_text(encoding="utf-8").startswith("# caf\\xe9\\x1b[31m\n")


def test_params_yaml_of_a_new_project_has_the_chosen_sections(cspops: Command, tmp_path: Path) -> None:
    cspops("init", "birds")
    assert_only_the_chosen_sections(tmp_path / "birds", default_params())


def test_no_file_of_a_project_names_a_path_of_the_package(cspops: Command, tmp_path: Path) -> None:
    cspops("init", "birds")
    graph = YAML(typ="safe").load((tmp_path / "birds/dvc.yaml").read_text())["stages"]
    deps = {dep for about in graph.values() for dep in about.get("deps", [])}
    assert {dep.split("/")[0] for dep in deps} == {"artifacts", "cspops.lock", "data", "params.yaml", "reports"}
    for file in (tmp_path / "birds").iterdir():
        assert file.is_dir() or str(PACKAGE) not in file.read_text(), file


def test_own_photos_are_named_from_the_root_on_and_advice_is_printed_not_followed(cspops: Command, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 6, exif=True)
    code, out, err = cspops("init", "birds", "--data", "photos")
    assert (code, err) == (0, "")
    project = tmp_path / "birds"
    about = YAML(typ="safe").load((project / "data.dvc").read_text())
    assert about == {"deps": [{"path": str(tmp_path / "photos")}], "outs": [{"path": "data"}]}
    assert_only_the_chosen_sections(project, default_with(("dataset", "source"), "folder"))
    advice = [line for line in out.splitlines() if line.startswith("advice: ")]
    assert "image_encoder.weights: pretrained" in advice[0]
    assert advice[1].startswith("advice: 6 images are few: set split.spatial_val and split.spatial_test to 0.0")
    assert "raw" not in entries(project)
    assert git(project, "status", "--short") == ""


def test_a_table_is_found_as_such_and_named_in_params(cspops: Command, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 3, exif=False)
    (tmp_path / "photos/list.csv").write_text("image,lon,lat,label\nheath/0000.jpg,8,47,heath\n")
    document = json.loads(cspops("init", "birds", "--data", "photos/../photos/list.csv", "--json")[1])
    assert (document["data"], document["source"]) == (str(tmp_path / "photos"), "table")
    dataset = load(tmp_path / "birds/params.yaml").dataset
    assert (dataset.source, dataset.table.file, dataset.folder, dataset.blue_marble) == ("table", "list.csv", None, None)


def test_source_decides_where_a_folder_holds_both(cspops: Command, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 3, exif=True)
    (tmp_path / "photos/list.csv").write_text("image,lon,lat,label\nheath/0000.jpg,8,47,heath\n")
    cspops("init", "birds", "--data", "photos", "--source", "folder")
    assert load(tmp_path / "birds/params.yaml").dataset.source == "folder"


REFUSED: dict[str, tuple[list[str], int, str]] = {
    "photos are there": (["photos"], 2, "photos is not empty: it holds heath, marsh, oak wood\nhint: name a new folder"),
    "more is there": (["many"], 2, "many is not empty: it holds 0, 1, 2 and 3 more\nhint: name a new folder"),
    "a file": (["gitconfig"], 2, "gitconfig is a file\nhint: name a new folder"),
    "below a file": (["gitconfig/birds"], 4, "File exists: "),
    "no data": (["a/b/birds", "--data", "nowhere"], 3, "nowhere does not exist"),
    "no table": (["a/b/birds", "--data", "photos", "--source", "table"], 3, "holds no table of images at its top level"),
    "among its data": (["photos/birds", "--data", "photos"], 2, "photos holds the project itself"),
    "source of nothing": (["birds", "--source", "table"], 2, "--source table says how to read --data, which is not given"),
    "home of nobody": (["~no-such-user/birds"], 2, "~no-such-user/birds: "),
}


@pytest.mark.parametrize(("arguments", "code", "says"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence_and_leaves_nothing(
    cspops: Command, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    write_photos(tmp_path / "photos", 3, exif=True)
    for name in range(6):
        (tmp_path / "many" / str(name)).mkdir(parents=True)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    got, out, err = cspops("init", *arguments)
    assert (got, out) == (code, "")
    assert err.startswith("error: ") and says in err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    assert entries(tmp_path) == {"photos", "many", "gitconfig"}
    assert entries(tmp_path / "photos") == {"heath", "marsh", "oak wood"}


def test_an_empty_clone_keeps_its_repository(cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    git(clone, "init", "-q")
    git(clone, "config", "user.name", "owner")
    monkeypatch.chdir(clone)
    code, out, _ = cspops("init", ".")
    assert (code, "next: cd" in out) == (0, False)
    assert entries(clone) == {*FILES, ".git", "raw"}
    assert git(clone, "log", "--format=%an") == "owner\n"
    assert (clone / "README.md").read_text().startswith("# clone\n")


def test_an_empty_folder_is_filled_in_place(cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert cspops("init", ".")[0] == 0
    assert entries(Path.cwd()) == {*FILES, ".git", "raw"}


def test_what_a_killed_one_left_is_deleted_and_does_not_count(cspops: Command, tmp_path: Path) -> None:
    for left in (tmp_path / ".birds.new-aaaaaaaa", tmp_path / "birds/.birds.new-bbbbbbbb"):
        (left / "new").mkdir(parents=True)
        (left / "new/params.yaml").touch()
        (left / ".lock").touch()
    assert cspops("init", "birds")[0] == 0
    assert entries(tmp_path / "birds") == {*FILES, ".git", "raw"}
    assert entries(tmp_path) == {"birds", "gitconfig"}


def test_in_another_repository_nothing_is_staged_or_committed(cspops: Command, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    (outer / ".gitignore").write_text("/scratch/\n")
    git(outer, "add", "-A")
    git(outer, "commit", "-qm", "theirs")
    code, out, _ = cspops("init", "outer/models/birds")
    assert code == 0
    assert f"not committed: outer/models/birds lies in the git repository {outer}, whose commits are yours" in out
    assert "next: git add . && git commit -m 'Start of a cspops project' .\n" in out
    assert entries(outer / "models/birds") == {*FILES, "raw"}
    assert git(outer, "status", "--short") == "?? models/\n"
    assert git(outer, "log", "--format=%s") == "theirs\n"

    assert cspops("init", "outer/scratch/birds")[0] == 0  # ignored there, so it gets a repository of its own
    assert ".git" in entries(outer / "scratch/birds")


def test_inside_a_hook_of_another_repository_the_project_still_gets_its_own(
    cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    git(tmp_path / "other", "init", "-q")
    with monkeypatch.context() as inside:
        inside.setenv("GIT_DIR", str(tmp_path / "other/.git"))
        inside.setenv("GIT_INDEX_FILE", str(tmp_path / "other/.git/index"))
        assert cspops("init", "birds")[0] == 0
    assert git(tmp_path / "birds", "status", "--short") == ""
    assert git(tmp_path / "other", "ls-files") == ""


def test_when_git_knows_nobody_the_commit_is_left_to_the_user(cspops: Command, tmp_path: Path) -> None:
    (tmp_path / "gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    code, out, _ = cspops("init", "birds")
    assert code == 0
    assert "not committed: git does not know who you are: set git config" in out
    assert out.splitlines()[-4:-2] == ["next: cd birds", "next: git add . && git commit -m 'Start of a cspops project' ."]
    assert ".git" in entries(tmp_path / "birds")


def test_when_a_commit_is_refused_the_reason_is_said(cspops: Command, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\necho not on a Saturday >&2\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    with (tmp_path / "gitconfig").open("a") as config:
        config.write(f"[core]\nhooksPath = {hooks}\n")
    code, out, _ = cspops("init", "birds")
    assert code == 0
    assert "not committed: git commit failed: not on a Saturday. Experiments need a commit\n" in out


def test_without_git_there_is_no_project(cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cspops("init", "birds") == (
        4,
        "",
        "error: git is not installed: DVC keeps experiments in it\n",
    )
    assert entries(tmp_path) == {"gitconfig"}


def test_a_python_on_the_path_without_cspops_is_a_warning(
    cspops: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "bin/python"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{other.parent}{os.pathsep}{os.environ['PATH']}")
    _, _, err = cspops("init", "birds")
    assert err == (
        f"warning: on the PATH `python` is {other}, but cspops is installed for {sys.executable}: "
        "activate its environment before dvc repro\n"
    )
