"""README.md and docs/ tell the truth about commands, stages, files and results."""

import json
import re
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


def test_make_has_both_targets() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for target in ("repro", "test"):
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


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_rows_of_table_1_are_those_of_reports(page: str) -> None:
    rows = {row["name"]: row["cells"] for row in _committed("reports/tables/table_1.json")["rows"]}
    shown = _rows((ROOT / page).read_text(), "| run | 5 % | 10 % | 20 % | 100 % |")
    assert len(shown) >= 5
    for title, cells in shown:
        name = "Img. Only" if title == "image alone" else title.split(", ")[0].strip("*")
        assert cells == [f"{cell['ours']['mean']:.2f} ({cell['ours']['sd']:.2f})" for cell in rows[name]], title


MODELS = {
    "image alone": "image",
    "location alone": "location",
    "**CSP-MC-BLD**": "combined",
    "calibrated product": "calibrated",
    "nearest neighbours by distance": "distance_knn",
    "image x nearest neighbours by distance": "image_x_distance_knn",
}


def test_rows_of_the_committed_run_are_those_of_reports() -> None:
    metrics = _committed("reports/metrics.json")
    shown = _rows((ROOT / "docs/results.md").read_text(), "| model | 5 % | 10 % | 20 % | 100 % |")
    assert len(shown) >= len(MODELS)
    for title, cells in shown:
        of_role = metrics["spatial_test" if "spatial test" in title else "test"]
        scores = [one[MODELS[title.split(", ")[0]]]["top1"] for one in of_role.values()]
        assert cells == [f"{score['mean']:.2f} ({score['sd']:.2f})" for score in scores], title


def _committed(name: str) -> Any:
    """A JSON file as it is in git: the run that the pages speak of, whatever has been run since."""
    return json.loads(subprocess.run(["git", "show", f"HEAD:{name}"], cwd=ROOT, capture_output=True, check=True).stdout)


def _rows(text: str, header: str) -> list[tuple[str, list[str]]]:
    """Title and cells of the rows below ``header``."""
    table = text.split(header)[1].split("\n\n")[0].splitlines()[2:]
    return [(title, cells) for title, *cells in (line.strip("| ").split(" | ") for line in table)]


def test_no_address_in_the_lock() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()
