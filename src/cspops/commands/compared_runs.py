"""Metrics and params of the workspace, or of a revision, against another revision's.

It needs what git holds and no more: params.yaml, dvc.lock and reports/metrics.json of each side.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cspops.commands import runs as git
from cspops.data.json_files import Document
from cspops.errors import DataError, ParamsError
from cspops.evaluation.spread import Spread, welch
from cspops.pipeline import paths
from cspops.report.run_facts import leaves
from cspops.report.tables import Metrics

MODELS = ("image", "location", "combined", "calibrated")
LEVEL = 0.95
WORKSPACE = "workspace"


@dataclass(frozen=True)
class _Side:
    """What git, or the workspace, holds of a run."""

    name: str
    params: dict[str, Any]
    metrics: Metrics
    data: Mapping[str, str]
    stale: bool

    @property
    def seeds(self) -> int:
        seeds = self.params.get("seeds")
        return len(seeds) if isinstance(seeds, list) else 1


def run(base: str, head: str | None, *, models: Sequence[str], max_drop: float) -> Document:
    """Compare top-1 of ``head`` (None: the workspace) with that of ``base``, each role and label ratio, and their params.

    A row is a `drop` when it has lost more than ``max_drop`` points and its interval (Welch, over seeds) lies below zero;
    the level is divided by the number of rows (Bonferroni), so that they all together are wrong once in twenty. With a
    single seed nothing is known of the spread, and losing more than ``max_drop`` is a drop.

    Raises:
        DataError: a revision is unknown or holds no metrics, or the two have no row in common.
        ParamsError: there is no such model.
    """
    git.require_repository()
    if unknown := [model for model in models if model not in MODELS]:
        raise ParamsError(f"there is no model {unknown[0]!r}", hint=f"models: {', '.join(MODELS)}")
    theirs, ours = _revision(base), _workspace() if head is None else _revision(head)
    common = [
        (role, ratio, model)
        for role, ratios in ours.metrics.items()
        for ratio in ratios
        for model in models
        if model in ratios[ratio] and model in theirs.metrics.get(role, {}).get(ratio, {})
    ]
    if not common:
        raise DataError(f"{ours.name} and {theirs.name} have no set and label ratio in common", hint=f"dvc params diff {base}")
    level = 1 - (1 - LEVEL) / len(common)
    rows = [_row(ours, theirs, place, level=level, max_drop=max_drop) for place in common]
    return {
        "head": ours.name,
        "base": theirs.name,
        "max_drop": max_drop,
        "rows": rows,
        "drops": sum(row["verdict"] == "drop" for row in rows),
        "params": _differences(theirs.params, ours.params),
        "notes": _notes(ours, theirs),
    }


def _row(ours: _Side, theirs: _Side, place: tuple[str, str, str], *, level: float, max_drop: float) -> Document:
    role, ratio, model = place
    a, b = (_spread(side, place) for side in (ours, theirs))
    found = welch(a, b, level=level)
    row = {"role": role, "label_ratio": ratio, "model": model, "base": b.mean, "base_sd": b.sd, "head": a.mean, "head_sd": a.sd}
    interval = {name: None if value is None else round(value, 4) for name, value in (("low", found.low), ("high", found.high))}
    return (
        row
        | {"difference": round(found.mean, 4)}
        | interval
        | {"verdict": verdict(found.mean, found.high, found.low, max_drop)}
    )


def verdict(difference: float, high: float | None, low: float | None, max_drop: float) -> str:
    """`drop`, `small drop` (real, within what is allowed), `gain`, `noise`; of single seeds `drop` or `unknown`."""
    if high is None or low is None:
        return "drop" if difference < -max_drop else "unknown"
    if high < 0:
        return "drop" if difference < -max_drop else "small drop"
    return "gain" if low > 0 else "noise"


def _spread(side: _Side, place: tuple[str, str, str]) -> Spread:
    role, ratio, model = place
    try:
        top1 = side.metrics[role][ratio][model]["top1"]
        return Spread(float(top1["mean"]), float(top1["sd"]), side.seeds)
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{side.name}: {git.METRICS} has no top1 of {model} at {ratio} on {role}", hint="dvc repro") from None


def _workspace() -> _Side:
    return _side(WORKSPACE, {file: file.read_bytes() if file.is_file() else None for file in _FILES})


def _revision(name: str) -> _Side:
    commit = git.commit_of(name)
    if commit is None:
        raise DataError(f"git knows no revision {name!r}", hint="git branch -a and dvc exp show list revisions")
    texts = git.read([(commit, file) for file in _FILES])
    return _side(name, {file: texts[commit, file] for file in _FILES})


_FILES = (paths.PARAMS, git.LOCK, git.METRICS)


def _side(name: str, texts: Mapping[Path, bytes | None]) -> _Side:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    metrics, params, lock = texts[git.METRICS], texts[paths.PARAMS], texts[git.LOCK]
    if metrics is None or params is None:
        lacking = git.METRICS if metrics is None else paths.PARAMS
        raise DataError(f"{name} has no {lacking}: it was not run to its end", hint="dvc repro, then git commit")
    try:
        scores = json.loads(metrics)
        settings = YAML(typ="safe", pure=True).load(params)
        if not (isinstance(scores, dict) and isinstance(settings, dict)):
            raise ValueError
    except (ValueError, YAMLError):
        raise DataError(f"{name}: {git.METRICS} or {paths.PARAMS} is broken", hint="dvc repro, then git commit") from None
    of_lock = None if lock is None else git.read_lock(lock)
    return _Side(
        name,
        settings,
        scores,
        {} if of_lock is None else of_lock.raw_inputs(),
        of_lock is None or not of_lock.made(metrics),
    )


def _differences(base: Mapping[str, Any], head: Mapping[str, Any]) -> list[Document]:
    """Keys by their paths whose values differ; None where a side lacks the key."""
    before, after = leaves(base), leaves(head)
    keys = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return [{"key": key, "base": before.get(key), "head": after.get(key)} for key in keys]


def _notes(ours: _Side, theirs: _Side) -> list[str]:
    notes = [
        f"{git.METRICS} of {side.name} is not what its {git.LOCK} records: it is of another run (dvc repro)"
        for side in (ours, theirs)
        if side.stale
    ]
    if ours.data != theirs.data:
        notes.append(f"the raw data of {ours.name} and {theirs.name} differ: their numbers are of other rows")
    if min(ours.seeds, theirs.seeds) < 2:
        notes.append("a single seed says nothing of the spread: no difference can be called noise")
    return notes
