"""Rows that can be scored, each with its class, and an account of those that cannot, and why."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cspops.errors import DataError, listed
from cspops.intake.judging.labels import normalised
from cspops.library.inputs import NO_POSITION, Input
from cspops.library.seen import SEEN, role_of
from cspops.pixels.unreadable import UnreadableImage
from cspops.shapes import UInt8

if TYPE_CHECKING:
    from cspops.library.image_model import ImageModel


class ClassNames:
    """The names of a model's classes, to look labels up in."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes
        self._exact = {name: number for number, name in enumerate(classes)}
        self._alike: dict[str, list[int]] = {}
        for number, name in enumerate(classes):
            self._alike.setdefault(_plain(name), []).append(number)

    def match(self, label: str) -> int | None:
        """Return the number of the class called ``label``, or of the only one that differs in case, blanks or Unicode form.

        None where there is none, or where several differ so little.
        """
        number = self._exact.get(label, self._exact.get(normalised(label)))
        alike = [number] if number is not None else self._alike.get(_plain(label), [])
        return alike[0] if len(alike) == 1 else None


def _plain(name: str) -> str:
    return normalised(name).casefold()


NO_LABEL = "no label"
UNKNOWN = "a label that the model does not know"
NO_IMAGE = "no image"
KNOWN = "an image that the model was trained or tuned on (--unseen)"
EXAMPLES = 3


@dataclass(frozen=True)
class LabelledRow:
    """A row that can be scored."""

    input: Input
    label: int
    square: UInt8[np.ndarray, "px px 3"] | None
    """The input of the network; None where images are not used."""


@dataclass
class RowSorter:
    """Sorts rows into those that can be scored and those that cannot, and counts both.

    ``image`` reads the images. Without an image model rows are scored by their position, and those without one cannot be.
    """

    names: ClassNames
    image: "ImageModel | None"
    roles: Mapping[str, str] | None = None
    """Of the images of the model's run, as `seen.roles_of_images` returns them."""
    unseen: bool = False
    """Whether images that the model was trained or tuned on are left out."""
    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Why rows cannot be scored."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """The first `EXAMPLES` rows of each reason."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Labels that the model does not know."""
    respelled: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Labels spelled otherwise than their class: the number of the class, and how many rows."""
    unplaced: Counter[str] = field(default_factory=Counter)
    """Why rows that are scored have no position."""
    of_run: Counter[str] = field(default_factory=Counter)
    """How many rows that are scored have an image of the model's run, by its role there."""

    def scorable(self, rows: Iterable[Input]) -> Iterator[LabelledRow]:
        """Yield the rows that can be scored, in order."""
        for row in rows:
            self.rows += 1
            result = self._sorted(row)
            if isinstance(result, LabelledRow):
                yield result
            else:
                self.reasons[result] += 1
                places = self.examples.setdefault(result, [])
                if len(places) < EXAMPLES:
                    places.append(row.where)

    def _sorted(self, row: Input) -> LabelledRow | str:
        """Return the row with its class and image, or why it cannot be scored."""
        if row.error is not None:
            return row.error
        if row.label is None or not row.label.strip():
            return NO_LABEL
        number = self.names.match(row.label)
        if number is None:
            self.unknown[row.label] += 1
            return UNKNOWN
        role = role_of(row.image, self.roles) if self.roles else None
        if self.unseen and role in SEEN:
            return KNOWN
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
        if role is not None:
            self.of_run[role] += 1
        if self.names.classes[number] != row.label:
            self.respelled[row.label] = number, self.respelled.get(row.label, (0, 0))[1] + 1
        return LabelledRow(row, number, square)

    def account(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return how every row was counted, for JSON."""
        return {
            "rows": self.rows,
            "scored": self.rows - self.reasons.total(),
            "not_scored": {
                reason: {"rows": count, "such_as": self.examples[reason]} for reason, count in self.reasons.most_common()
            },
            "scored_without_position": dict(self.unplaced.most_common()),
            "images_of_the_run": None if self.roles is None else dict(self.of_run.most_common()),
            "unseen": self.unseen,
            "unknown_labels": dict(self.unknown.most_common()),
            "respelled_labels": {
                label: {"class": classes[number], "rows": count} for label, (number, count) in self.respelled.items()
            },
        }

    def require_rows(self, classes: Sequence[str]) -> None:
        """Raise a DataError with the reasons when no row can be scored."""
        if self.rows > self.reasons.total():
            return
        if not self.rows:
            raise DataError("there is no row to score", hint="name a folder, a table or images with --on")
        if self.unknown.total() == self.rows:
            labels = listed(repr(label) for label, _ in self.unknown.most_common())
            raise DataError(
                f"no label is a class of the model: the labels are {labels}; the classes are {listed(map(repr, classes))}",
                hint="labels come from the column label of a table, or from the name of an image's folder",
            )
        if self.reasons[NO_LABEL] == self.rows:
            raise DataError(
                f"none of the {self.rows:,} rows has a label",
                hint="--label names the column of a table; without one, images lie in a folder named like their class",
            )
        if self.reasons[KNOWN] == self.rows:
            raise DataError(f"the model was trained or tuned on all {self.rows:,} images", hint="leave --unseen out")
        reasons = "; ".join(f"{reason} ({count:,})" for reason, count in self.reasons.most_common(5))
        raise DataError(
            f"none of the {self.rows:,} rows can be scored: {reasons}",
            hint=f"such as {self.examples[next(iter(self.examples))][0]}",
        )
