"""Runs, read from git without a checkout, and the other git queries of the commands.

A run is a revision with a reports/run.json, whose scores.json is the one that it names. Neither the
name of the revision nor its present params.yaml matters.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cspops.commands import git
from cspops.errors import CspopsError, DataError, EnvironmentProblem

if TYPE_CHECKING:
    from cspops.evaluation.compared_rows import HitsByRoleAndRatio
    from cspops.report.run_record import Run

RECORD = Path("reports/run.json")
SCORES = Path("reports/scores.json")
PREDICTIONS = Path("artifacts/evaluate/predictions.parquet")
LISTED = "dvc exp list -A and git branch -a list revisions"
EXPERIMENT = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38,62}/([^/]+)")
"""DVC's name for the ref of an experiment; its queue, stashes and bookkeeping have other names below refs/exps."""


def require_repository() -> None:
    """Raise an EnvironmentProblem unless the working folder is a project of git and DVC with at least one commit."""
    if git.top() is None:
        raise EnvironmentProblem("this folder is not in a git repository", hint="run in the project's folder")
    if not Path(".dvc").is_dir():
        raise EnvironmentProblem("this folder is not a DVC project: .dvc is missing", hint="dvc init")
    if git.run("rev-parse", "-q", "--verify", "HEAD^{commit}").returncode:
        raise EnvironmentProblem("the git repository has no commit yet", hint="git add -A && git commit -m start")


def commit_of(name: str) -> str | None:
    """Return the commit that a branch, tag, commit or experiment names; None for an unknown name."""
    parsed = git.run("rev-parse", "-q", "--verify", "--end-of-options", f"{name}^{{commit}}") if name else None
    if parsed is not None and not parsed.returncode:
        return parsed.stdout.decode().strip()
    return next((commit for commit, known, _ in revisions() if name and known == name), None)


def require_commit(name: str) -> str:
    """Return the commit that a revision names; raise a DataError for an unknown name."""
    commit = commit_of(name)
    if commit is None:
        raise DataError(f"git knows no revision {name!r}", hint=LISTED)
    return commit


def revisions() -> list[tuple[str, str, str]]:
    """Return commit, name and date of HEAD, of DVC's experiments, then of the branches: newest first, each commit once."""
    commit, date = _lines("log", "-1", "--format=%H\t%cs")[0].split("\t")
    branch = os.fsdecode(git.run("symbolic-ref", "--short", "-q", "HEAD").stdout).strip()
    named = {commit: (commit, branch or "HEAD", date)}
    form = "--format=%(objectname)\t%(committerdate:short)\t%(refname)"
    for line in _lines("for-each-ref", "--sort=-committerdate", form, "refs/exps"):
        commit, date, ref = line.split("\t")
        if name := EXPERIMENT.fullmatch(ref):
            named.setdefault(commit, (commit, name[1], date))
    for line in _lines("for-each-ref", "--sort=-committerdate", form, "refs/heads"):
        commit, date, ref = line.split("\t")
        named.setdefault(commit, (commit, ref.removeprefix("refs/heads/"), date))
    return list(named.values())


def runs() -> "list[Run]":
    """Return every revision of `revisions` that has a run.json in the present format, finished or not."""
    from cspops.report.run_record import Run, RunRecord

    known = revisions()
    texts = read((commit, file) for commit, _, _ in known for file in (RECORD, SCORES))
    return [
        Run(name, commit, date, record, texts[commit, SCORES])
        for commit, name, date in known
        if (record := RunRecord.read(texts[commit, RECORD]))
    ]


def read(files: Iterable[tuple[str, Path]]) -> dict[tuple[str, Path], bytes | None]:
    """Return the content of each (revision, file below the working folder); None for what git does not hold."""
    keys = list(dict.fromkeys(files))
    names = "".join(f"{revision}:./{file.as_posix()}\n" for revision, file in keys)
    out = git.run("cat-file", "--batch", stdin=names.encode()).stdout
    contents: dict[tuple[str, Path], bytes | None] = {}
    at = 0
    for key in keys:
        end = out.index(b"\n", at)
        header = out[at:end].split()
        at = end + 1
        if len(header) == 3 and header[1] == b"blob":
            size = int(header[2])
            contents[key] = out[at : at + size]
            at += size + 1
        else:
            contents[key] = None
    return contents


def hits_of(revision: str) -> "HitsByRoleAndRatio":
    """Return which of a revision's predictions are right; raise a DataError when DVC cannot fetch them."""
    import dvc.api

    from cspops.evaluation.compared_rows import read_hits

    commit, name = require_commit(revision), f"predictions.parquet of {revision!r}"
    try:
        with dvc.api.open(PREDICTIONS.as_posix(), rev=commit, mode="rb") as opened:
            return read_hits(opened, name=name, remake=f"git checkout {revision}, then dvc repro")
    except CspopsError:
        raise
    except Exception as error:  # DVC lets errors of its own libraries through, and gives them no public name
        if type(error).__name__ == "DataIndexDirError":
            raise DataError(
                f"the predictions of {revision!r} are not in DVC's cache here",
                hint="dvc fetch downloads those of another machine; dvc repro makes those of the workspace",
            ) from None
        raise DataError(
            f"the predictions of {revision!r} cannot be read: {error}",
            hint=f"{LISTED}; dvc fetch downloads those of another machine",
        ) from None


def differs_from_head(*files: Path) -> list[str]:
    """Return the files (or folders) whose content differs from HEAD's."""
    return [str(file) for file in files if _lines("status", "--porcelain", "--untracked-files=no", "--", str(file))]


def untracked_sources() -> list[str]:
    """Return the source files that git does not know: a queued experiment would lack them."""
    return _lines("ls-files", "--others", "--exclude-standard", "--", "src")


def _lines(*arguments: str) -> list[str]:
    done = git.run(*arguments)
    if done.returncode:
        raise CspopsError(f"git {arguments[0]} failed: {git.last_line(done)}")
    return os.fsdecode(done.stdout).splitlines()
