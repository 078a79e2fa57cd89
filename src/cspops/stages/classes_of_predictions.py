"""Not a stage of the graph: each class by itself, counted again from the predictions that stage evaluate left."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from cspops.data.splits import ratio_key
from cspops.errors import DataError
from cspops.evaluation.per_class import NONE, per_class
from cspops.evaluation.summary import MODELS

ROLES = ("test", "spatial_test")
"""Those of metrics.json."""


def classes_of_predictions(file: Path, ratio: str, classes: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """`per_class` of each of ``ROLES``, from predictions.parquet, a part of it at a time.

    Args:
        file: predictions.parquet.
        ratio: the key of a label ratio.
        classes: their names.

    Raises:
        DataError: the file is missing or broken.
    """
    if not file.is_file():
        raise DataError(f"{file} is missing", hint="dvc repro evaluate")
    columns = ["seed", "label_ratio", "role", "label", *MODELS, *(f"{model}_log_p" for model in MODELS)]
    found: dict[tuple[str, int], list[dict[str, np.ndarray]]] = {}
    try:
        for part in pq.ParquetFile(file).iter_batches(columns=columns):
            for pair, numbers in _numbers(part, ratio, len(classes)).items():
                found.setdefault(pair, []).append(numbers)
    except (pa.ArrowInvalid, KeyError):
        raise DataError(f"{file} is broken", hint="dvc repro -f evaluate") from None
    out = {}
    for role in ROLES:
        of_seeds = [
            {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
            for (there, _), parts in found.items()
            if there == role
        ]
        if of_seeds:
            best = {model: torch.from_numpy(np.stack([one[model] for one in of_seeds])).long() for model in MODELS}
            out[role] = per_class(best, torch.from_numpy(of_seeds[0]["label"]).long(), classes)
    return out


def _numbers(part: pa.RecordBatch, ratio: str, classes: int) -> dict[tuple[str, int], dict[str, np.ndarray]]:
    """Of each role and seed in a part: labels, and the top class of each model, `NONE` where all classes are equal.

    All are equal for location where there is no position: the first of them means nothing then.
    """
    ratios = part["label_ratio"].to_numpy()
    part = part.filter(pa.array(np.isin(ratios, [one for one in np.unique(ratios) if ratio_key(one) == ratio])))
    every = {"label": part["label"].to_numpy()}
    for model in MODELS:
        first = pc.list_element(part[model], 0).to_numpy() if len(part) else np.zeros(0, np.int32)
        uniform = part[f"{model}_log_p"].to_numpy() == np.float32(-np.log(classes))
        every[model] = np.where(uniform, NONE, first)
    role, seed = part["role"].to_numpy(zero_copy_only=False), part["seed"].to_numpy()
    pairs = dict.fromkeys(zip(role.tolist(), seed.tolist(), strict=True))
    masks = {pair: (role == pair[0]) & (seed == pair[1]) for pair in pairs}
    return {pair: {name: numbers[mask] for name, numbers in every.items()} for pair, mask in masks.items()}
