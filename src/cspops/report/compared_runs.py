"""Metrics and params of two runs side by side, for `cspops compare`: as rows of text and as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cspops.artefacts import json_text_as
from cspops.data.json_files import Document
from cspops.errors import DataError
from cspops.evaluation.results import Metrics
from cspops.evaluation.spread import Difference, Spread, welch
from cspops.params.yaml_text import NotReadable, read_yaml
from cspops.report.machine import not_comparable
from cspops.report.run_facts import leaves
from cspops.report.run_record import RunRecord
from cspops.report.tables import TITLES, as_code, markdown, ratio_title, short_name

LEVEL = 0.95
LEAST_SEEDS = 3
"""Of either run, for an interval: two and two have at most 2 degrees of freedom, and a quantile above 20 with many rows."""
AGAIN = "dvc repro, then git commit"


@dataclass(frozen=True)
class Side:
    """A run as git, or the workspace, holds it."""

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    record: RunRecord | None
    doubt: str | None
    """Why the metrics may not be of these params."""

    @classmethod
    def of(cls, name: str, params: bytes | None, record: bytes | None, metrics: bytes | None) -> "Side":
        """Read the texts of params.yaml, run.json and scores.json; raise a DataError where one is missing or broken."""
        if metrics is None or params is None:
            lacking = "reports/scores.json" if metrics is None else "params.yaml"
            raise DataError(f"{name} has no {lacking}: it was not run to its end, or by an older cspops", hint=AGAIN)
        try:
            settings = read_yaml(params.decode("utf-8"))
        except (UnicodeDecodeError, NotReadable) as error:
            raise DataError(f"params.yaml of {name} cannot be read{error}", hint=AGAIN) from None
        if not isinstance(settings, dict):
            raise DataError(f"params.yaml of {name} holds no keys", hint=AGAIN)
        scores = json_text_as(metrics, Metrics, name=f"reports/scores.json of {name}", remake=AGAIN)
        run, doubt = RunRecord.read(record), None
        if run is None:
            doubt = f"{name} has no reports/run.json of the present format: the origin of its numbers is unknown (dvc repro)"
        elif not run.made(metrics):
            doubt = f"reports/scores.json of {name} is not the one in its reports/run.json: it is of another run (dvc repro)"
        return cls(name, settings, scores, run, doubt)

    @property
    def seeds(self) -> int:
        """How many seeds the means are over."""
        seeds = self.params.get("seeds")
        return len(seeds) if isinstance(seeds, list) else 1

    def spread(self, place: tuple[str, str, str]) -> Spread:
        """Return top-1 of a role, label ratio and model."""
        role, ratio, model = place
        try:
            top1 = self.metrics[role][ratio][model]["top1"]
            return Spread(float(top1["mean"]), float(top1["sd"]), self.seeds)
        except (KeyError, TypeError, ValueError):
            raise DataError(
                f"{self.name}: reports/scores.json has no top1 of {model} at {ratio} on {role}", hint="dvc repro"
            ) from None


def compared(ours: Side, theirs: Side, *, models: Sequence[str], max_drop: float) -> Document:
    """Compare top-1 of two runs at each role and label ratio, and their params.

    A row is a `drop` when it has lost more than ``max_drop`` points and its interval (Welch, over seeds) lies below zero;
    the level is divided by the number of rows (Bonferroni), so that all of them together are wrong once in twenty. With
    fewer than `LEAST_SEEDS` seeds there is no interval, and losing more than ``max_drop`` is a drop. Where the machines
    differ too, there are no gains and no small drops.

    Raise a DataError when the two have no row in common.
    """
    common = [
        (role, ratio, model)
        for role, ratios in ours.metrics.items()
        for ratio in ratios
        for model in models
        if model in ratios[ratio] and model in theirs.metrics.get(role, {}).get(ratio, {})
    ]
    if not common:
        lacking = (
            f"{ours.name} and {theirs.name} have no set and label ratio with {' or '.join(map(short_name, models))} in common"
        )
        raise DataError(lacking, hint=f"dvc params diff {theirs.name}; --model names other models")
    level = 1 - (1 - LEVEL) / len(common)
    rows = [_row(ours, theirs, place, level=level, max_drop=max_drop) for place in common]
    machines = _machines(ours, theirs)
    if machines:
        rows = [row | {"verdict": "unknown"} if row["verdict"] in ("gain", "small drop") else row for row in rows]
    return {
        "head": ours.name,
        "base": theirs.name,
        "max_drop": max_drop,
        "rows": rows,
        "drops": sum(row["verdict"] == "drop" for row in rows),
        "params": _differences(theirs.params, ours.params),
        "not_comparable": machines,
        "notes": _notes(ours, theirs),
    }


def _row(ours: Side, theirs: Side, place: tuple[str, str, str], *, level: float, max_drop: float) -> Document:
    role, ratio, model = place
    a, b = ours.spread(place), theirs.spread(place)
    gap = welch(a, b, level=level) if min(a.n, b.n) >= LEAST_SEEDS else Difference(a.mean - b.mean, None, None)
    means = {"base": b.mean, "base_sd": b.sd if b.n > 1 else None, "head": a.mean, "head_sd": a.sd if a.n > 1 else None}
    row = {"role": role, "label_ratio": ratio, "model": model} | means
    interval = {name: None if value is None else round(value, 4) for name, value in (("low", gap.low), ("high", gap.high))}
    return row | {"difference": round(gap.mean, 4)} | interval | {"verdict": verdict(gap.mean, gap.high, gap.low, max_drop)}


def verdict(difference: float, high: float | None, low: float | None, max_drop: float) -> str:
    """Return `same`, `drop`, `small drop` (real but allowed), `gain` or `noise`; without an interval `drop` or `unknown`."""
    if difference == 0:
        return "same"
    if high is None or low is None:
        return "drop" if difference < -max_drop else "unknown"
    if high < 0:
        return "drop" if difference < -max_drop else "small drop"
    return "gain" if low > 0 else "noise"


def _differences(base: Mapping[str, Any], head: Mapping[str, Any]) -> list[Document]:
    """Return the keys, by path, whose values differ; None where a side lacks the key."""
    before, after = leaves(base), leaves(head)
    keys = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return [{"key": key, "base": before.get(key), "head": after.get(key)} for key in keys]


def _machines(ours: Side, theirs: Side) -> str | None:
    """Return why a difference may be the machine's; None where it cannot be, or where a run is unknown altogether."""
    if ours.record is None or theirs.record is None:
        return None
    return not_comparable(ours.record.numerics, theirs.record.numerics, (ours.name, theirs.name))


