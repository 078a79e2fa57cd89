"""The graph that new projects start from is that of this repository, with cspops.lock in place of source files."""

import re
import zipfile
from pathlib import Path
from typing import Any

from hatchling.builders.wheel import WheelBuilder
from project_template import GRAPH, SOURCES, as_json, derived
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
REMEDY = "dvc.yaml or the sources that it names changed: run `python tests/laws/project_template.py` and commit what it writes"


def test_it_is_derived_from_dvc_yaml() -> None:
    graph, sources = derived((ROOT / "dvc.yaml").read_text())
    assert GRAPH.read_text() == graph, REMEDY
    assert SOURCES.read_text() == as_json(sources), REMEDY


def test_it_says_the_same_but_for_sources() -> None:
    """Checked on the parsed files, so that a slip of the derivation shows."""
    theirs, ours = (YAML(typ="safe").load(file.read_text())["stages"] for file in (ROOT / "dvc.yaml", GRAPH))
    assert list(theirs) == list(ours)
    for stage in theirs:
        assert ours[stage].pop("params")[-1] == {"cspops.lock": [f"stages.{stage}"]}
        theirs[stage].pop("params", None)
        kept = [dep for dep in theirs[stage].pop("deps") if not dep.startswith("src/")]
        assert ours[stage].pop("deps", []) == kept
        assert ours[stage] == theirs[stage]


def test_params_of_a_stage_are_those_of_dvc_yaml() -> None:
    theirs, ours = (YAML(typ="safe").load(file.read_text())["stages"] for file in (ROOT / "dvc.yaml", GRAPH))
    assert {stage: about["params"][:-1] for stage, about in ours.items()} == {
        stage: about.get("params", []) for stage, about in theirs.items()
    }


def test_dvc_takes_no_file_of_the_template_for_one_of_this_repository() -> None:
    found: list[Any] = [*GRAPH.parent.rglob("dvc.yaml"), *GRAPH.parent.rglob("*.dvc"), *GRAPH.parent.rglob(".*")]
    assert found == []


def test_the_readme_of_a_project_shows_commands_that_exist() -> None:
    from typer.main import get_command

    from cspops.cli import app

    text = (GRAPH.parent / "readme.md").read_text()
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    shown = set(re.findall(r"(?:^|`)cspops ([a-z-]+)", text, re.MULTILINE))
    assert {"data", "predict", "upgrade"} <= shown <= known


def test_a_wheel_holds_the_template_and_the_sample(tmp_path: Path) -> None:
    wheel = next(iter(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])))
    names = set(zipfile.ZipFile(wheel).namelist())
    for room in ("template", "sample"):
        files = {f"cspops/{room}/{file.name}" for file in (ROOT / "src/cspops" / room).iterdir()}
        assert len(files) >= 5
        assert files <= names
