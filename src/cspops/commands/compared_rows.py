"""Predictions of the workspace and of other revisions, compared on the same rows."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cspops.data.json_files import Document
from cspops.errors import DataError
from cspops.evaluation.bootstrap import Interval, paired_difference
from cspops.shapes import Bool, Tensor

MODELS = ("image", "location", "combined")


@dataclass(frozen=True)
class Hits:
    """Whether each model's first guess was right, on one set at one label ratio."""

    seeds: tuple[int, ...]
    obs_id: tuple[str, ...]
    of: dict[str, Bool[Tensor, "seeds n"]]


HitsByRoleAndRatio = dict[tuple[str, float], Hits]


def run(predictions: Path, revision: str) -> list[Document]:
    """One row a role, label ratio and model: the difference in top-1 with its paired bootstrap interval."""
    if not predictions.is_file():
        raise DataError(f"{predictions} is missing", hint="dvc repro evaluate")
    if not revision:
        raise DataError("no revision is named", hint="dvc exp show and git branch list revisions")
    mine, its = _hits(pq.read_table(predictions)), hits_of(predictions, revision)
    if not mine.keys() & its.keys():
        raise DataError(
            f"{revision!r} has no set and label ratio in common with the workspace", hint="dvc params diff " + revision
        )
    rows = []
    for (role, ratio), hits in mine.items():
        if (role, ratio) not in its:
            continue
        for model in MODELS:
            try:
                interval = difference(hits, model, its[role, ratio], model)
            except DataError as error:
                raise DataError(
                    f"{revision!r} was {error.message} ({role}, {100 * ratio:g} % labels)", hint=error.hint
                ) from None
            seeds, n = hits.of[model].shape
            rows.append(
                {"role": role, "label_ratio": ratio, "model": model, "difference": interval.mean}
                | {"low": interval.low, "high": interval.high, "seeds": seeds, "rows": n}
            )
    return rows


def difference(a: Hits, model_a: str, b: Hits, model_b: str) -> Interval:
    """Top-1 of one model minus that of another on the same rows and seeds; DataError when they are not the same."""
    if (a.seeds, a.obs_id) != (b.seeds, b.obs_id):
        raise DataError("tested on other rows or seeds", hint="compare runs of the same dataset, split and seeds")
    return paired_difference(a.of[model_a].float(), b.of[model_b].float())


def hits_of(predictions: Path, revision: str) -> HitsByRoleAndRatio:
    """What another revision's predictions hit; DataError when DVC cannot bring them."""
    import dvc.api
    from dvc.exceptions import DvcException
    from dvc_data.index.index import DataIndexDirError
    from scmrepo.exceptions import SCMError

    try:
        with dvc.api.open(predictions.as_posix(), rev=revision, mode="rb") as opened:
            return _hits(pq.read_table(io.BytesIO(opened.read())))
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


def _hits(table: pa.Table) -> HitsByRoleAndRatio:
    label = table["label"].to_numpy()
    top1 = {model: table[model].combine_chunks().flatten().to_numpy().reshape(len(label), -1)[:, 0] for model in MODELS}
    role, ratio, seed = (table[name].to_numpy() for name in ("role", "label_ratio", "seed"))
    obs_id = np.asarray(table["obs_id"].to_pylist())
    out: HitsByRoleAndRatio = {}
    for one_role in np.unique(role):
        for one_ratio in np.unique(ratio):
            rows = np.flatnonzero((role == one_role) & (ratio == one_ratio))
            if not len(rows):
                continue
            seeds = tuple(int(one) for one in np.unique(seed[rows]))
            table_rows = rows[np.argsort(seed[rows], kind="stable")].reshape(len(seeds), -1)
            hits = {model: torch.from_numpy(top1[model][table_rows] == label[table_rows]) for model in MODELS}
            ids = tuple(str(one) for one in obs_id[table_rows[0]])
            out[str(one_role), float(one_ratio)] = Hits(seeds, ids, hits)
    return out
