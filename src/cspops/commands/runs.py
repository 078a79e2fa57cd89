"""Runs, read out of git without a checkout, and what else of git the commands need.

A run is a revision with a reports/run.json, whose metrics.json is the one that it names. How the revision is called, and
what its params.yaml has become since, decides nothing.
"""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cspops.errors import CspopsError, DataError, EnvironmentProblem

if TYPE_CHECKING:
    from cspops.evaluation.compared_rows import HitsByRoleAndRatio
    from cspops.report.run_record import Run

RECORD = Path("reports/run.json")
METRICS = Path("reports/metrics.json")
PREDICTIONS = Path("artifacts/evaluate/predictions.parquet")
EXPERIMENT = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38,62}/([^/]+)")
"""What DVC calls the ref of an experiment; its queue, stashes and bookkeeping lie under other names of refs/exps."""


def require_repository() -> None:
    """EnvironmentProblem unless the working folder is a project of git and DVC with at least one commit."""
    if _git("rev-parse", "--git-dir").returncode:
        raise EnvironmentProblem("this folder is not in a git repository", hint="git init && git add -A && git commit -m start")
    if not Path(".dvc").is_dir():
        raise EnvironmentProblem("this folder is not a DVC project: .dvc is missing", hint="dvc init")
    if _git("rev-parse", "-q", "--verify", "HEAD^{commit}").returncode:
        raise EnvironmentProblem("the git repository has no commit yet", hint="git add -A && git commit -m start")


def commit_of(name: str) -> str | None:
    """The commit that a branch, tag, commit or experiment names; None for a name that nobody knows."""
    found = _git("rev-parse", "-q", "--verify", "--end-of-options", f"{name}^{{commit}}") if name else None
    if found is not None and not found.returncode:
        return found.stdout.decode().strip()
    return next((commit for commit, known, _ in revisions() if name and known == name), None)


def revisions() -> list[tuple[str, str, str]]:
    """Commit, name and date of HEAD, of DVC's experiments with the newest first, then of the branches; a commit once."""
    commit, date = _lines("log", "-1", "--format=%H\t%cs")[0].split("\t")
    branch = _git("symbolic-ref", "--short", "-q", "HEAD").stdout.decode().strip()
    found = {commit: (commit, branch or "HEAD", date)}
    form = "--format=%(objectname)\t%(committerdate:short)\t%(refname)"
    for line in _lines("for-each-ref", "--sort=-committerdate", form, "refs/exps"):
        commit, date, ref = line.split("\t")
        if name := EXPERIMENT.fullmatch(ref):
            found.setdefault(commit, (commit, name[1], date))
    for line in _lines("for-each-ref", "--sort=-committerdate", form, "refs/heads"):
        commit, date, ref = line.split("\t")
        found.setdefault(commit, (commit, ref.removeprefix("refs/heads/"), date))
    return list(found.values())


def runs() -> "list[Run]":
    """Every revision of `revisions` that has a run.json in today's form, finished or not."""
    from cspops.report.run_record import Run, RunRecord

    known = revisions()
    texts = read((commit, file) for commit, _, _ in known for file in (RECORD, METRICS))
    return [
        Run(name, commit, date, record, texts[commit, METRICS])
        for commit, name, date in known
        if (record := RunRecord.read(texts[commit, RECORD]))
    ]


def read(wanted: Iterable[tuple[str, Path]]) -> dict[tuple[str, Path], bytes | None]:
    """The content of each (revision, file below the working folder); None for what git does not hold."""
    asked = list(dict.fromkeys(wanted))
    names = "".join(f"{revision}:./{file.as_posix()}\n" for revision, file in asked)
    out = _git("cat-file", "--batch", stdin=names.encode()).stdout
    found: dict[tuple[str, Path], bytes | None] = {}
    at = 0
    for one in asked:
        end = out.index(b"\n", at)
        header = out[at:end].split()
        at = end + 1
        if len(header) == 3 and header[1] == b"blob":
            size = int(header[2])
            found[one] = out[at : at + size]
            at += size + 1
        else:
            found[one] = None
    return found


def hits_of(revision: str) -> "HitsByRoleAndRatio":
    """What a revision's predictions hit; DataError when DVC cannot bring them."""
    import io

    import dvc.api
    import pyarrow.parquet as pq
    from dvc.exceptions import DvcException
    from dvc_data.index.index import DataIndexDirError
    from scmrepo.exceptions import SCMError

    from cspops.evaluation.compared_rows import hits_in

    try:
        with dvc.api.open(PREDICTIONS.as_posix(), rev=revision, mode="rb") as opened:
            return hits_in(pq.read_table(io.BytesIO(opened.read())))
    except DataIndexDirError:
        raise DataError(
            f"the predictions of {revision!r} are not in DVC's cache here",
            hint="dvc fetch brings what another machine made; dvc repro makes those of the workspace",
        ) from None
    except (DvcException, SCMError, OSError) as error:
        raise DataError(
            f"the predictions of {revision!r} cannot be read: {error}",
            hint="dvc exp show and git branch list revisions; dvc fetch brings what another machine made",
        ) from None


def differs_from_head(*files: Path) -> list[str]:
    """Those of the files (or folders) whose content is not that of HEAD."""
    return [str(file) for file in files if _lines("status", "--porcelain", "--untracked-files=no", "--", str(file))]


def untracked_sources() -> list[str]:
    """Source files that git does not know: a queued experiment would not have them."""
    return _lines("ls-files", "--others", "--exclude-standard", "--", "src")


def _git(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], input=stdin, capture_output=True, check=False)
    except FileNotFoundError:
        raise EnvironmentProblem("git is not installed: experiments are read out of it") from None


def _lines(*arguments: str) -> list[str]:
    done = _git(*arguments)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise CspopsError(f"git {arguments[0]} failed: {said[-1] if said else done.returncode}")
    return done.stdout.decode().splitlines()
