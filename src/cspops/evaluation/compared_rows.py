"""Compare the predictions of two runs on the same rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from cspops.data.json_files import Document
from cspops.errors import DataError
from cspops.evaluation.bootstrap import Interval, paired_difference
from cspops.evaluation.metrics import FUSION, MODELS
from cspops.evaluation.predictions import predictions_table
from cspops.shapes import Bool, Tensor


@dataclass(frozen=True)
class Hits:
    """Whether each model's top class was the true one, on one set at one label ratio."""

    seeds: tuple[int, ...]
    obs_id: tuple[str, ...]
    by_model: dict[str, Bool[Tensor, "seeds n"]]


HitsByRoleAndRatio = dict[tuple[str, float], Hits]


COMPARED = (*MODELS, FUSION)
OPTIONAL = ("pool", FUSION)
"""Of `COMPARED`, what a predictions.parquet may lack: an older one has no `pool`, and most runs train no fusion."""


def read_hits(source: Path | BinaryIO, *, name: str, remake: str) -> HitsByRoleAndRatio:
    """Return the hits of a predictions.parquet; arguments and errors as of `read_predictions` and `hits_in`."""
    columns = ["seed", "label_ratio", "role", "obs_id", "label", *(one for one in COMPARED if one not in OPTIONAL)]
    return hits_in(predictions_table(source, columns, optional=OPTIONAL, name=name, remake=remake))


def hits_in(table: pa.Table) -> HitsByRoleAndRatio:
    """Return the hits in the rows of predictions.parquet, by role and label ratio; DataError where seeds have other rows."""
    label = table["label"].to_numpy()
    top1 = {model: pc.list_element(table[model], 0).to_numpy() for model in COMPARED if model in table.column_names}
    role, ratio, seed = (table[name].to_numpy() for name in ("role", "label_ratio", "seed"))
    obs_id = np.asarray(table["obs_id"].to_pylist())
    out: HitsByRoleAndRatio = {}
    for one_role in np.unique(role):
        for one_ratio in np.unique(ratio):
            rows = np.flatnonzero((role == one_role) & (ratio == one_ratio))
            if not len(rows):
                continue
            numbers, counts = np.unique(seed[rows], return_counts=True)
            if len(set(counts.tolist())) != 1:
                raise DataError("predictions.parquet holds other rows for some seeds than others", hint="dvc repro evaluate")
            seeds = tuple(numbers.tolist())
            table_rows = rows[np.argsort(seed[rows], kind="stable")].reshape(len(seeds), -1)
            by_model = {model: torch.from_numpy(top1[model][table_rows] == label[table_rows]) for model in top1}
            ids = tuple(str(one) for one in obs_id[table_rows[0]])
            out[str(one_role), float(one_ratio)] = Hits(seeds, ids, by_model)
    return out


def difference(a: Hits, model_a: str, b: Hits, model_b: str) -> Interval:
    """Return top-1 of one model minus that of another on the same rows and seeds; DataError when these differ."""
    if (a.seeds, a.obs_id) != (b.seeds, b.obs_id):
        raise DataError("tested on other rows or seeds", hint="compare runs of the same dataset, split and seeds")
    return paired_difference(a.by_model[model_a].float(), b.by_model[model_b].float())


def differences(mine: HitsByRoleAndRatio, its: HitsByRoleAndRatio, revision: str) -> list[Document]:
    """Return one row per role, label ratio and model: the difference in top-1 with its paired bootstrap interval."""
    if not mine.keys() & its.keys():
        raise DataError(
            f"{revision!r} has no set and label ratio in common with the workspace", hint="dvc params diff " + revision
        )
    rows = []
    for (role, ratio), own in mine.items():
        if (role, ratio) not in its:
            continue
        for model in (one for one in own.by_model if one in its[role, ratio].by_model):
            try:
                interval = difference(own, model, its[role, ratio], model)
            except DataError as error:
                raise DataError(
                    f"{revision!r} was {error.message} ({role}, {100 * ratio:g} % labels)", hint=error.hint
                ) from None
            seeds, n = own.by_model[model].shape
            rows.append(
                {"role": role, "label_ratio": ratio, "model": model, "difference": interval.mean}
                | {"low": interval.low, "high": interval.high, "seeds": seeds, "rows": n}
            )
    return rows
