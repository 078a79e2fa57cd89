"""The files of CI run what a developer runs, with no token and nothing of others but checkout and set-up."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
FILES = (ROOT / ".github" / "workflows" / "ci.yml", ROOT / ".gitlab-ci.yml")
MODEL = ROOT / ".github" / "workflows" / "model.yml"


def read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(file.read_text())
    return document


def commands(file: Path) -> str:
    """All that a file runs, a line each."""
    found = []
    for job in (read(file).get("jobs") or read(file)).values():
        found += [step["run"] for step in job.get("steps", []) if "run" in step]
        found += job.get("script", [])
    return "\n".join(found)


@pytest.mark.parametrize("file", FILES, ids=("github", "gitlab"))
def test_it_lints_tests_and_compares_with_the_target_and_knows_no_secret(file: Path) -> None:
    lines = commands(file).splitlines()
    assert {"make lint", "make test", "make setup"} <= set(lines)
    assert sum(".ci/branch" in line for line in lines) == 1
    assert not re.search(r"secrets\.|token|password", file.read_text(), re.IGNORECASE)


def test_github_may_only_read_and_uses_checkout_and_set_up_alone() -> None:
    document = read(FILES[0])
    assert document["permissions"] == {"contents": "read"}
    used = {step["uses"].split("@")[0] for job in document["jobs"].values() for step in job["steps"] if "uses" in step}
    assert used == {"actions/checkout", "actions/setup-python"}


def test_a_tag_of_the_classifier_exports_the_run_of_the_tag_and_attaches_it() -> None:
    document, lines = read(MODEL), commands(MODEL).splitlines()
    assert document["on"] == {"push": {"tags": ["classifier@v*"]}}
    assert "classifier" in read(ROOT / "dvc.yaml")["artifacts"]
    assert document["permissions"] == {"contents": "write"}
    order = ["make setup", "dvc pull", "dvc repro", "git diff --exit-code dvc.lock", "cspops export", "gh release upload"]
    at = [next(number for number, line in enumerate(lines) if one in line) for one in order]
    assert at == sorted(at)
    used = {step["uses"].split("@")[0] for job in document["jobs"].values() for step in job["steps"] if "uses" in step}
    assert used == {"actions/checkout", "actions/setup-python"}
    assert re.findall(r"\$\{\{(.*?)\}\}", MODEL.read_text()) == [" github.ref_name ", " github.token "]


def test_what_a_stranger_names_is_not_pasted_into_a_command() -> None:
    """A branch may be called `$(rm -rf .)`: names come through the environment, quoted."""
    assert "${{" not in commands(FILES[0]) + commands(MODEL)
    for file in (*FILES, MODEL):
        for line in commands(file).splitlines():
            assert not re.search(r'(?<!["/+:\w}])\$(TARGET|TAG|RUNNER_TEMP|CI_MERGE_REQUEST_TARGET_BRANCH_NAME)', line), line
