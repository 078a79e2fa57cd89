"""Not a stage of the graph: the workspace's predictions against those of another revision."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cspops.errors import DataError
from cspops.evaluation.bootstrap import paired_difference

MODELS = ("image", "location", "combined")


def run(predictions: Path, revision: str) -> list[dict[str, Any]]:
    """One row a role, label ratio and model: the difference in top-1 with its paired bootstrap interval."""
    import dvc.api
    from dvc.exceptions import DvcException
    from dvc_data.index.index import DataIndexDirError
    from scmrepo.exceptions import SCMError

    if not predictions.is_file():
        raise DataError(f"{predictions} is missing", hint="dvc repro evaluate")
    if not revision:
        raise DataError("no revision is named", hint="dvc exp show and git branch list revisions")
    try:
        with dvc.api.open(predictions.as_posix(), rev=revision, mode="rb") as opened:
            other = pq.read_table(io.BytesIO(opened.read()))
    except (DvcException, SCMError, DataIndexDirError, OSError) as error:
        raise DataError(
            f"the predictions of {revision!r} cannot be read: {error}",
            hint="dvc exp show and git branch list revisions; dvc fetch brings what another machine made",
        ) from None
    mine, its = _hits(pq.read_table(predictions)), _hits(other)
    if not mine.keys() & its.keys():
        raise DataError(
            f"{revision!r} has no set and label ratio in common with the workspace", hint="dvc params diff " + revision
        )
    rows = []
    for (role, ratio), (keys, hits) in mine.items():
        if (role, ratio) not in its:
            continue
        other_keys, other_hits = its[role, ratio]
        if keys != other_keys:
            raise DataError(
                f"{revision!r} was tested on other rows or seeds ({role}, {100 * ratio:g} % labels)",
                hint="compare runs of the same dataset, split and seeds",
            )
        for model in MODELS:
            interval = paired_difference(hits[model], other_hits[model])
            rows.append(
                {"role": role, "label_ratio": ratio, "model": model, "difference": interval.mean}
                | {"low": interval.low, "high": interval.high, "seeds": hits[model].shape[0], "rows": hits[model].shape[1]}
            )
    return rows


Hits = dict[tuple[str, float], tuple[tuple[tuple[int, ...], tuple[str, ...]], dict[str, torch.Tensor]]]


def _hits(table: pa.Table) -> Hits:
    """(role, ratio) to ((seeds, observations), hits (seeds, n) of each model)."""
    label = table["label"].to_numpy()
    top1 = {model: table[model].combine_chunks().flatten().to_numpy().reshape(len(label), -1)[:, 0] for model in MODELS}
    role, ratio, seed = (table[name].to_numpy() for name in ("role", "label_ratio", "seed"))
    obs_id = np.asarray(table["obs_id"].to_pylist())
    out: Hits = {}
    for one_role in np.unique(role):
        for one_ratio in np.unique(ratio):
            rows = np.flatnonzero((role == one_role) & (ratio == one_ratio))
            seeds = tuple(int(one) for one in np.unique(seed[rows]))
            table_rows = rows[np.argsort(seed[rows], kind="stable")].reshape(len(seeds), -1)
            hits = {model: torch.from_numpy(top1[model][table_rows] == label[table_rows]) for model in MODELS}
            out[str(one_role), float(one_ratio)] = (seeds, tuple(obs_id[table_rows[0]])), hits
    return out
