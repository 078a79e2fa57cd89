"""What the commands ask git, and its refusals in its own words."""

import os
import subprocess
from pathlib import Path

from cspops.errors import EnvironmentProblem

ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""These make git work in another repository than that of the working folder, as inside a hook."""
NONE = "not a git repository (or any"
"""How git says that it has found no repository."""
HINTS = {
    "not a git repository: ": "the file .git names a folder that is not there: git worktree repair, in the main repository, "
    "finds a moved worktree again; git submodule update --init brings a submodule",
    "invalid gitfile": "the file .git is damaged: clone it anew",
    "cannot use bare repository": "git clone it, and run in the clone; or git config --global safe.bareRepository all",
    "must be run in a work tree": "git clone it, and run in the clone",
}
"""The way out, by a part of what git says."""


def run(*arguments: str, folder: Path | None = None, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """Run git in the working folder, or in the repository of ``folder`` whatever GIT_DIR says; its exit code is the caller's.

    Raises:
        EnvironmentProblem: git is missing.
    """
    environment = {name: value for name, value in os.environ.items() if folder is None or name not in ELSEWHERE}
    try:
        return subprocess.run(
            ["git", *arguments], cwd=folder, env=environment | {"LC_ALL": "C"}, input=stdin, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise EnvironmentProblem("git is not installed: DVC keeps experiments in it") from None
    except OSError as error:
        raise EnvironmentProblem(f"git cannot be run: {error.strerror or error}") from None


def top(folder: Path | None = None) -> Path | None:
    """Return the work tree that the working folder, or ``folder``, lies in; None where there is no repository.

    Raises:
        EnvironmentProblem: there is a repository that git refuses, such as one of another user.
    """
    done = run("rev-parse", "--show-toplevel", folder=folder)
    if not done.returncode:
        return Path(os.fsdecode(done.stdout).rstrip("\n"))
    said = done.stderr.decode(errors="replace").strip()
    words = said.partition("\n")[0].removeprefix("fatal: ")
    if words.startswith(NONE):
        refused = _passed_over(Path.cwd() if folder is None else folder)
        if refused is None:
            return None
        raise EnvironmentProblem(
            f"git does not take {refused} for a repository: {words}",
            hint=f"see who may read {refused}, and whether it is whole; delete it where it is not a repository",
        )
    raise EnvironmentProblem(f"git refuses: {words}", hint=_way_out(said))


def _way_out(said: str) -> str | None:
    """Return the command that git itself names, or ours."""
    named = [line.strip() for line in said.splitlines() if line.strip().startswith("git config")]
    if named:
        return named[0]
    if "GIT_DIR" in os.environ and "not a git repository: '" in said:
        return "unset GIT_DIR, which is set in the environment"
    return next((hint for part, hint in HINTS.items() if part in said), "git status, in this folder, says the same")


def _passed_over(folder: Path) -> Path | None:
    """Return the .git in or above a folder that git has passed over, as it is damaged or may not be read; None without."""
    ceilings = {Path(one) for one in os.environ.get("GIT_CEILING_DIRECTORIES", "").split(os.pathsep) if one}
    for path in (folder, *folder.parents):
        if path in ceilings:
            return None
        try:
            if (path / ".git").is_file() or any((path / ".git").iterdir()):
                return path / ".git"
        except PermissionError:
            return path / ".git"
        except OSError:
            pass
        if path.is_mount():
            return None
    return None


def last_line(done: "subprocess.CompletedProcess[bytes]") -> str:
    """Return the last line of what git said, which holds the reason."""
    lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"
