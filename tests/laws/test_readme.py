"""README.md and docs/ tell the truth about commands, stages, files and results."""

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from shown import PAGES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_quick_start_is_exactly_the_two_commands_and_ci_runs_them() -> None:
    section = README.split("## Quick start")[1]
    block = re.search(r"```\n(.*?)```", section, re.DOTALL)
    assert block is not None
    assert block[1].splitlines() == ["make repro", "make test"]
    ci = (ROOT / ".ci/run").read_text().splitlines()
    assert [line for line in ci if line.startswith("make ")] == ["make repro", "make test"]


def test_make_has_the_targets_that_are_shown() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for target in ("repro", "test", "readme"):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_table_of_stages_is_that_of_dvc_yaml() -> None:
    graph: dict[str, Any] = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", README, re.MULTILINE)
    assert [(name, text) for name, text in rows if name in graph] == [(name, about["desc"]) for name, about in graph.items()]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_cspops_command_shown_exists(page: Path) -> None:
    from typer.main import get_command

    from cspops.commands import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    shown = set(re.findall(r"^\$? ?cspops ([a-z-]+)|`cspops ([a-z-]+)", page.read_text(), re.MULTILINE))
    assert {name for names in shown for name in names if name and not name.startswith("-")} <= known


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_files_and_figures_linked_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


NUMBERS = runpy.run_path(str(ROOT / ".ci" / "readme.py"), run_name="readme")


@pytest.mark.parametrize(("page", "blocks"), [("README.md", ["run", "losses"]), ("docs/results.md", ["table", "whole run"])])
def test_numbers_of_the_pages_are_those_of_reports(page: str, blocks: list[str]) -> None:
    """A failure asks for `make readme`, after a run that was committed."""
    text = (ROOT / page).read_text()
    assert re.findall(r"<!-- numbers: (.*) -->", text) == blocks
    assert NUMBERS["filled"](text, lambda name: _committed(f"reports/{name}")) == text


@pytest.mark.parametrize("page", NUMBERS["PAGES"])
def test_no_accuracy_is_written_by_hand(page: str) -> None:
    by_hand = re.sub(NUMBERS["BLOCK"], "", (ROOT / page).read_text())
    assert re.findall(r"\d\.\d+ \(\d+\.\d+\)|[+-]\d+\.\d\d", by_hand) == []


def test_other_numbers_in_reports_are_other_numbers_on_the_page() -> None:
    def read(name: str) -> Any:
        content = _committed(f"reports/{name}")
        if name == "scores.json":
            next(iter(content["test"].values()))["image"]["top1"]["mean"] = 12.345
        return content

    assert "| image alone, P(y\\|I) | 12.3" in NUMBERS["filled"](README, read)


def _committed(name: str) -> Any:
    """A JSON file as it is in git: the run that the pages speak of, whatever has been run since."""
    return json.loads(subprocess.run(["git", "show", f"HEAD:{name}"], cwd=ROOT, capture_output=True, check=True).stdout)


def test_no_address_in_the_lock() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()
