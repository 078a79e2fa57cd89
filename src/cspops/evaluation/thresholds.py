"""The probability from which a class counts as present at a place, chosen on rows that know it.

| rule          | threshold                                                                                       |
|---------------|-------------------------------------------------------------------------------------------------|
| lpt           | the lowest presence threshold: the least P at a presence, so that no presence is left out       |
| f1            | the one of largest F1, the harmonic mean of precision and recall; of equals the highest         |
| precision=0.9 | the lowest with which at least 90 % of the rows at or above it are presences                    |

A row of another class is taken for an absence, as is usual where only presences are recorded.
"""

import re
from dataclasses import dataclass

import torch

from cspops.errors import DataError, ParamsError
from cspops.shapes import Bool, Float, Int, Tensor

RULES = "lpt, f1, precision=0.9, or a probability such as 0.2"
NUMBER = re.compile(r"\d*\.?\d+(?:[eE]-?\d+)?")


@dataclass(frozen=True)
class Threshold:
    """A threshold, and what it does on the rows that it was chosen on."""

    value: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Rule:
    """How a threshold is chosen."""

    name: str
    number: float = 0.0
    """The precision, or the threshold itself."""

    @classmethod
    def of(cls, text: str) -> "Rule":
        """Return the rule that a text names; a ParamsError lists them for another one."""
        name, equals, number = text.strip().lower().partition("=")
        if name in ("lpt", "f1") and not equals:
            return cls(name)
        if not equals:
            name, number = "given", name
        if name in ("precision", "given") and NUMBER.fullmatch(number) and 0 < float(number) <= 1:
            return cls(name, float(number))
        raise ParamsError(f"--threshold {text} is no rule", hint=RULES)

    def choose(self, p: Float[Tensor, "n"], present: Bool[Tensor, "n"]) -> Threshold:
        """Return the threshold for a class with at least one presence; a DataError says that no one is so precise."""
        value, hits, rows = steps(p, present)
        precision, recall = hits.double() / rows, hits.double() / int(present.sum())
        f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-300)
        match self.name:
            case "lpt":
                at = int((recall >= 1).nonzero()[0])
            case "f1":
                at = int((f1 > f1.max() - 1e-12).nonzero()[0])
            case _:
                precise = (precision >= self.number).nonzero()[:, 0]
                if not len(precise):
                    raise DataError(
                        f"no threshold has a precision of {self.number:g}: the highest is {float(precision.max()):.3f}",
                        hint="a lower --threshold precision=P, or --threshold f1",
                    )
                at = int(precise[-1])
        return Threshold(*(float(column[at]) for column in (value, precision, recall, f1)))


def steps(p: Float[Tensor, "n"], present: Bool[Tensor, "n"]) -> tuple[Float[Tensor, "k"], Int[Tensor, "k"], Int[Tensor, "k"]]:
    """Return the values that P takes, from the highest, and how many presences, and rows, have at least each of them."""
    value, order = p.sort(descending=True, stable=True)
    last = torch.ones_like(present)
    last[:-1] = value[1:] != value[:-1]
    at = last.nonzero()[:, 0]
    return value[at], present[order].cumsum(0)[at], at + 1
