"""What the report says of single guesses: classes taken for others, rows that location turned."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cspops.data.catalogue import Observations
from cspops.evaluation.mistakes import Confusion, commonest, most_mistaken, shares, turned
from cspops.report.html_parts import Heat
from cspops.shapes import Int
from cspops.stages.judged_rows import JudgedRows

MOST = 12
"""Pairs and classes that are shown."""
HELPED, HARMED = 8, 4
"""Rows that are shown."""
OTHER = "(any other)"


@dataclass(frozen=True)
class Turned:
    """Rows of the first seed whose guess location turned; numbers are places in `JudgedRows`."""

    helped: Int[np.ndarray, "h"]
    harmed: Int[np.ndarray, "g"]
    to_right: int
    """How many there are of each in all."""
    to_wrong: int
    rows: int
    """Of the first seed."""


def confusions(judged: JudgedRows, classes: int) -> list[Confusion]:
    """The pairs that image and combined mix up most often."""
    return commonest(judged.label, judged.guess["image"], judged.guess["combined"], classes=classes, most=MOST)


def confusion_rows(found: Sequence[Confusion], names: list[str], *, seeds: int) -> list[list[str]]:
    """A header and a row a pair: how often a seed takes the class for the other by the image alone, and with location."""
    body = [
        [
            names[one.true],
            names[one.guessed],
            *(f"{rows / seeds:,.1f}" for rows in (one.before, one.after)),
            _change(one, seeds),
        ]
        for one in found
    ]
    return [["true class", "taken for", "image", "combined", "change"], *body]


def _change(one: Confusion, seeds: int) -> str:
    change = (one.after - one.before) / seeds
    return f"{change:+,.1f}" if round(change, 1) else "0.0"


def matrices(judged: JudgedRows, names: list[str]) -> list[Heat]:
    """Of the classes with most mistakes, how the rows of each were guessed by the image alone and by both."""
    guesses = {"Image alone": judged.guess["image"], "Image and location combined": judged.guess["combined"]}
    chosen = mistaken_classes(judged, len(names))
    shown = [names[one] for one in chosen]
    return [
        Heat(title, shown, [*shown, OTHER], shares(judged.label, guess, chosen, classes=len(names)).tolist())
        for title, guess in guesses.items()
    ]


def mistaken_classes(judged: JudgedRows, classes: int) -> list[int]:
    """The classes with most mistakes, or the first ones where there is no mistake."""
    found = most_mistaken(judged.label, judged.guess["image"], judged.guess["combined"], classes=classes, most=MOST)
    return found or list(range(min(MOST, classes)))


def turned_rows(judged: JudgedRows, observations: Observations) -> Turned:
    """Rows with a position where location helped and hurt most: those whose P of the true class changed most."""
    first = np.flatnonzero(judged.seed == judged.seed[0])
    first = first[observations.located.numpy()[judged.row[first]]]
    image, combined = judged.hit("image")[first], judged.hit("combined")[first]
    gain, label = (judged.p_true["combined"] - judged.p_true["image"])[first], judged.label[first]
    return Turned(
        first[turned(image, combined, gain, label, most=HELPED)],
        first[turned(combined, image, -gain, label, most=HARMED)],
        int((~image & combined).sum()),
        int((image & ~combined).sum()),
        len(first),
    )


def turned_table(rows: Int[np.ndarray, "m"], judged: JudgedRows, observations: Observations) -> list[list[str]]:
    """A header and a row an observation: its class and what was guessed with which probability."""
    names = observations.classes
    body = [
        [
            observations.obs_id[judged.row[row]],
            names[judged.label[row]],
            *(
                cell
                for model in ("image", "combined")
                for cell in (names[judged.guess[model][row]], f"{judged.confidence[model][row]:.2f}")
            ),
        ]
        for row in rows.tolist()
    ]
    return [["observation", "true class", "image", "P", "combined", "P"], *body]


def write_confusion(file: Path, judged: JudgedRows, names: list[str]) -> None:
    """True and guessed class of each row of the first seed, by both combined, of the classes with most mistakes.

    For `dvc plots`, whose template counts the rows. Guesses of other classes are one.
    """
    chosen = set(mistaken_classes(judged, len(names)))
    first = np.flatnonzero(judged.seed == judged.seed[0])
    shown = {one: " ".join(names[one].split()) for one in chosen}
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, delimiter="\t", lineterminator="\n")
        writer.writerow(["actual", "predicted"])
        for row in first:
            if (true := int(judged.label[row])) in chosen:
                writer.writerow([shown[true], shown.get(int(judged.guess["combined"][row]), OTHER)])
