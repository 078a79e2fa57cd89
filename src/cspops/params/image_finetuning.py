"""What params.yaml may hold of the image classifier: a section a mode."""

from typing import Annotated, Literal

from pydantic import Field

from cspops.params.section import Count, NotNegative, Positive, Section, Share, Width

Mode = Literal["linear_probe", "full", "released"]


class LinearProbe(Section):
    l2: tuple[Positive, ...] = Field(min_length=1)
    max_iterations: Count


class Full(Section):
    head: Literal["linear", "mlp"]
    probe_l2: tuple[Positive, ...]
    hidden: Width
    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    batch_norm: Literal["frozen", "trained"]
    learning_rate: Positive
    weight_decay: NotNegative
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    warm_up: Annotated[float, Field(ge=0, lt=1)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    ema: Annotated[float, Field(ge=0, lt=1)]
    accumulation: Count
    patience: Annotated[int, Field(ge=0)]
    min_scale: Annotated[float, Field(gt=0, le=1)]
    colour_jitter: Annotated[float, Field(ge=0, lt=1)]
    grey: Share
    blur: Share
    turns: bool


class Released(Section):
    pass


class FinetuneImgModes(Section):
    linear_probe: LinearProbe
    full: Full
    released: Released


class FinetuneImg(Section):
    mode: Mode
    modes: FinetuneImgModes
