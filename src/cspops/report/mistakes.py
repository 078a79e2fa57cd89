"""Single guesses in the report: classes taken for others, rows that location turned."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cspops.data.catalogue import Observations
from cspops.errors import DataError
from cspops.evaluation.metrics import MODELS
from cspops.files import no_formula
from cspops.report.html_parts import Heat
from cspops.report.tables import probability
from cspops.shapes import Bool, Float, Int


class Confusion(NamedTuple):
    """Rows of one class for which another was guessed."""

    true: int
    guessed: int
    before: int
    """Rows by the first model, over all seeds."""
    after: int
    """Rows by the second."""


def commonest(
    label: Int[np.ndarray, "n"], before: Int[np.ndarray, "n"], after: Int[np.ndarray, "n"], *, classes: int, most: int
) -> list[Confusion]:
    """Return the pairs of classes mixed up most often, counted over both models so that neither is favoured.

    Args:
        label: the true class of each row.
        before: the first model's guess.
        after: the second's.
        classes: the number of classes.
        most: the most pairs to return.
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
    """Return the classes, in rising order, that most mistakes of both models involve, as true or guessed class."""
    mistakes = np.zeros(classes, dtype=np.int64)
    for guess in (before, after):
        wrong = guess != label
        mistakes += np.bincount(label[wrong], minlength=classes) + np.bincount(guess[wrong], minlength=classes)
    ranked = np.argsort(-mistakes, kind="stable")[:most]
    return sorted(int(one) for one in ranked if mistakes[one])


def shares(
    label: Int[np.ndarray, "n"], guess: Int[np.ndarray, "n"], chosen: list[int], *, classes: int
) -> Float[np.ndarray, "c d"]:
    """Return, for each chosen class, the share of its rows guessed as each of them, with all others in a last column.

    A class without a row has zeros.
    """
    place = np.full(classes, len(chosen))
    place[chosen] = np.arange(len(chosen))
    counts = np.zeros((len(chosen) + 1, len(chosen) + 1))
    np.add.at(counts, (place[label], place[guess]), 1)
    kept = counts[:-1]
    result: np.ndarray = kept / kept.sum(1, keepdims=True).clip(1)
    return result


def turned(
    before: Bool[np.ndarray, "n"],
    after: Bool[np.ndarray, "n"],
    gain: Float[np.ndarray, "n"],
    label: Int[np.ndarray, "n"],
    *,
    most: int,
) -> Int[np.ndarray, "m"]:
    """Return rows that the first model gets wrong and the second right, largest gain first, at most one per class.

    Where there are fewer classes than ``most`` rows, further rows of the same classes fill up.

    Args:
        before: whether the first model is right.
        after: whether the second is.
        gain: by how much the second is surer of the true class.
        label: the true class.
        most: the most rows to return.
    """
    rows = np.flatnonzero(~before & after)
    rows = rows[np.argsort(-gain[rows], kind="stable")]
    _, first = np.unique(label[rows], return_index=True)
    one_each = np.sort(first)
    others = np.setdiff1d(np.arange(len(rows)), one_each)
    kept = np.concatenate((one_each, others))[:most]
    return rows[np.sort(kept)]


@dataclass(frozen=True)
class JudgedRows:
    """Rows of all seeds, grouped by seed in the order of the seeds; n is seeds times rows of the set."""

    seed: Int[np.ndarray, "n"]
    row: Int[np.ndarray, "n"]
    """Numbers of the rows in the catalogue."""
    label: Int[np.ndarray, "n"]
    guess: Mapping[str, Int[np.ndarray, "n"]]
    """The first choice of each model."""
    p_true: Mapping[str, Float[np.ndarray, "n"]]
    confidence: Mapping[str, Float[np.ndarray, "n"]]
    """P of the first choice."""

    @property
    def seeds(self) -> int:
        """The number of seeds."""
        return len(np.unique(self.seed))

    @property
    def first_seed(self) -> Int[np.ndarray, "m"]:
        """The places of the rows of the first seed."""
        return np.flatnonzero(self.seed == self.seed[0])

    def hit(self, model: str) -> Bool[np.ndarray, "n"]:
        """Return whether the first choice is the true class."""
        right: np.ndarray = self.guess[model] == self.label
        return right


def read_judged(folder: Path, obs_id: list[str], *, role: str, ratio: float) -> JudgedRows:
    """Read the rows of ``role`` at ``ratio`` from the folder of stage evaluate; ``obs_id`` are the catalogue's."""
    columns = [name for model in MODELS for name in (model, f"{model}_log_p", f"{model}_confidence")]
    file = folder / "predictions.parquet"
    lacking = set(columns) - set(pq.read_schema(file).names)
    if lacking:
        raise DataError(f"{file} has no column {min(lacking)!r}: another cspops wrote it", hint="dvc repro evaluate")
    table = pq.read_table(
        file,
        columns=["seed", "obs_id", "label", *columns],
        filters=[("role", "==", role), ("label_ratio", "==", ratio)],
    )
    return JudgedRows(
        table["seed"].to_numpy(),
        pc.index_in(table["obs_id"], pa.array(obs_id)).to_numpy().astype(np.int64),
        table["label"].to_numpy().astype(np.int64),
        {model: pc.list_element(table[model], 0).to_numpy().astype(np.int64) for model in MODELS},
        {model: np.exp(table[f"{model}_log_p"].to_numpy().astype(np.float64)) for model in MODELS},
        {model: table[f"{model}_confidence"].to_numpy().astype(np.float64) for model in MODELS},
    )


