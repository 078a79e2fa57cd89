"""The README tells the truth about commands, stages and symbols."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_quick_start_is_exactly_the_two_commands_and_ci_runs_them() -> None:
    section = README.split("## Quick start")[1]
    block = re.search(r"```\n(.*?)```", section, re.DOTALL)
    assert block is not None
    assert block[1].splitlines() == ["make repro", "make test"]
    ci = (ROOT / ".ci/run").read_text().splitlines()
    assert [line for line in ci if line.startswith("make ")] == ["make repro", "make test"]


def test_make_has_both_targets() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for target in ("repro", "test"):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_table_of_stages_is_that_of_dvc_yaml() -> None:
    graph: dict[str, Any] = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", README, re.MULTILINE)
    assert [(name, text) for name, text in rows if name in graph] == [(name, about["desc"]) for name, about in graph.items()]


def test_every_cspops_command_shown_exists() -> None:
    from typer.main import get_command

    from cspops.commands import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    shown = set(re.findall(r"^\$? ?cspops ([a-z-]+)", README, re.MULTILINE))
    assert shown <= known


def test_files_and_figures_linked_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_no_address_in_the_lock() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()
