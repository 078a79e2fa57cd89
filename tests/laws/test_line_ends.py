"""A clone by Git for Windows has the bytes that DVC knows, of this repository and of a new project."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cspops.commands import new_project

ROOT = Path(__file__).parents[2]
HASHED = (".ci/branch", ".gitattributes", "data.dvc", "dvc.yaml", "params.yaml", "src/cspops/sample/README.md")


def git(folder: Path, *arguments: str) -> None:
    owner = ["-c", "user.name=tests", "-c", "user.email=tests@example.org"]
    subprocess.run(["git", *owner, *arguments], cwd=folder, check=True, capture_output=True)


def this_repository(folder: Path) -> None:
    for name in HASHED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    git(folder, "init", "-q")


def new(folder: Path) -> None:
    new_project.run(folder)


@pytest.mark.parametrize("make", [this_repository, new])
def test_a_clone_with_rewritten_line_ends_is_the_same(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "project")
    for command in (["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "all"]):
        git(tmp_path / "project", *command)
    git(tmp_path, "-c", "core.autocrlf=true", "clone", "-q", "-c", "core.autocrlf=true", "project", "clone")
    hashed = [path for path in (tmp_path / "project").rglob("*") if path.is_file() and ".git" not in path.parts]
    assert len(hashed) >= len(HASHED)
    for path in hashed:
        assert (tmp_path / "clone" / path.relative_to(tmp_path / "project")).read_bytes() == path.read_bytes(), path
    for script in (tmp_path / "clone").glob(".ci/*"):
        subprocess.run(["bash", "-n", str(script)], check=True)
