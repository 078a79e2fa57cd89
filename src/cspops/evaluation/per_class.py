"""Each class by itself: how often it is recognised, and what it is most often taken for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from cspops.data.json_files import Document
from cspops.data.splits import ratio_key
from cspops.errors import DataError
from cspops.evaluation.metrics import MODELS
from cspops.evaluation.predictions import read_predictions
from cspops.shapes import Bool, Float, Int, Tensor

NONE = -1
"""Stands for the top class where two or more share the first place."""


def sole_best(log_p: Float[Tensor, "n q"]) -> Int[Tensor, "n"]:
    """Return the class of largest P of each row; `NONE` where several have it, as a tie for the first place is no hit."""
    best, number = log_p.max(1)
    return number.where((log_p == best[:, None]).sum(1) == 1, NONE)


def per_class(
    best: Mapping[str, Int[Tensor, "seeds n"]], label: Int[Tensor, "n"], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return one entry per class with rows, most rows first: `class`, `rows`, and per model `top1` and `taken_for`.

    Args:
        best: per model, the class that `sole_best` returns for each seed and row.
        label: of each row.
        classes: their names.

    Returns:
        `top1` is per cent of the class's rows over all seeds; `taken_for` the other class that most of them were taken
        for, with the `share` of them in per cent, or None where no other was. Of equals the first in order.
    """
    size = torch.bincount(label, minlength=len(classes))
    counts = {model: _hits_and_confusions(numbers, label, len(classes)) for model, numbers in best.items()}
    out = []
    for one in sorted(size.nonzero()[:, 0].tolist(), key=lambda one: (-int(size[one]), one)):
        row: dict[str, Any] = {"class": classes[one], "rows": int(size[one]), "top1": {}, "taken_for": {}}
        for model, (hits, others) in counts.items():
            of_class = int(size[one]) * len(best[model])
            row["top1"][model] = round(100 * int(hits[one]) / of_class, 4)
            row["taken_for"][model] = None
            if one in others:
                other, count = others[one]
                row["taken_for"][model] = {"class": classes[other], "share": round(100 * count / of_class, 4)}
        out.append(row)
    return out


def _hits_and_confusions(
    best: Int[Tensor, "seeds n"], label: Int[Tensor, "n"], classes: int
) -> tuple[Int[Tensor, "q"], dict[int, tuple[int, int]]]:
    """Return the hits of each class, and by class the other one that most of its rows were taken for, with their number."""
    own = label.expand_as(best)
    hit: Bool[Tensor, "seeds n"] = best == own
    wrong = ~hit & (best != NONE)
    pairs, counts = np.unique((own[wrong] * classes + best[wrong]).numpy(), return_counts=True)
    others: dict[int, tuple[int, int]] = {}
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        one, other = divmod(pair, classes)
        if one not in others or count > others[one][1]:
            others[one] = (other, count)
    return torch.bincount(own[hit], minlength=classes), others


REMAKE = "dvc repro -f evaluate"
ROLES = ("test", "spatial_test")
"""The roles of scores.json."""


def classes_of_predictions(file: Path, ratio: str, classes: Sequence[str]) -> dict[str, list[Document]]:
    """Return `per_class` of each of ``ROLES`` from predictions.parquet, which is read in parts.

    Args:
        file: predictions.parquet.
        ratio: the key of a label ratio.
        classes: their names.

    Raises:
        DataError: the file is missing or broken.
    """
    columns = ["seed", "label_ratio", "role", "label", *MODELS, *(f"{model}_log_p" for model in MODELS)]
    parts_by_pair: dict[tuple[str, int], list[dict[str, np.ndarray]]] = {}
    for part in read_predictions(file, columns, name=str(file), remake=REMAKE):
        for pair, numbers in _numbers(part, ratio, len(classes)).items():
            parts_by_pair.setdefault(pair, []).append(numbers)
    out = {}
    for role in ROLES:
        of_seeds = [
            {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
            for (its_role, _), parts in parts_by_pair.items()
            if its_role == role
        ]
        if of_seeds:
            _require_classes(file, of_seeds, len(classes))
            best = {model: torch.from_numpy(np.stack([one[model] for one in of_seeds])).long() for model in MODELS}
            out[role] = per_class(best, torch.from_numpy(of_seeds[0]["label"]).long(), classes)
    return out


def _require_classes(file: Path, of_seeds: Sequence[Mapping[str, np.ndarray]], classes: int) -> None:
    """Raise a DataError where seeds have other rows than the first, or a number is none of a class."""
    if any(not np.array_equal(one["label"], of_seeds[0]["label"]) for one in of_seeds):
        raise DataError(f"{file} holds other rows for some seeds than for others", hint=REMAKE)
    for numbers in of_seeds:
        low, high = (int(limit(np.concatenate([*numbers.values()]))) for limit in (np.min, np.max))
        if low < NONE or high >= classes or numbers["label"].min() < 0:
            raise DataError(f"{file} holds classes from {low} to {high}, and classes.json names {classes}", hint=REMAKE)


def _numbers(part: pa.RecordBatch, ratio: str, classes: int) -> dict[tuple[str, int], dict[str, np.ndarray]]:
    """Return, per role and seed, labels and the top class of each model, `NONE` where all classes are equal.

    All are equal for `location` where there is no position: the first of them means nothing then.
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
