"""reports/run.json: what the numbers of a run were computed from and by which code, small enough for git.

It identifies what was run in a revision of the project: two runs are of the same thing when their keys are equal, and
`metrics` shows whether the scores.json beside it is theirs. Whether their numbers are comparable, `numerics` says; of a run in
portable mode it holds nothing of the machine.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from cspops.params import VIEWS, Params, recorded
from cspops.params.graph import NEEDS
from cspops.report.machine import Numerics
from cspops.report.run_facts import Records


def _up_to(*stages: str) -> tuple[str, ...]:
    needed = set(stages)
    for stage in reversed(VIEWS):
        if stage in needed:
            needed |= set(NEEDS[stage])
    return tuple(stage for stage in VIEWS if stage in needed)


STAGES = {"combined": _up_to("evaluate"), "pool": _up_to("evaluate"), "image": (*_up_to("finetune-img"), "evaluate")}
"""The stages that a model's numbers come from."""


@dataclass(frozen=True)
class RunRecord:
    """The content of reports/run.json; all values but ``numerics`` are digests."""

    catalogue: str
    """The digest of the files of stage download, and so of the raw inputs as far as they affect a result."""
    params: Mapping[str, str]
    """For each stage up to evaluate, the digest of the values that it read."""
    code: Mapping[str, str]
    """For each stage up to evaluate, the digest of its code, as in artifacts/code."""
    metrics: str
    """The sha256 of scores.json."""
    numerics: Numerics | None = None
    """What decided on the last bits; None in a run.json of an older form."""

    @classmethod
    def of(cls, records: Records, code: Mapping[str, str], metrics: bytes, numerics: Numerics) -> "RunRecord":
        """Make the record of a run from the stage.json of its stages (one without params may be left out)."""
        params = {stage: _digest(records[stage]["params"] if stage in records else {}) for stage in STAGES["combined"]}
        return cls(
            _digest(records["download"]["files"]),
            params,
            {stage: code[stage] for stage in params},
            hashlib.sha256(metrics).hexdigest(),
            numerics,
        )

    @classmethod
    def read(cls, text: bytes | None) -> "RunRecord | None":
        """Read the text of a run.json; return None when it is not of the present format."""
        try:
            record = cls(**json.loads(text or b""))
            digests = [record.catalogue, record.metrics, *record.params.values(), *record.code.values()]
            whole = record.params.keys() == record.code.keys() == set(STAGES["combined"])
            whole &= record.numerics is None or all(isinstance(one, str | int) for one in record.numerics.values())
            return record if whole and all(isinstance(one, str) for one in digests) else None
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None

    @property
    def text(self) -> str:
        """The text of run.json."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def with_params(self, params: Params) -> "RunRecord":
        """Return what a run of other params on the same catalogue would record."""
        return replace(self, params={stage: _digest(recorded(params, stage)) for stage in self.params})

    def on_any_catalogue(self) -> "RunRecord":
        """Return the record without its catalogue, to be compared by params alone."""
        return replace(self, catalogue="")

    def key(self, model: str) -> str:
        """Return a digest of what a model of `STAGES` was computed from: params and catalogue."""
        return _digest([self.catalogue, {stage: self.params[stage] for stage in STAGES[model]}])

    def code_of(self, model: str) -> str:
        """Return a digest of the code that computed a model of `STAGES`."""
        return _digest({stage: self.code[stage] for stage in STAGES[model]})

    def made(self, metrics: bytes | None) -> bool:
        """Return whether this is the text of scores.json that the run wrote."""
        return metrics is not None and self.metrics == hashlib.sha256(metrics).hexdigest()


@dataclass(frozen=True)
class Run:
    """A revision that holds a run: its name, commit and date, its run.json and the scores.json beside it."""

    name: str
    commit: str
    date: str
    record: RunRecord
    metrics: bytes | None

    @property
    def finished(self) -> bool:
        """Whether the metrics are those of the run."""
        return self.record.made(self.metrics)

    def number(self, ratio: str, model: str) -> dict[str, Any] | None:
        """Return top-1 on the test set (per cent) and what it was computed from; None where the run has no such number."""
        if not self.finished:
            return None
        try:
            top1 = json.loads(self.metrics or b"")["test"][ratio][model]["top1"]
            numbers = {"mean": float(top1["mean"]), "sd": float(top1["sd"])}
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None
        origin = {"key": self.record.key(model), "code": self.record.code_of(model)}
        numerics = {"numerics": self.record.numerics}
        return numbers | origin | numerics | {"revision": self.name, "commit": self.commit[:7], "date": self.date}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
