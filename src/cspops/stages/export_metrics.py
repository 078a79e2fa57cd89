"""The metrics of a model that is exported, where reports/metrics.json is really of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from cspops.data.catalogue import Observations, read_observations
from cspops.data.splits import ratio_key
from cspops.evaluation.summary import MODELS
from cspops.library.model import Model
from cspops.stages.export_facts import Origin

KEPT = ("top1", "nll", "ece")
ROWS = 1000
"""Rows of which the model is asked again."""
LEAST_AGREEMENT = 0.99
"""Another batch size, or another machine, may turn a class over where two are as likely."""


def metrics_of(origin: Origin, model: Model) -> tuple[dict[str, Any], str | None]:
    """`seeds` and `scores` (set, model, metric, then mean and sd over seeds, and top-1 of this seed); or why there are none.

    The numbers count when stage evaluate's predictions of this seed and label ratio are those of the model, and the mean
    over seeds of their top-1 is the one in metrics.json.
    """
    if origin.run is None or origin.label_ratio is None or origin.seed is None:
        return {}, "Metrics: the model was not evaluated."
    predictions, file = origin.run / "evaluate" / "predictions.parquet", origin.run.parent / "reports" / "metrics.json"
    if not predictions.is_file() or not file.is_file():
        return {}, "Metrics: stage evaluate was not run."
    key, observations = ratio_key(origin.label_ratio), read_observations(origin.run / "download")
    rows = _of_ratio(predictions, key, observations)
    own = rows.filter(pc.equal(rows["seed"], origin.seed))
    summary = json.loads(file.read_text(encoding="utf-8"))
    if not len(own) or not _is_of(own, observations, model) or not _agree(rows, summary, key):
        return {}, "Metrics: those in reports are of another run (dvc repro evaluate)."
    models = MODELS if model.image is not None else ("location",)
    scores = {
        role: {
            name: {metric: ratios[key][name][metric] for metric in KEPT}
            | {"this_seed": round(_top1(own.filter(pc.equal(own["role"], role)), name), 4)}
            for name in models
            if name in ratios[key]
        }
        for role, ratios in summary.items()
        if key in ratios
    }
    return {"seeds": sorted(rows["seed"].unique().to_pylist()), "scores": scores}, None


def _of_ratio(file: Path, key: str, observations: Observations) -> pa.Table:
    """The rows of a label ratio: seed, role, obs_id, label and the best class of each model, -1 where all are as likely."""
    table = pq.read_table(file, columns=["seed", "label_ratio", "role", "obs_id", "label", *MODELS])
    ratios = [ratio for ratio in table["label_ratio"].unique().to_pylist() if ratio_key(ratio) == key]
    table = table.filter(pc.is_in(table["label_ratio"], pa.array(ratios, pa.float64())))
    for name in MODELS:
        best = pc.list_element(table[name], 0)
        if name == "location":
            located = pa.array(observations.obs_id).filter(pa.array(observations.located.numpy()))
            best = pc.if_else(pc.is_in(table["obs_id"], located), best, -1)
        table = table.set_column(table.schema.get_field_index(name), name, best)
    return table


def _is_of(own: pa.Table, observations: Observations, model: Model) -> bool:
    """Whether the model says of the first located rows what the table says it said."""
    place = pc.index_in(own["obs_id"], pa.array(observations.obs_id)).to_pylist()
    if None in place:
        return False
    lonlat = observations.lonlat[torch.tensor(place, dtype=torch.int64)]
    some = (~lonlat.isnan().any(1)).nonzero()[:ROWS, 0]
    if not len(some):
        return True
    answer = model.location_log_p(lonlat[some], torch.ones(len(some), dtype=torch.bool)).argmax(1).numpy()
    return bool((answer == own["location"].to_numpy()[some.numpy()]).mean() >= LEAST_AGREEMENT)


def _agree(rows: pa.Table, summary: dict[str, Any], key: str) -> bool:
    """Whether the table's mean over seeds of top-1 of the product is that of metrics.json, on every set."""
    for role, ratios in summary.items():
        of_role = rows.filter(pc.equal(rows["role"], role))
        of_seeds = [of_role.filter(pc.equal(of_role["seed"], seed)) for seed in of_role["seed"].unique().to_pylist()]
        if "combined" not in ratios.get(key, {}):
            continue
        if not of_seeds:
            return False
        mean = float(np.mean([_top1(one, "combined") for one in of_seeds]))
        if abs(mean - ratios[key]["combined"]["top1"]["mean"]) > 0.01:
            return False
    return True


def _top1(rows: pa.Table, name: str) -> float:
    """Per cent."""
    return 100 * float((rows[name].to_numpy() == rows["label"].to_numpy()).mean()) if len(rows) else 0.0