def _notes(ours: Side, theirs: Side) -> list[str]:
    notes = [side.doubt for side in (ours, theirs) if side.doubt is not None]
    if ours.record and theirs.record and ours.record.catalogue != theirs.record.catalogue:
        notes.append(f"the catalogues of {ours.name} and {theirs.name} differ: their numbers are of different rows")
    if (seeds := min(ours.seeds, theirs.seeds)) < LEAST_SEEDS:
        notes.append(
            f"{'one seed' if seeds == 1 else 'two seeds'}: no interval, so that no difference can be called noise, and any "
            "loss of more than --max-drop is a drop"
        )
    return notes


def metric_rows(document: Document) -> list[list[str]]:
    """Return a header and one row per role, label ratio and model."""
    rows = [["set", "labels", "model", document["base"], document["head"], "difference", "interval", "verdict"]]
    for row in document["rows"]:
        interval = "" if row["low"] is None else f"[{row['low']:+.2f}, {row['high']:+.2f}]"
        sides = [(f"{row[side]:.2f}", row[f"{side}_sd"]) for side in ("base", "head")]
        rows.append(
            [
                TITLES.get(row["role"], row["role"]),
                ratio_title(row["label_ratio"]),
                short_name(row["model"]),
                *(mean if sd is None else f"{mean} ({sd:.2f})" for mean, sd in sides),
                f"{row['difference']:+.2f}",
                interval,
                row["verdict"],
            ]
        )
    return rows


def param_rows(document: Document) -> list[list[str]]:
    """Return a header and one row per key of params.yaml that differs."""
    rows = [["params.yaml", document["base"], document["head"]]]
    for one in document["params"]:
        rows.append([one["key"], *("-" if one[side] is None else str(one[side]) for side in ("base", "head"))])
    return rows


def conclusion(document: Document) -> str:
    """Return one sentence on whether accuracy dropped, and one where the two runs are not comparable."""
    allowed, against = f"more than {document['max_drop']:g} points", f"against {document['base']}"
    if document["drops"]:
        count = f"{document['drops']} of {len(document['rows'])}"
        said = f"{count} accuracies of {document['head']} have dropped by {allowed} {against}."
    else:
        beyond = "" if any(row["low"] is None for row in document["rows"]) else " beyond the spread of seeds"
        said = f"No accuracy of {document['head']} has dropped by {allowed} {against}{beyond}."
    return f"{said} {document['not_comparable']}" if document["not_comparable"] else said


def as_markdown(document: Document) -> str:
    """Return the whole comparison as Markdown."""
    parts = [
        f"### {as_code(document['head'])} against {as_code(document['base'])}",
        conclusion(document),
        "Top-1, per cent: mean (sd) over seeds. Intervals of the differences, in points, hold for all rows at once.",
        markdown(metric_rows(document), text_columns=3),
    ]
    if document["params"]:
        parts.append(markdown(param_rows(document), text_columns=1))
    parts += [f"- {note}" for note in document["notes"]]
    return "\n\n".join(parts) + "\n"
