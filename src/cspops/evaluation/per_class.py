"""Each class by itself: how often it is found, and what it is most often taken for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from cspops.shapes import Bool, Float, Int, Tensor

NONE = -1
"""In the place of a top class: two or more share the first place."""


def sole_best(log_p: Float[Tensor, "n q"]) -> Int[Tensor, "n"]:
    """The class of the largest P of each row; `NONE` where several have it, so that it equals the label in `hits` alone."""
    best, number = log_p.max(1)
    return number.where((log_p == best[:, None]).sum(1) == 1, NONE)


def per_class(
    best: Mapping[str, Int[Tensor, "seeds n"]], label: Int[Tensor, "n"], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """For each class with rows, most rows first: its name, `rows`, and of each model `top1` and `taken_for`.

    Args:
        best: of each model, the class that `sole_best` names, for each seed and row.
        label: of each row.
        classes: their names.

    Returns:
        `top1` is per cent of the class's rows over all seeds; `taken_for` the other class that most of them were taken
        for, with the `share` of them in per cent, or None where no other was. Of equals the first in order.
    """
    size = torch.bincount(label, minlength=len(classes))
    found = {model: _of_model(numbers, label, len(classes)) for model, numbers in best.items()}
    out = []
    for one in sorted(size.nonzero()[:, 0].tolist(), key=lambda one: (-int(size[one]), one)):
        row: dict[str, Any] = {"class": classes[one], "rows": int(size[one]), "top1": {}, "taken_for": {}}
        for model, (hits, others) in found.items():
            of_class = int(size[one]) * len(best[model])
            row["top1"][model] = round(100 * int(hits[one]) / of_class, 4)
            row["taken_for"][model] = None
            if one in others:
                other, count = others[one]
                row["taken_for"][model] = {"class": classes[other], "share": round(100 * count / of_class, 4)}
        out.append(row)
    return out


def _of_model(
    best: Int[Tensor, "seeds n"], label: Int[Tensor, "n"], classes: int
) -> tuple[Int[Tensor, "q"], dict[int, tuple[int, int]]]:
    """Hits of each class, and by class the other one that its rows were most often taken for, with how often."""
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
