"""Finished runs, read out of git without a checkout.

A run is a revision whose params.yaml, dvc.lock and reports/metrics.json belong together: DVC's lock file records the same
params for every stage up to evaluate, and the hash of these metrics. Its name decides nothing: what a number was computed
from (params and raw inputs: `key`) and by which sources (`code`) does.
"""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from cspops.errors import CspopsError, DataError, EnvironmentProblem, ParamsError
from cspops.params import VIEWS, Params, checked, parse, recorded
from cspops.params.graph import NEEDS
from cspops.pipeline import code as project_code
from cspops.pipeline import paths

LOCK = Path("dvc.lock")
METRICS = paths.REPORTS / "metrics.json"
EXPERIMENT = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38,62}/([^/]+)")
"""What DVC calls the ref of an experiment; its queue, stashes and bookkeeping lie under other names of refs/exps."""
MADE = ("artifacts/", "reports/")
"""Where the paths of what stages write begin."""
CODE = f"{project_code.CODE.as_posix()}/"
"""What stands before a stage's name where the digest of its code is meant."""


def _up_to(*stages: str) -> tuple[str, ...]:
    needed = set(stages)
    for stage in reversed(VIEWS):
        if stage in needed:
            needed |= set(NEEDS[stage])
    return tuple(stage for stage in VIEWS if stage in needed)


STAGES = {"combined": _up_to("evaluate"), "image": (*_up_to("finetune-img"), "evaluate")}
"""The stages that a model's numbers come from."""


@dataclass(frozen=True)
class Revision:
    """A commit and what people call it."""

    commit: str
    name: str
    date: str


@dataclass(frozen=True)
class Lock:
    """What dvc.lock says of each stage: its params by path, and the hashes of its code and of the raw inputs it read."""

    params: Mapping[str, Mapping[str, Any]]
    outside: Mapping[str, Mapping[str, str]]
    metrics: str | None

    def _hashes(self, stages: Sequence[str], *, code: bool) -> dict[str, str]:
        found = {path: md5 for stage in stages for path, md5 in self.outside.get(stage, {}).items()}
        return {path: md5 for path, md5 in found.items() if path.startswith(CODE) == code}

    def key(self, params: Params, stages: Sequence[str]) -> str:
        """What is computed: a hash of the params that the stages read, and of the raw inputs."""
        return _digest([{stage: recorded(params, stage) for stage in stages}, self._hashes(stages, code=False)])

    def code(self, stages: Sequence[str]) -> str:
        """By what it is computed: a hash of the code of the stages."""
        return _digest(self._hashes(stages, code=True))

    def changed_code(self) -> list[str]:
        """The stages, up to evaluate, whose code is not as it was in this run."""
        here = project_code.package()
        hashes = self._hashes(STAGES["combined"], code=True)
        return [stage for stage in STAGES["combined"] if hashes.get(CODE + stage) != _md5(f"{here.digest(stage)}\n".encode())]

    def raw_inputs(self) -> dict[str, str]:
        """Hash of what comes from outside the project and is no source."""
        return self._hashes(tuple(stage for stage in self.outside if stage != "check"), code=False)

    def made(self, metrics: bytes) -> bool:
        """Whether this is the text of metrics.json that stage evaluate wrote."""
        return self.metrics == _md5(metrics)

    def has(self, stages: Sequence[str]) -> bool:
        """Whether all of the stages were run."""
        return all(stage in self.params for stage in stages)


@dataclass(frozen=True)
class Run:
    """A revision with what git holds of it."""

    revision: Revision
    params: Params
    lock: Lock
    metrics_text: bytes | None

    @cached_property
    def keys(self) -> dict[str, str]:
        """What is computed, for each model of `STAGES`."""
        return {model: self.lock.key(self.params, stages) for model, stages in STAGES.items()}

    @cached_property
    def codes(self) -> dict[str, str]:
        """By which sources, for each model of `STAGES`."""
        return {model: self.lock.code(stages) for model, stages in STAGES.items()}

    @cached_property
    def finished(self) -> bool:
        """Whether dvc.lock was made with these params and made these metrics."""
        stages = STAGES["combined"]
        return (
            self.metrics_text is not None
            and self.lock.made(self.metrics_text)
            and all(self.lock.params.get(stage) == _plain(recorded(self.params, stage)) for stage in stages)
        )

    def top1(self, ratio: str, model: str) -> tuple[float, float] | None:
        """Mean and standard deviation over seeds on the test set, per cent; None where there is no such number."""
        try:
            value = json.loads(self.metrics_text or b"")["test"][ratio][model]["top1"]
            return float(value["mean"]), float(value["sd"])
        except (ValueError, KeyError, TypeError):
            return None


