"""The files of CI run what a developer runs, with no token and nothing of others but checkout and set-up."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
FILES = (ROOT / ".github" / "workflows" / "ci.yml", ROOT / ".gitlab-ci.yml")


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


def test_what_a_stranger_names_is_not_pasted_into_a_command() -> None:
    """A branch may be called `$(rm -rf .)`: names come through the environment, quoted."""
    assert "${{" not in commands(FILES[0])
    for file in FILES:
        for line in commands(file).splitlines():
            assert not re.search(r'(?<!["/+:\w}])\$(TARGET|CI_MERGE_REQUEST_TARGET_BRANCH_NAME)', line), line
