"""The graph that new projects start from is that of this repository, with cspops.lock in place of the sources."""

import re
import zipfile
from pathlib import Path
from typing import Any

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
GRAPH = ROOT / "src" / "cspops" / "template" / "graph.yaml"


def test_it_is_dvc_yaml_with_another_line_for_the_sources() -> None:
    ours = (ROOT / "dvc.yaml").read_text()
    assert ours.count("      - src/cspops\n") == 1
    assert GRAPH.read_text() == ours.replace("      - src/cspops\n", "      - cspops.lock\n")


def test_dvc_takes_no_file_of_the_template_for_one_of_this_repository() -> None:
    found: list[Any] = [*GRAPH.parent.rglob("dvc.yaml"), *GRAPH.parent.rglob("*.dvc"), *GRAPH.parent.rglob(".*")]
    assert found == []


def test_the_readme_of_a_project_shows_commands_that_exist() -> None:
    from typer.main import get_command

    from cspops.commands import app

    text = (GRAPH.parent / "readme.md").read_text()
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    shown = set(re.findall(r"(?:^|`)cspops ([a-z-]+)", text, re.MULTILINE))
    assert {"data", "predict", "upgrade"} <= shown <= known


def test_a_wheel_holds_the_template_the_sample_and_the_mark_of_types(tmp_path: Path) -> None:
    wheel = next(iter(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])))
    names = set(zipfile.ZipFile(wheel).namelist())
    for room in ("template", "sample"):
        files = {f"cspops/{room}/{file.name}" for file in (ROOT / "src/cspops" / room).iterdir()}
        assert len(files) >= 4
        assert files <= names
    assert "cspops/py.typed" in names
