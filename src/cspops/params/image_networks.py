"""What params.yaml may hold of the image network's pre-training and of the image classifier."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cspops.params.location_encoders import WholeLocationEncoder
from cspops.params.section import (
    FEW,
    MOST_ROWS,
    Batch,
    Count,
    Decay,
    Factor,
    Km,
    Metres,
    NameIn,
    PartialShare,
    Patience,
    Possible,
    Rate,
    Ridge,
    Section,
    Share,
    Steps,
    Temperature,
    Weight,
    Width,
    require_learnable,
)

Contrasted = Annotated[int, Field(ge=8, le=MOST_ROWS)]
"""Rows of a batch whose images are told apart from one another."""
LeastScale = Annotated[float, Field(ge=1e-3, le=1)]
"""Of an image's area in a crop."""


class Moco(Section):
    epochs: Count
    batch_size: Contrasted
    learning_rate: Rate
    weight_decay: Decay
    momentum: PartialShare
    temperature: Temperature
    queue: Annotated[int, Field(ge=1, le=2**24)]
    dim: Width
    norm_groups: Annotated[int, Field(ge=1, le=MOST_ROWS)]
    min_scale: LeastScale
    colour_jitter: PartialShare
    grey: Share
    blur: Share
    turns: bool


class GeoSsl(Moco):
    geo: bool
    temporal: bool
    place_metres: Metres | None
    weight_geo: Weight
    clusters: Annotated[int, Field(ge=2, le=10**6)] | None
    space: Literal["sphere", "degrees"]


class Seco(Moco):
    place_metres: Metres | None
    least_share: Share


class Tile2Vec(Section):
    epochs: Count
    batch_size: Contrasted
    learning_rate: Rate
    margin: Factor
    l2: Weight
    mode: Literal["catalogue", "tiles"]
    neighbour_km: Km | None
    distant_km: Km | None
    min_scale: LeastScale
    tile_px: Annotated[int, Field(ge=4, le=4096)]
    neighbourhood_px: Count
    same_image: bool
    raster: Annotated[str, Field(pattern=r"^file:.+$")] | None
    turns: bool

    @model_validator(mode="after")
    def _distant_is_farther(self) -> "Tile2Vec":
        if self.neighbour_km is not None and self.distant_km is not None and self.distant_km < self.neighbour_km:
            raise ValueError(f"distant_km is {self.distant_km:g}, less than neighbour_km, {self.neighbour_km:g}")
        return self


class Geokr(Section):
    epochs: Count
    batch_size: Contrasted
    learning_rate: Rate
    reduction: Literal["entries", "rows"]
    momentum: PartialShare
    teacher_update_every: Steps
    raster: Annotated[str, Field(pattern=r"^(climate_zones|file:.+)$")]
    side_km: Km
    colour_jitter: PartialShare
    turns: bool


class GairOverhead(Section):
    model: Annotated[str, Field(pattern=r"^timm:.+")]
    weights: Literal["random", "pretrained"]
    px: Annotated[int, Field(ge=16, le=1024)]
    stride: Annotated[int, Field(ge=1, le=64)]

    @model_validator(mode="after")
    def _map(self) -> "GairOverhead":
        if self.px < LEAST_CELLS * self.stride:
            raise ValueError(
                f"px {self.px} and stride {self.stride} make a feature map of fewer than {LEAST_CELLS} x {LEAST_CELLS} cells"
            )
        return self


LEAST_CELLS = 4
"""Along a side of GAIR's feature map: with fewer, points of one image hardly differ."""
GairTerm = Literal["overhead_to_photo", "photo_to_overhead", "photo_to_place", "overhead_to_place"]


class Gair(Section):
    features: Literal["photo", "overhead_at_place"]
    overhead: GairOverhead
    decoder: Literal["linear", "mlp", "bilinear", "mean"]
    location_encoder: WholeLocationEncoder
    terms: tuple[GairTerm, ...] = Field(min_length=1, max_length=4)
    temperature: Temperature
    learn_temperature: bool
    queue: Annotated[int, Field(ge=1, le=2**20)]
    queue_start: Literal["training", "as_released"]
    distillation: PartialShare
    epochs: Count
    batch_size: Contrasted
    learning_rate: Rate
    weight_decay: Decay
    warm_up: PartialShare
    min_scale: LeastScale
    colour_jitter: PartialShare

    @model_validator(mode="after")
    def _terms(self) -> "Gair":
        if len(set(self.terms)) != len(self.terms):
            raise ValueError(f"terms {list(self.terms)} must differ from one another")
        if self.learn_temperature:
            require_learnable(self.temperature)
        return self


class NoImagePretraining(Section):
    pass


MethodSettings = Moco | GeoSsl | Tile2Vec | Seco | Geokr | Gair | NoImagePretraining


class PretrainImgMethods(Section):
    moco: Possible[Moco] = None
    geo_ssl: Possible[GeoSsl] = None
    tile2vec: Possible[Tile2Vec] = None
    seco: Possible[Seco] = None
    geokr: Possible[Geokr] = None
    gair: Possible[Gair] = None
    none: Possible[NoImagePretraining] = None


class PretrainImg(Section):
    method: Annotated[str, NameIn(PretrainImgMethods)]
    methods: PretrainImgMethods


class LinearProbe(Section):
    l2: tuple[Ridge, ...] = Field(min_length=1, max_length=FEW)
    max_iterations: Count


class Full(Section):
    head: Literal["linear", "mlp"]
    probe_l2: tuple[Ridge, ...] = Field(max_length=FEW)
    hidden: Width
    epochs: Count
    batch_size: Batch
    batch_norm: Literal["frozen", "trained"]
    learning_rate: Rate
    weight_decay: Decay
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    warm_up: PartialShare
    label_smoothing: PartialShare
    ema: PartialShare
    accumulation: Annotated[int, Field(ge=1, le=MOST_ROWS)]
    patience: Patience
    min_scale: LeastScale
    colour_jitter: PartialShare
    grey: Share
    blur: Share
    turns: bool


class Released(Section):
    pass


class FinetuneImgModes(Section):
    linear_probe: Possible[LinearProbe] = None
    full: Possible[Full] = None
    released: Possible[Released] = None


class FinetuneImg(Section):
    mode: Annotated[str, NameIn(FinetuneImgModes)]
    modes: FinetuneImgModes
