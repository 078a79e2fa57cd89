"""Probe encoders with a target: a row per encoder and probe, with scores on random folds and on blocks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from cspops.data.json_files import Document
from cspops.geo import blocks
from cspops.probing.encoders import POSITION, Encoder
from cspops.probing.folds import Nested, Scheme
from cspops.probing.probes import PROBES, Features, ProbeName
from cspops.probing.scores import CLASSIFICATION, REGRESSION, Score, classification_scores, regression_scores
from cspops.probing.targets import Target
from cspops.shapes import Int, Tensor

GAIN = "over_position"
"""The name of the gains in documents and files."""
NO_BLOCKS_DEGREES = 10.0
"""Side of the blocks that are resampled where rows are not divided by blocks."""


@dataclass(frozen=True)
class Row:
    """One encoder by one probe; ``scores`` and the ``chosen`` setting of each outer fold by the name of the scheme.

    ``gains`` are those of the first score over the same score of the neighbours of position.
    """

    encoder: str
    probe: ProbeName
    features: int
    scores: dict[str, dict[str, Score]]
    chosen: dict[str, list[float]]
    gains: dict[str, Score] = field(default_factory=dict)


def metrics_of(target: Target) -> tuple[str, ...]:
    """Return the names of a target's scores, the most telling first."""
    return REGRESSION if target.kind == "regression" else CLASSIFICATION


def probe(
    target: Target,
    encoders: Sequence[Encoder],
    schemes: Sequence[Scheme],
    *,
    seed: int,
    done: Callable[[int], object] = lambda rows: None,
) -> list[Row]:
    """Predict ``target`` from each encoder's features by each of its probes, on the folds of each scheme.

    Args:
        done: is told after each prediction of all folds that one more is made.
    """
    folds = {scheme.name: scheme.nested(target.lonlat, seed=seed) for scheme in schemes}
    degrees = next((scheme.degrees for scheme in schemes if scheme.name == "blocks"), NO_BLOCKS_DEGREES)
    block = np.unique(blocks(target.lonlat, degrees).numpy(), return_inverse=True)[1]
    rows = []
    for encoder in encoders:
        features = encoder.features(target.lonlat)
        for name in encoder.probes:
            scores: dict[str, dict[str, Score]] = {}
            chosen: dict[str, list[float]] = {}
            for scheme, nested in folds.items():
                predicted, chosen[scheme] = _predictions(target, features, name, nested)
                scores[scheme] = _scores(target, predicted, block, seed)
                done(1)
            width = 0 if name == "constant" else features.x.shape[1]
            rows.append(Row(encoder.name, name, width, scores, chosen))
    first = metrics_of(target)[0]
    base = next((row for row in rows if row.encoder == POSITION), rows[0])
    for row in rows:
        row.gains.update({scheme: some[first].minus(base.scores[scheme][first]) for scheme, some in row.scores.items()})
    return rows


def _predictions(target: Target, features: Features, name: ProbeName, nested: Sequence[Nested]) -> tuple[Tensor, list[float]]:
    """Return the prediction of each row by the model that was not trained on it, and the setting of each fold."""
    predict, out, chosen = PROBES[target.kind][name], torch.empty_like(target.value), []
    for fold in nested:
        out[fold.outer.test], setting = predict(features, target.value, len(target.classes), fold)
        chosen += [] if setting is None else [float(setting)]
    return out, chosen


def _scores(target: Target, predicted: Tensor, block: Int[np.ndarray, "n"], seed: int) -> dict[str, Score]:
    truth, guess = target.value.numpy(), predicted.numpy()
    if target.kind == "regression":
        return regression_scores(truth, guess, block, seed=seed)
    return classification_scores(truth, guess, block, classes=len(target.classes), seed=seed)


HEADERS = {"r2": "R2", "rmse": "RMSE", "mae": "MAE", "top1": "top-1", "macro_f1": "macro-F1"}
UNIT = {"regression": "", "classification": ", per cent"}
"""Of all scores of a target of this kind."""


def cells(target: Target, rows: Sequence[Row], scheme: Scheme, *, space: str = " ") -> list[list[str]]:
    """Return the header and the rows of a table of one kind of folds; ``space``: within an interval."""
    first, *others = metrics_of(target)
    table = [["encoder", "probe", "features", HEADERS[first], "over position", *(HEADERS[name] for name in others)]]
    for row in rows:
        scores, gain = row.scores[scheme.name], row.gains[scheme.name]
        more = "" if row.encoder == POSITION else _words(gain, target, space)
        plain = (_plain(scores[name].value, target) for name in others)
        table.append([row.encoder, row.probe, str(row.features), _words(scores[first], target, space), more, *plain])
    return table


def _words(score: Score, target: Target, space: str) -> str:
    value, low, high = (_plain(one, target) for one in (score.value, score.low, score.high))
    return f"{value}{space}[{low},{space}{high}]" if len(score.draws) else value


def _plain(value: float, target: Target) -> str:
    return f"{value:,.1f}" if target.classes or abs(value) >= 10 else f"{value:.3f}"


def document(target: Target, rows: Sequence[Row]) -> Document:
    """Return what `--json` prints of a target."""
    about = {
        "target": target.name,
        "source": target.source,
        "licence": target.licence,
        "kind": target.kind,
        "rows": len(target.value),
        "set_aside": dict(target.set_aside),
        "classes": len(target.classes) or None,
    }
    return about | {"results": [_result(row) for row in rows]}


def _result(row: Row) -> Document:
    scores = {
        scheme: {name: _interval(score) for name, score in some.items()}
        | {GAIN: _interval(row.gains[scheme]), "chosen": row.chosen[scheme]}
        for scheme, some in row.scores.items()
    }
    return {"encoder": row.encoder, "probe": row.probe, "features": row.features, **scores}


def _interval(score: Score) -> dict[str, float | None]:
    return {"value": _number(score.value), "low": _number(score.low), "high": _number(score.high)}


def _number(value: float) -> float | None:
    """Return a number for JSON, which knows no nan."""
    return None if math.isnan(value) or math.isinf(value) else value


def flat(target: Target, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a record per row and scheme, for a CSV file."""
    return [
        {"target": target.name, "kind": target.kind, "rows": len(target.value)}
        | {"encoder": row.encoder, "probe": row.probe, "features": row.features, "folds": scheme}
        | {
            f"{name}{end}": _number(value)
            for name in (*REGRESSION, *CLASSIFICATION)
            for end, value in _columns(some.get(name)).items()
        }
        | {f"{GAIN}{end}": _number(value) for end, value in _columns(row.gains[scheme]).items()}
        | {"chosen": " ".join(f"{one:g}" for one in row.chosen[scheme])}
        for row in rows
        for scheme, some in row.scores.items()
    ]


def _columns(score: Score | None) -> dict[str, float]:
    nothing = Score(math.nan, math.nan, math.nan)
    one = score or nothing
    return {"": one.value, "_low": one.low, "_high": one.high}
