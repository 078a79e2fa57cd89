"""Which classes are taken for which, and on which rows a second model turns the first one's guess to right or wrong."""

from typing import NamedTuple

import numpy as np

from cspops.shapes import Bool, Float, Int


class Confusion(NamedTuple):
    """Rows of one class for which another was guessed."""

    true: int
    guessed: int
    before: int
    """By the first model, over all seeds."""
    after: int
    """By the second."""


def commonest(
    label: Int[np.ndarray, "n"], before: Int[np.ndarray, "n"], after: Int[np.ndarray, "n"], *, classes: int, most: int
) -> list[Confusion]:
    """The pairs of classes that are mixed up most often, counted over both models so that neither is favoured.

    Args:
        label: the true class of each row.
        before: the first model's guess.
        after: the second's.
        classes: how many there are.
        most: pairs at most.
    """
    counts: dict[int, list[int]] = {}
    for model, guess in enumerate((before, after)):
        wrong = guess != label
        pair, count = np.unique(label[wrong].astype(np.int64) * classes + guess[wrong], return_counts=True)
        for one, rows in zip(pair.tolist(), count.tolist(), strict=True):
            counts.setdefault(one, [0, 0])[model] = rows
    ordered = sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0]))[:most]
    return [Confusion(*divmod(pair, classes), *rows) for pair, rows in ordered]


def most_mistaken(
    label: Int[np.ndarray, "n"], before: Int[np.ndarray, "n"], after: Int[np.ndarray, "n"], *, classes: int, most: int
) -> list[int]:
    """The classes that take part in most mistakes of both models, as the true or the guessed one, in rising order."""
    mistakes = np.zeros(classes, dtype=np.int64)
    for guess in (before, after):
        wrong = guess != label
        mistakes += np.bincount(label[wrong], minlength=classes) + np.bincount(guess[wrong], minlength=classes)
    ranked = np.argsort(-mistakes, kind="stable")[:most]
    return sorted(int(one) for one in ranked if mistakes[one])


def shares(
    label: Int[np.ndarray, "n"], guess: Int[np.ndarray, "n"], chosen: list[int], *, classes: int
) -> Float[np.ndarray, "c d"]:
    """For each chosen class the share of its rows that each of them was guessed for, and all others in a last column.

    A class without a row has zeros.
    """
    place = np.full(classes, len(chosen))
    place[chosen] = np.arange(len(chosen))
    counts = np.zeros((len(chosen) + 1, len(chosen) + 1))
    np.add.at(counts, (place[label], place[guess]), 1)
    kept = counts[:-1]
    found: np.ndarray = kept / kept.sum(1, keepdims=True).clip(1)
    return found


def turned(
    before: Bool[np.ndarray, "n"],
    after: Bool[np.ndarray, "n"],
    gain: Float[np.ndarray, "n"],
    label: Int[np.ndarray, "n"],
    *,
    most: int,
) -> Int[np.ndarray, "m"]:
    """Rows that the first model has wrong and the second right, those of the largest gain first, one a class at most.

    Where there are fewer classes than ``most`` rows, further rows of the same classes fill up.

    Args:
        before: whether the first model is right.
        after: whether the second is.
        gain: by how much the second is surer of the true class.
        label: the true class.
        most: rows at most.
    """
    rows = np.flatnonzero(~before & after)
    rows = rows[np.argsort(-gain[rows], kind="stable")]
    _, first = np.unique(label[rows], return_index=True)
    one_each = np.sort(first)
    others = np.setdiff1d(np.arange(len(rows)), one_each)
    kept = np.concatenate((one_each, others))[:most]
    return rows[np.sort(kept)]
