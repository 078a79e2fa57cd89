"""`cspops upgrade` writes cspops.lock anew, and dvc.yaml where it is as it was written."""

import hashlib
import json
from pathlib import Path

import pytest
from in_process import TEMPLATE, Command, by_other_code, command_line, write_locked_project

from cspops.params import load
from cspops.pipeline import code as project_code


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_locked_project(tmp_path)
    return tmp_path


@pytest.fixture
def cspops(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command_line(monkeypatch, capsys)


def test_upgrade_says_what_will_run_and_then_nothing(project: Path, cspops: Command) -> None:
    before = by_other_code(project, "split", "report", version="0.0.9")
    shown = "cspops 0.0.9 -> 0.1.0\n{}: cspops.lock\nstages whose code changed: split, report\nnext: {}dvc repro\n"
    for dry in ("--dry", "--dry-run"):
        assert cspops("upgrade", dry) == (0, shown.format("would change", "cspops upgrade, then "), "")
    assert (project / "cspops.lock").read_text() == before
    assert cspops("upgrade") == (0, shown.format("changed", ""), "")
    assert project_code.written() == project_code.installed()
    assert cspops("upgrade") == (0, "cspops 0.1.0 -> 0.1.0\nchanged: nothing\nstages whose code changed: none\n", "")


def test_upgrade_replaces_an_old_graph_but_none_that_was_changed_by_hand(project: Path, cspops: Command) -> None:
    old, mine = b"stages: {}\n", b"stages: {}\n# mine\n"
    for content in (old, mine):
        by_other_code(project, version="0.0.9", graph=hashlib.sha256(old).hexdigest())
        (project / "dvc.yaml").write_bytes(content)
        document = json.loads(cspops("upgrade", "--json")[1])
        kept = content == mine
        assert document["changed"] == (["cspops.lock"] if kept else ["dvc.yaml", "cspops.lock"])
        assert (project / "dvc.yaml").read_bytes() == (mine if kept else (TEMPLATE / "graph.yaml").read_bytes())
        assert ["changed by hand" in warning for warning in document["warnings"]] == [True] * kept


@pytest.mark.parametrize(
    ("content", "kept", "warned"),
    [
        (None, False, False),
        ("* -text\n", True, False),
        ("*.jpg filter=lfs\n* text=auto eol=lf\n", True, False),
        ("*.csv -text\n", True, True),
    ],
)
def test_upgrade_brings_the_attributes_that_keep_line_ends(
    project: Path, cspops: Command, content: str | None, kept: bool, warned: bool
) -> None:
    attributes = project / ".gitattributes"
    attributes.unlink()
    if content is not None:
        attributes.write_text(content)
    document = json.loads(cspops("upgrade", "--json")[1])
    assert document["changed"] == ([] if kept else [".gitattributes"])
    assert attributes.read_text() == (content if kept else (TEMPLATE / "gitattributes").read_text())
    assert ["* -text" in warning for warning in document["warnings"]] == [True] * warned


def test_upgrade_with_params_of_another_version_changes_nothing_and_names_the_new_ones(project: Path, cspops: Command) -> None:
    before = by_other_code(project, "split", version="0.0.9")
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("seed: 0 ", "sed: 0 ", 1))
    code, _, err = cspops("upgrade")
    assert code == 2
    assert "params.yaml: seed: the key is missing" in err
    assert err.endswith(f"the one that comes with cspops 0.1.0: {TEMPLATE / 'params.yaml'}\n")
    assert (project / "cspops.lock").read_text() == before


def test_upgrade_adds_the_choices_that_older_params_lack(project: Path, cspops: Command) -> None:
    text = (project / "params.yaml").read_text()
    older = "".join(line for line in text.splitlines(True) if not line.lstrip().startswith(("time: ", "times: ")))
    (project / "params.yaml").write_text(older)
    document = json.loads(cspops("upgrade", "--json")[1])
    assert document["changed"] == ["params.yaml"]
    added = (project / "params.yaml").read_text()
    assert sorted(added.splitlines()) == sorted(text.splitlines())
    assert load(project / "params.yaml").location_encoder.time == "none"
    assert json.loads(cspops("upgrade", "--json")[1])["changed"] == []
