"""From what a label is called elsewhere to a model's class: exactly, else whatever its case and blanks."""

from collections.abc import Sequence
from dataclasses import dataclass

from cspops.data.intake.labels import normalised


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