MOST = 12
"""Most pairs and classes that are shown."""
HELPED, HARMED = 8, 4
"""Most rows that are shown."""
OTHER = "(any other)"


@dataclass(frozen=True)
class Turned:
    """Rows of the first seed whose guess location turned; numbers are places in `JudgedRows`."""

    helped: Int[np.ndarray, "h"]
    harmed: Int[np.ndarray, "g"]
    to_right: int
    """The number of rows turned right, and below of those turned wrong, in all."""
    to_wrong: int
    rows: int
    """The rows of the first seed."""


def confusions(judged: JudgedRows, classes: int) -> list[Confusion]:
    """Return the pairs that image and pool mix up most often."""
    return commonest(judged.label, judged.guess["image"], judged.guess["pool"], classes=classes, most=MOST)


def confusion_rows(pairs: Sequence[Confusion], names: Sequence[str], *, seeds: int) -> list[list[str]]:
    """Return a header and one row per pair: how often per seed a class is taken for another, without and with location."""
    body = [
        [
            names[one.true],
            names[one.guessed],
            *(f"{rows / seeds:,.1f}" for rows in (one.before, one.after)),
            _change(one, seeds),
        ]
        for one in pairs
    ]
    return [["true class", "taken for", "image", "pool", "change"], *body]


def _change(one: Confusion, seeds: int) -> str:
    change = (one.after - one.before) / seeds
    return f"{change:+,.1f}" if round(change, 1) else "0.0"


def matrices(judged: JudgedRows, names: list[str]) -> list[Heat]:
    """Return, for the classes with most mistakes, how their rows were guessed by the image alone and by the pool."""
    guesses = {"Image alone": judged.guess["image"], "Pool of image and location": judged.guess["pool"]}
    chosen = mistaken_classes(judged, len(names))
    shown = [names[one] for one in chosen]
    columns = [*shown, OTHER] if len(chosen) < len(names) else shown
    return [
        Heat(title, shown, columns, shares(judged.label, guess, chosen, classes=len(names))[:, : len(columns)].tolist())
        for title, guess in guesses.items()
    ]


def mistaken_classes(judged: JudgedRows, classes: int) -> list[int]:
    """Return the classes with most mistakes, or the first ones where there is no mistake."""
    mistaken = most_mistaken(judged.label, judged.guess["image"], judged.guess["pool"], classes=classes, most=MOST)
    return mistaken or list(range(min(MOST, classes)))


def turned_rows(judged: JudgedRows, observations: Observations) -> Turned:
    """Return rows with a position where location helped and hurt most, by the change of P of the true class."""
    first = judged.first_seed
    first = first[observations.located.numpy()[judged.row[first]]]
    image, pool = judged.hit("image")[first], judged.hit("pool")[first]
    gain, label = (judged.p_true["pool"] - judged.p_true["image"])[first], judged.label[first]
    return Turned(
        first[turned(image, pool, gain, label, most=HELPED)],
        first[turned(pool, image, -gain, label, most=HARMED)],
        int((~image & pool).sum()),
        int((image & ~pool).sum()),
        len(first),
    )


def turned_table(
    rows: Int[np.ndarray, "m"], judged: JudgedRows, obs_id: Sequence[str], names: Sequence[str]
) -> list[list[str]]:
    """Return a header and one row per observation: its class, and the guesses with their probabilities."""
    body = [
        [
            obs_id[judged.row[row]],
            names[judged.label[row]],
            *(
                cell
                for model in ("image", "pool")
                for cell in (names[judged.guess[model][row]], probability(float(judged.confidence[model][row])))
            ),
        ]
        for row in rows.tolist()
    ]
    return [["observation", "true class", "image", "P", "pool", "P"], *body]


def write_confusion(file: Path, judged: JudgedRows, names: list[str]) -> None:
    """Write true and guessed class (by the pool) of each row of the first seed, for the classes with most mistakes.

    It is for `dvc plots`, whose template counts the rows. Guesses of other classes count as one.
    """
    chosen = set(mistaken_classes(judged, len(names)))
    shown = {one: no_formula(" ".join(names[one].split())) for one in chosen}
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, delimiter="\t", lineterminator="\n")
        writer.writerow(["actual", "predicted"])
        for row in judged.first_seed:
            if (true := int(judged.label[row])) in chosen:
                writer.writerow([shown[true], shown.get(int(judged.guess["pool"][row]), OTHER)])