def require_repository() -> None:
    """EnvironmentProblem unless the working folder is a project of git and DVC with at least one commit."""
    if _git("rev-parse", "--git-dir").returncode:
        raise EnvironmentProblem("this folder is not in a git repository", hint="git init && git add -A && git commit -m start")
    if not Path(".dvc").is_dir():
        raise EnvironmentProblem("this folder is not a DVC project: .dvc is missing", hint="dvc init")
    if _git("rev-parse", "-q", "--verify", "HEAD^{commit}").returncode:
        raise EnvironmentProblem("the git repository has no commit yet", hint="git add -A && git commit -m start")


def workspace_lock() -> Lock:
    """dvc.lock of the workspace; DataError when the line has not been run to its end."""
    try:
        lock = read_lock(LOCK.read_bytes())
    except FileNotFoundError:
        raise DataError(
            f"{LOCK} is missing: nothing was run that other runs could be compared with", hint="dvc repro"
        ) from None
    if lock is None:
        raise DataError(f"{LOCK} cannot be read", hint=f"git restore {LOCK}")
    if not lock.has(STAGES["combined"]):
        missing = [stage for stage in STAGES["combined"] if stage not in lock.params]
        raise DataError(f"{LOCK} has no stage {missing[0]}: the line was not run to its end", hint="dvc repro")
    return lock


def commit_of(name: str) -> str | None:
    """The commit that a branch, tag, commit or experiment names; None for a name that nobody knows."""
    found = _git("rev-parse", "-q", "--verify", "--end-of-options", f"{name}^{{commit}}") if name else None
    if found is not None and not found.returncode:
        return found.stdout.decode().strip()
    return next((one.commit for one in revisions() if name and one.name == name), None)


def revisions() -> list[Revision]:
    """HEAD, DVC's experiments with the newest first, then the branches; a commit once."""
    head = _lines("log", "-1", "--format=%H\t%cs")[0].split("\t")
    branch = _git("symbolic-ref", "--short", "-q", "HEAD").stdout.decode().strip()
    found = {head[0]: Revision(head[0], branch or "HEAD", head[1])}
    form = "--format=%(objectname)\t%(committerdate:short)\t%(refname)"
    for line in _lines("for-each-ref", "--sort=-committerdate", form, "refs/exps"):
        commit, date, ref = line.split("\t")
        if name := EXPERIMENT.fullmatch(ref):
            found.setdefault(commit, Revision(commit, name[1], date))
    for line in _lines("for-each-ref", "--sort=-committerdate", form, "refs/heads"):
        commit, date, ref = line.split("\t")
        found.setdefault(commit, Revision(commit, ref.removeprefix("refs/heads/"), date))
    return list(found.values())


def runs() -> list[Run]:
    """Every revision of `revisions` that has params.yaml in today's form and a dvc.lock, finished or not."""
    known = revisions()
    files = (paths.PARAMS, LOCK, METRICS)
    texts = read([(revision.commit, file) for revision in known for file in files])
    found = []
    for revision in known:
        params_text, lock_text, metrics_text = (texts[revision.commit, file] for file in files)
        params = parsed(params_text)
        lock = read_lock(lock_text) if lock_text is not None else None
        if params is not None and lock is not None:
            found.append(Run(revision, params, lock, metrics_text))
    return found


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


@lru_cache(maxsize=256)
def parsed(text: bytes | None) -> Params | None:
    """Params of another revision; None when they are not of today's form."""
    try:
        return None if text is None else parse(text.decode(), paths.PARAMS)
    except (ParamsError, UnicodeDecodeError):
        return None


def with_values(params: Params, values: Iterable[tuple[str, Any]]) -> Params:
    """The same params with other values at these paths; ParamsError as for params.yaml."""
    raw = params.model_dump(exclude_unset=True)
    for path, value in values:
        *parents, last = path.split(".")
        at = raw
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return checked(raw, paths.PARAMS)


def differs_from_head(*files: Path) -> list[str]:
    """Those of the files (or folders) whose content is not that of HEAD."""
    return [str(file) for file in files if _lines("status", "--porcelain", "--untracked-files=no", "--", str(file))]


def untracked_sources() -> list[str]:
    """Source files that git does not know: a queued experiment would not have them."""
    return _lines("ls-files", "--others", "--exclude-standard", "--", "src")


@lru_cache(maxsize=256)
def read_lock(text: bytes) -> Lock | None:
    """What a dvc.lock says; None when it cannot be read."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        stages = YAML(typ="safe", pure=True).load(text)["stages"]
        outside = {
            stage: {
                dep["path"]: str(dep.get("md5"))
                for dep in about.get("deps", [])
                if dep["path"].startswith(CODE) or not dep["path"].startswith(MADE)
            }
            for stage, about in stages.items()
        }
        params = {stage: about.get("params", {}).get(paths.PARAMS.name, {}) for stage, about in stages.items()}
        outs = {out["path"]: out.get("md5") for out in stages.get("evaluate", {}).get("outs", [])}
        return Lock(params, outside, outs.get(METRICS.as_posix()))
    except (YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return None


def _plain(value: Any) -> Any:
    """As YAML would give it back: lists for tuples."""
    return json.loads(json.dumps(value))


def _md5(content: bytes) -> str:
    """The hash that DVC records of a file."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


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
