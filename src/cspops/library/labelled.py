"""Rows that can be scored: each with its class, and an account of those that cannot and why."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cspops.errors import DataError, listed
from cspops.intake.judging.labels import normalised
from cspops.library.asked import NO_POSITION, Asked
from cspops.pixels.unreadable import UnreadableImage
from cspops.shapes import UInt8

if TYPE_CHECKING:
    from cspops.library.image_model import ImageModel


@dataclass(frozen=True)
class Match:
    """The class that a label stands for."""

    number: int
    exact: bool
    """Whether the class is spelt as the label is."""


class ClassNames:
    """The names of a model's classes, to look labels up in."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes
        self._exact = {name: number for number, name in enumerate(classes)}
        self._alike: dict[str, list[int]] = {}
        for number, name in enumerate(classes):
            self._alike.setdefault(_plain(name), []).append(number)

    def match(self, label: str) -> Match | None:
        """The class called ``label``, or the only one that differs from it in case, blanks or Unicode form alone.

        None where there is none, or where several differ so little.
        """
        number = self._exact.get(label)
        if number is not None:
            return Match(number, exact=True)
        number = self._exact.get(normalised(label))
        alike = [number] if number is not None else self._alike.get(_plain(label), [])
        return Match(alike[0], exact=False) if len(alike) == 1 else None


def _plain(name: str) -> str:
    return normalised(name).casefold()


NO_LABEL = "no label"
UNKNOWN = "a label that the model does not know"
NO_IMAGE = "no image"
EXAMPLES = 3


@dataclass(frozen=True)
class Labelled:
    """A row that can be scored."""

    asked: Asked
    label: int
    square: UInt8[np.ndarray, "px px 3"] | None
    """What the network is given; None where no image is asked for."""


@dataclass
class Intake:
    """Sorts rows into those that can be scored and those that cannot, and counts both. ``image`` reads the images.

    Without an image model rows are scored by their position, and those without one cannot be.
    """

    names: ClassNames
    image: "ImageModel | None"
    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Why rows cannot be scored."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Where the first `EXAMPLES` rows of each reason stand."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Labels that the model does not know."""
    respelt: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Labels that are spelt otherwise than their class, which is given by its number, with their rows."""
    unplaced: Counter[str] = field(default_factory=Counter)
    """Why rows that are scored have no position."""

    def usable(self, rows: Iterable[Asked]) -> Iterator[Labelled]:
        """The rows that can be scored, in order, as they are needed."""
        for row in rows:
            self.rows += 1
            found = self._judged(row)
            if isinstance(found, Labelled):
                yield found
            else:
                self.reasons[found] += 1
                places = self.examples.setdefault(found, [])
                if len(places) < EXAMPLES:
                    places.append(row.where)

    def _judged(self, row: Asked) -> Labelled | str:
        """The row with its class and image, or why it cannot be scored."""
        if row.error is not None:
            return row.error
        if row.label is None or not row.label.strip():
            return NO_LABEL
        match = self.names.match(row.label)
        if match is None:
            self.unknown[row.label] += 1
            return UNKNOWN
        square, unplaced = None, np.isnan(row.lon)
        if self.image is not None:
            if row.image is None:
                return NO_IMAGE
            try:
                square = self.image.square_of(row.image)
            except UnreadableImage as error:
                return error.reason
        elif unplaced:
            return row.problem or NO_POSITION
        if unplaced:
            self.unplaced[row.problem or NO_POSITION] += 1
        if not match.exact:
            self.respelt[row.label] = match.number, self.respelt.get(row.label, (0, 0))[1] + 1
        return Labelled(row, match.number, square)

    def account(self, classes: Sequence[str]) -> dict[str, Any]:
        """For the report: where every row ended."""
        return {
            "rows": self.rows,
            "scored": self.rows - self.reasons.total(),
            "not_scored": {
                reason: {"rows": count, "such_as": self.examples[reason]} for reason, count in self.reasons.most_common()
            },
            "scored_without_position": dict(self.unplaced.most_common()),
            "unknown_labels": dict(self.unknown.most_common()),
            "respelt_labels": {
                label: {"class": classes[number], "rows": count} for label, (number, count) in self.respelt.items()
            },
        }

    def refuse_nothing(self, classes: Sequence[str]) -> None:
        """DataError when no row can be scored: why."""
        if self.rows > self.reasons.total():
            return
        if not self.rows:
            raise DataError("there is no row to score", hint="name a folder, a table or images with --on")
        if self.unknown.total() == self.rows:
            theirs = listed(repr(label) for label, _ in self.unknown.most_common())
            raise DataError(
                f"no label is a class of the model: the labels are {theirs}; the classes are {listed(map(repr, classes))}",
                hint="labels come from a table's column label, or from the name of the folder that an image lies in",
            )
        if self.reasons[NO_LABEL] == self.rows:
            raise DataError(
                f"none of the {self.rows:,} rows has a label",
                hint="a table needs a column called label, and images of a folder lie in one called as their class",
            )
        reasons = "; ".join(f"{reason} ({count:,})" for reason, count in self.reasons.most_common(5))
        raise DataError(
            f"none of the {self.rows:,} rows can be scored: {reasons}",
            hint=f"such as {self.examples[next(iter(self.examples))][0]}",
        )
