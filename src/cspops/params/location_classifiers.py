"""What params.yaml may hold of the location classifier: how it is trained, and the losses of mode `full`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cspops.params.image_networks import LinearProbe
from cspops.params.section import (
    FEW,
    MOST_ROWS,
    Decay,
    Factor,
    NameIn,
    Negatives,
    PartialShare,
    Patience,
    Possible,
    Rate,
    Ridge,
    Section,
    Share,
    Steps,
    Weight,
    Width,
)


class PresenceAbsence(Section):
    beta: Factor


class PresenceAbsenceReleased(Section):
    weight_background: Weight


class CrossEntropy(Section):
    label_smoothing: PartialShare


class Focal(Section):
    gamma: Annotated[float, Field(ge=0, le=100)]


FinetuneLoss = PresenceAbsence | PresenceAbsenceReleased | CrossEntropy | Focal


class FinetuneLosses(Section):
    presence_absence: Possible[PresenceAbsence] = None
    presence_absence_released: Possible[PresenceAbsenceReleased] = None
    cross_entropy: Possible[CrossEntropy] = None
    focal: Possible[Focal] = None


AnyRows = Annotated[int, Field(ge=1, le=MOST_ROWS)]
"""In a batch whose rows do not learn from one another."""


class FullLoc(Section):
    steps: Steps
    negatives: Negatives
    batch_size: AnyRows
    learning_rate: Rate
    encoder_rate: Annotated[float, Field(gt=0, le=1)]
    schedule: Literal["cosine", "exponential"]
    last_rate: Share
    patience: Patience
    check_every: Steps

    @model_validator(mode="after")
    def _decay(self) -> "FullLoc":
        if self.schedule == "exponential" and self.last_rate == 0:
            raise ValueError("an exponential schedule needs a last_rate above 0")
        if self.patience and self.check_every >= self.steps:
            raise ValueError(f"check_every {self.check_every} must be less than steps {self.steps}, or patience be 0")
        return self


class ProbeThenFull(Section):
    probe_l2: tuple[Ridge, ...] = Field(min_length=1, max_length=FEW)
    steps: Steps
    batch_size: AnyRows
    learning_rate: Rate
    encoder_rate: Share
    weight_decay: Decay
    distance: Weight
    dropout: Literal["kept", "off"]
    check_every: Steps
    patience: Patience


class FinetuneLocModes(Section):
    linear_probe: Possible[LinearProbe] = None
    full: Possible[FullLoc] = None
    probe_then_full: Possible[ProbeThenFull] = None


class Fusion(Section):
    head: Literal["none", "concat", "film"]
    hidden: Width
    steps: Steps
    learning_rate: Rate
    weight_decay: Decay
    dropout: PartialShare
    domain_weight: Weight
    patience: Patience


class FinetuneLoc(Section):
    mode: Annotated[str, NameIn(FinetuneLocModes)]
    loss: Annotated[str, NameIn(FinetuneLosses)]
    modes: FinetuneLocModes
    fusion: Fusion
