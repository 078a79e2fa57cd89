"""What params.yaml may hold of the self-supervised pre-training of the image network: a section a method."""

from typing import Annotated, Literal

from pydantic import Field

from cspops.params.section import Count, NotNegative, Positive, Section, Share

Method = Literal["moco", "geo_ssl", "seco", "none"]


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


class GeoSsl(Moco):
    geo: bool
    temporal: bool
    place_metres: Positive | None
    weight_geo: NotNegative
    clusters: Annotated[int, Field(ge=2)] | None
    space: Literal["sphere", "degrees"]


class Seco(Moco):
    place_metres: Positive | None
    least_share: Share


class NoImagePretraining(Section):
    pass


class PretrainImgMethods(Section):
    moco: Moco
    geo_ssl: GeoSsl
    seco: Seco
    none: NoImagePretraining


class PretrainImg(Section):
    method: Method
    methods: PretrainImgMethods
