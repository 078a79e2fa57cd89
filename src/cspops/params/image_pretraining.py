"""What params.yaml may hold of the self-supervised pre-training of the image network: a section a method."""

from typing import Annotated, Literal

from pydantic import Field

from cspops.params.section import Count, NotNegative, Positive, Section, Share

Method = Literal["moco", "none"]


class Moco(Section):
    epochs: Count
    batch_size: Annotated[int, Field(ge=8)]
    learning_rate: Positive
    weight_decay: NotNegative
    momentum: Annotated[float, Field(ge=0, lt=1)]
    temperature: Positive
    queue: Count
    dim: Count
    norm_groups: Count
    min_scale: Annotated[float, Field(gt=0, le=1)]
    colour_jitter: Annotated[float, Field(ge=0, lt=1)]
    grey: Share
    blur: Share
    turns: bool


class NoImagePretraining(Section):
    pass


class PretrainImgMethods(Section):
    moco: Moco
    none: NoImagePretraining


class PretrainImg(Section):
    method: Method
    methods: PretrainImgMethods
