"""What params.yaml may hold of the image network's pre-training and of the image classifier."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cspops.params.section import Count, NameIn, NotNegative, Positive, Possible, Section, Share, Width


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


class Tile2Vec(Section):
    epochs: Count
    batch_size: Annotated[int, Field(ge=8)]
    learning_rate: Positive
    margin: Positive
    l2: NotNegative
    mode: Literal["catalogue", "tiles"]
    neighbour_km: Positive | None
    distant_km: Positive | None
    min_scale: Annotated[float, Field(gt=0, le=1)]
    tile_px: Annotated[int, Field(ge=4)]
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
    batch_size: Annotated[int, Field(ge=8)]
    learning_rate: Positive
    reduction: Literal["entries", "rows"]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    teacher_update_every: Count
    raster: Annotated[str, Field(pattern=r"^(climate_zones|file:.+)$")]
    side_km: Positive
    colour_jitter: Annotated[float, Field(ge=0, lt=1)]
    turns: bool


class NoImagePretraining(Section):
    pass


MethodSettings = Moco | GeoSsl | Tile2Vec | Seco | Geokr | NoImagePretraining


class PretrainImgMethods(Section):
    moco: Possible[Moco] = None
    geo_ssl: Possible[GeoSsl] = None
    tile2vec: Possible[Tile2Vec] = None
    seco: Possible[Seco] = None
    geokr: Possible[Geokr] = None
    none: Possible[NoImagePretraining] = None


class PretrainImg(Section):
    method: Annotated[str, NameIn(PretrainImgMethods)]
    methods: PretrainImgMethods


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
    linear_probe: Possible[LinearProbe] = None
    full: Possible[Full] = None
    released: Possible[Released] = None


class FinetuneImg(Section):
    mode: Annotated[str, NameIn(FinetuneImgModes)]
    modes: FinetuneImgModes
