"""Few-shot subsets: which training rows lend their label to fine-tuning, and which validation rows choose, at each ratio."""

import hashlib
import math
from collections.abc import Mapping
from typing import Literal, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from cspops.data.splits import CHOOSERS, ratio_key
from cspops.seeds import numpy_stream
from cspops.shapes import Bool, Float, Int, Tensor


def few_shot_levels(
    label: Int[Tensor, "n"], train: Bool[Tensor, "n"], *, ratios: tuple[float, ...], seed: int, stream: str = "few-shot"
) -> Float[Tensor, "n"]:
    """Return the smallest label ratio at which each row lends its label to fine-tuning; nan for never.

    Stratified: of a class with m labelled training rows, max(1, round(m ratio)) are chosen (halves up), at random by
    ``seed`` and ``stream``. Nested by construction: the rows of ratio r are those whose level is at most r.
    """
    levels = np.full(len(label), np.nan, dtype=np.float32)
    random = numpy_stream(seed, stream)
    labels = label.numpy()
    can_lend = np.flatnonzero(train.numpy() & (labels >= 0))
    by_class = can_lend[np.argsort(labels[can_lend], kind="stable")]
    borders = np.flatnonzero(np.diff(labels[by_class])) + 1
    for rows in np.split(by_class, borders) if len(by_class) else ():
        drawn = random.permutation(rows)
        for ratio in sorted(ratios, reverse=True):
            levels[drawn[: max(1, math.floor(round(len(drawn) * ratio + 0.5, 9)))]] = ratio
    return torch.from_numpy(levels)


def choosing_levels(
    label: Int[Tensor, "n"],
    roles: Mapping[str, Bool[Tensor, "n"]],
    *,
    ratios: tuple[float, ...],
    seed: int,
    val_labels: Literal["all", "as_labels"],
) -> Float[Tensor, "n"]:
    """Return the smallest label ratio at which each labelled validation row may choose anything; nan for never.

    Under `all` each may at every ratio. Under `as_labels` each of ``CHOOSERS`` is cut as :func:`few_shot_levels` cuts the
    training rows, by a stream of its own.
    """
    levels = torch.full((len(label),), torch.nan)
    for role in CHOOSERS:
        rows = roles[role] & (label >= 0)
        if val_labels == "all":
            levels[rows] = min(ratios)
        else:
            levels[rows] = few_shot_levels(label, rows, ratios=ratios, seed=seed, stream=f"choosing/{role}")[rows]
    return levels


class Subset(TypedDict):
    """The few-shot subset of a seed and label ratio."""

    rows: int
    classes: int
    sha256: str


def describe_subsets(
    obs_id: list[str], label: Int[Tensor, "n"], levels: Mapping[str, Float[Tensor, "n"]], *, ratios: tuple[float, ...]
) -> dict[str, dict[str, Subset]]:
    """Return for each seed and label ratio the rows, the classes, and a hash that tells whether two subsets are the same.

    `sha256` is of the sorted obs_ids in UTF-8, a newline between them:
    `sort FILE | head -c -1 | sha256sum` where LC_ALL is C and FILE has one per line.
    """
    ids = pa.array(obs_id, pa.string())
    order = pc.sort_indices(ids)
    ids, rank = ids.take(order), order.to_numpy()
    labels = label.numpy()[rank]
    out: dict[str, dict[str, Subset]] = {}
    for seed, column in levels.items():
        level = column.numpy()[rank]
        out[seed] = {}
        for ratio in ratios:
            chosen = level <= np.float32(ratio)
            text = "\n".join(ids.filter(pa.array(chosen)).to_pylist())
            out[seed][ratio_key(ratio)] = {
                "rows": int(chosen.sum()),
                "classes": len(np.unique(labels[chosen])),
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
            }
    return out
