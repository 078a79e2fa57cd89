"""Not a stage of the graph: git for a new project, which DVC's experiments need."""

import os
import subprocess
from pathlib import Path

from cspops.errors import CspopsError, EnvironmentProblem

MESSAGE = "Start of a cspops project"
ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""What makes git work in another repository than the one it stands in, as inside a hook."""


def around(folder: Path) -> Path | None:
    """The git repository that ``folder``, which need not exist, would be part of.

    None where there is none, or where it ignores the folder. EnvironmentProblem without git.
    """
    above = next(path for path in (folder, *folder.parents) if path.is_dir())
    found = _git(above, "rev-parse", "--show-toplevel")
    if found.returncode or _git(above, "check-ignore", "-q", str(folder)).returncode == 0:
        return None
    return Path(found.stdout.rstrip("\n"))


def make(folder: Path) -> None:
    """A repository in ``folder``."""
    done = _git(folder, "init", "-q")
    if done.returncode:
        raise CspopsError(f"git init failed: {_said(done)}")


def commit(folder: Path) -> str | None:
    """Commit all that lies in ``folder``, the top of a repository; or why that could not be done."""
    if _git(folder, "var", "GIT_AUTHOR_IDENT").returncode:
        return "git does not know who you are: git config --global user.name NAME and user.email ADDRESS say so"
    for command in (["add", "-A"], ["commit", "-q", "-m", MESSAGE]):
        done = _git(folder, *command)
        if done.returncode:
            return f"git {command[0]} failed: {_said(done)}"
    return None


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    try:
        return subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, errors="replace", check=False
        )
    except FileNotFoundError:
        raise EnvironmentProblem("git is not installed: DVC keeps its experiments in it") from None


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"
