"""What stage report has read and drawn, for the page in Markdown and the page in HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cspops.data.catalogue import Observations
from cspops.data.json_files import Document
from cspops.report.mistakes import Confusion, JudgedRows, Turned
from cspops.report.page import Scores
from cspops.report.run_facts import Records
from cspops.report.world import World
from cspops.shapes import Bool, Tensor
from cspops.training.loop import Curve

if TYPE_CHECKING:
    from cspops.params.graph import ReportView


@dataclass(frozen=True)
class Drawn:
    """Maps as pictures of their own, by title."""

    clusters: Mapping[str, Path]
    classes: Mapping[str, Path]
    observations: Mapping[str, Path]
    kept: float
    """The share of the land that has matched clusters."""


@dataclass(frozen=True)
class Material:
    """Everything that both pages are written from."""

    view: "ReportView"
    records: Records
    observations: Observations
    roles: Mapping[str, Bool[Tensor, "n"]]
    scores: Scores
    pretrain_img: Document
    account: Document
    curves: Mapping[str, Curve]
    """By title, as they were written."""
    judged: Mapping[float, JudgedRows]
    """The first test set at the smallest and the largest label ratio."""
    confusions: Sequence[Confusion]
    """Of the largest label ratio, as `turned`."""
    turned: Turned
    chosen: int
    """The class whose maps are drawn."""
    world: World
    drawn: Drawn

    @property
    def main(self) -> str:
        """The first set: test, where it has rows."""
        return next(iter(self.scores.metrics))

    @property
    def largest(self) -> float:
        """The largest label ratio."""
        return self.view.label_ratios[-1]
