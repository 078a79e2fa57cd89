"""What params.yaml may hold: one frozen model per section, strict about keys, kinds and ranges."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from cspops.params.image_networks import FinetuneImg, PretrainImg
from cspops.params.location_classifiers import FinetuneLoc, FinetuneLosses
from cspops.params.location_encoders import Encodings, LocationEncoderFrom, Networks, Times, encoder_config, settings_of
from cspops.params.section import (
    FEW,
    Batch,
    Count,
    NameIn,
    Negatives,
    PartialShare,
    Possible,
    Rate,
    Section,
    Share,
    Temperature,
    Weight,
    require_learnable,
)

# --- dataset -----------------------------------------------------------------------------------------------------


Side = Annotated[float, Field(ge=0.01, le=2000)]
"""Of a square on the map, kilometres."""
Pixels = Annotated[int, Field(ge=8, le=512)]


class Glimpse(Section):
    side_km: Side
    px: Pixels
    max_offset_km: Annotated[float, Field(ge=0, le=400)]  # from 85 degrees it stays more than a degree from the pole
    exposure: PartialShare


class Tile(Section):
    side_km: Side
    px: Pixels


class OverheadTile(Section):
    side_km: Side
    px: Pixels
    max_offset_km: Annotated[float, Field(ge=0, le=400)]

    @model_validator(mode="after")
    def _holds_the_place(self) -> "OverheadTile":
        if self.max_offset_km > 0.45 * self.side_km:
            raise ValueError(
                f"max_offset_km {self.max_offset_km} is more than 0.45 of side_km {self.side_km}: the tile holds its place"
            )
        return self


class BlueMarbleViews(Section):
    glimpse: Possible[Glimpse] = None
    tile: Possible[Tile] = None


class BlueMarble(Section):
    density: Literal["uniform", "observers", "borders"]
    train: Count
    val: Count
    test: Count
    spatial_val: Count
    spatial_test: Count
    view: Annotated[str, NameIn(BlueMarbleViews)]
    views: BlueMarbleViews
    overhead: Possible[OverheadTile] = None
    border_km: Side
    lat_min: Annotated[float, Field(ge=-85, le=85)]
    lat_max: Annotated[float, Field(ge=-85, le=85)]
    block_degrees: Annotated[float, Field(ge=0.1, le=60)]
    block_share: Annotated[float, Field(ge=1e-4, lt=0.5)]
    buffer_km: Annotated[float, Field(ge=0, le=5000)]
    min_zone_points: Annotated[int, Field(ge=0, le=10**6)]

    @model_validator(mode="after")
    def _belt(self) -> "BlueMarble":
        if self.lat_min >= self.lat_max:
            raise ValueError(f"lat_min {self.lat_min} must be less than lat_max {self.lat_max}")
        return self

    @model_validator(mode="after")
    def _chosen_view(self) -> "BlueMarble":
        if getattr(self.views, self.view) is None:
            raise ValueError(f"the section views.{self.view} is missing; view is {self.view}")
        return self


class Columns(Section):
    """Names of a table's columns; null: recognised by the names that such columns usually have."""

    obs_id: str | None
    lon: str | None
    lat: str | None
    label: str | None
    image: str | None
    captured_at: str | None
    location_id: str | None
    split: str | None
    overhead: str | None = None
    overhead_bbox: str | None = None


PixelValue = Annotated[float, Field(ge=-1e12, le=1e12)]
LEAST_RANGE = 1e-9
"""Of pixel values, white above black."""


class ImageReading(Section):
    """How images of more than 8 bits or other than three bands become RGB."""

    bands: tuple[Annotated[int, Field(ge=1, le=10000)], ...] | None
    black: PixelValue
    white: PixelValue | None

    @model_validator(mode="after")
    def _range(self) -> "ImageReading":
        if self.bands is not None and len(self.bands) not in (1, 3):
            raise ValueError(f"bands {list(self.bands)} must be three (red, green, blue), or one (grey), or null")
        if self.white is not None and self.white < self.black + LEAST_RANGE:
            raise ValueError(f"white {self.white:g} must be above black {self.black:g}")
        return self


Root = Literal["data", "data_root"]
Inspection = Literal["decode", "exists", "none"]


class Folder(Section):
    root: Root
    pattern: Annotated[str, Field(min_length=1)]
    label: Literal["folder", "column", "none"]
    sidecar: str | None
    columns: Columns
    inspection: Inspection
    images: ImageReading
    overhead_images: ImageReading | None = None

    @model_validator(mode="after")
    def _column(self) -> "Folder":
        if self.label == "column" and self.sidecar is None:
            raise ValueError("label: column needs a sidecar, the table that has the column")
        return self


class Table(Section):
    root: Root
    file: str | None
    columns: Columns
    features: Annotated[str, Field(min_length=1)] | None = None
    inspection: Inspection
    images: ImageReading
    overhead_images: ImageReading | None = None


class Inat2018(Section):
    form: Literal["images", "features"]
    inspection: Inspection


class Fmow(Section):
    form: Literal["images", "features"]
    inspection: Inspection
    false_detections: Literal["set_aside", "class"]
    test: Literal["val", "test"]


SourceSettings = BlueMarble | Folder | Table | Inat2018 | Fmow


class Sources(Section):
    blue_marble: Possible[BlueMarble] = None
    folder: Possible[Folder] = None
    table: Possible[Table] = None
    inat2018: Possible[Inat2018] = None
    fmow: Possible[Fmow] = None


class Dataset(Sources):
    source: Annotated[str, NameIn(Sources)]
    min_class_size: Annotated[int, Field(ge=1, le=10**9)]
    max_rejected: Share
    bad_position: Literal["set_aside", "without_position"]
    duplicate_images: Literal["set_aside", "keep"]
    merge_labels: bool
    max_uncertainty_m: Annotated[float, Field(gt=0, le=20_100_000)] | None  # half the Earth's circumference


class Split(Section):
    label_ratios: tuple[Annotated[float, Field(ge=1e-6, le=1)], ...] = Field(min_length=1, max_length=FEW)
    val_labels: Literal["all", "as_labels"]
    method: Literal["official", "random"]
    unit: Literal["observation", "location_id"]
    val: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]
    spatial_val: Share
    spatial_test: Share
    block_degrees: Annotated[float, Field(ge=0.1, le=60)]
    buffer_km: Annotated[float, Field(ge=0, le=5000)]

    @model_validator(mode="after")
    def _shares(self) -> "Split":
        if any(a >= b or f"{a:.6g}" == f"{b:.6g}" for a, b in pairwise(self.label_ratios)):
            raise ValueError(f"label_ratios {list(self.label_ratios)} must increase, without repeats")
        if self.val + self.test >= 1 or self.spatial_val + self.spatial_test >= 1:
            raise ValueError("val + test and spatial_val + spatial_test must leave training rows: sums below 1")
        return self


# --- image network -----------------------------------------------------------------------------------------------


def _some_weights(value: str) -> str:
    if value in ("random", "pretrained") or (value.startswith("file:") and value.removeprefix("file:").strip()):
        return value
    raise ValueError(f"{value!r} is not one of random, pretrained, file:PATH")


Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


class ImageEncoder(Section):
    """The image network; null is what the model was made for, see `models.image_architectures`."""

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    model: Annotated[str, Field(pattern=r"^(timm|torchvision):.+")]
    weights: Annotated[str, AfterValidator(_some_weights)]
    px: Annotated[int, Field(ge=8, le=1024)] | None
    crop: Annotated[float, Field(ge=0.01, le=1)] | None
    interpolation: Interpolation | None


# --- losses ------------------------------------------------------------------------------------------------------

Terms = Literal["B", "BL", "BD", "BLD"]


class McLoss(Section):
    terms: Terms
    symmetric: bool
    learn_temperature: bool
    tau_batch: Temperature
    tau_locations: Temperature
    tau_dropout: Temperature
    weight_locations: Weight
    weight_dropout: Weight
    learning_rate: Rate

    @model_validator(mode="after")
    def _learned(self) -> "McLoss":
        taus = {"B": self.tau_batch, "L": self.tau_locations, "D": self.tau_dropout}
        if self.learn_temperature:
            require_learnable(*(taus[term] for term in self.terms))
        return self


class NceLoss(Section):
    terms: Terms
    weight_locations: Weight
    weight_dropout: Weight
    learning_rate: Rate


class MseLoss(Section):
    learning_rate: Rate


class NoLoss(Section):
    pass


class GairLoss(Section):
    """The location encoder of pretrain_img.method: gair, as it is."""


TrainedLoss = McLoss | NceLoss | MseLoss | NoLoss
LossSettings = TrainedLoss | GairLoss


class Losses(Section):
    mc: Possible[McLoss] = None
    nce: Possible[NceLoss] = None
    mse: Possible[MseLoss] = None
    gair: Possible[GairLoss] = None
    none: Possible[NoLoss] = None


# --- training ----------------------------------------------------------------------------------------------------


class Pretrain(Section):
    epochs: Count
    batch_size: Batch
    negative_locations: Annotated[int, Field(ge=1, le=4096)]
    negatives: Negatives


# --- evaluation --------------------------------------------------------------------------------------------------


class Priors(Section):
    pseudo_count: Annotated[float, Field(ge=1e-6, le=1e9)]
    histogram: tuple[Annotated[float, Field(ge=0.1, le=180)], ...] = Field(min_length=1, max_length=FEW)
    knn: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(min_length=1, max_length=FEW)
    distance_knn: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(min_length=1, max_length=FEW)
    kde: tuple[Annotated[float, Field(ge=1, le=20000)], ...] = Field(min_length=1, max_length=FEW)


class PoolGrid(Section):
    kernel_km: tuple[Annotated[float, Field(ge=0.1, le=20000)], ...] = Field(min_length=1, max_length=FEW)
    count_weight: tuple[Annotated[float, Field(ge=1e-6, le=1e6)], ...] = Field(min_length=1, max_length=FEW)
    kernel_days: Annotated[tuple[Annotated[float, Field(ge=0.1, le=1e4)] | None, ...], Field(min_length=1, max_length=FEW)] = (
        None,
        15.0,
        30.0,
        60.0,
    )
    """Of a run whose location encoder takes dates."""


class Evaluate(Section):
    priors: Priors
    pool: PoolGrid


SuiteTarget = Literal["land", "airport_elevation", "airport_country", "airport_time_zone", "city_population"]
"""What can be probed without a download (docs/probe.md)."""


class Report(Section):
    class_name: str | None = Field(alias="class")
    clusters: Annotated[int, Field(ge=1, le=30)]
    grid_degrees: Annotated[float, Field(ge=0.5, le=10)]
    probe: tuple[SuiteTarget, ...] = Field((), max_length=FEW)

    @field_validator("probe")
    @classmethod
    def _once(cls, names: tuple[SuiteTarget, ...]) -> tuple[SuiteTarget, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a target is named twice")
        return names


class Params(Section):
    """The whole of params.yaml."""

    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(min_length=1, max_length=1000)
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    loss: Annotated[str, NameIn(Losses)]
    location_encoder: LocationEncoderFrom
    pretrain: Pretrain
    split: Split
    dataset: Dataset
    image_encoder: ImageEncoder
    pretrain_img: PretrainImg
    finetune_loc: FinetuneLoc
    finetune_img: FinetuneImg
    evaluate: Evaluate
    report: Report
    losses: Losses
    encodings: Encodings
    networks: Networks
    times: Times = Times()
    finetune_losses: FinetuneLosses

    @model_validator(mode="after")
    def _distinct_seeds(self) -> "Params":
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} must differ from one another")
        return self

    @model_validator(mode="after")
    def _modes_of_the_image_classifier(self) -> "Params":
        source = self.dataset.source
        settings = getattr(self.dataset, source)
        if settings is None:
            return self
        form = getattr(settings, "form", None)
        has = f"dataset.source: {source}" if form is None else f"dataset.{source}.form: {form}"
        if self.finetune_img.mode == "full" and form == "features":
            raise ValueError(f"finetune_img.mode: full needs images, but there is {has}")
        if self.finetune_img.mode == "released" and form != "features":
            raise ValueError(
                f"finetune_img.mode: released needs dataset.source: inat2018 or fmow, with form: features, but there is {has}"
            )
        return self

    @model_validator(mode="after")
    def _one_location_encoder(self) -> "Params":
        """Refuse `loss: gair` without GAIR's location encoder, or with the settings of another one."""
        if self.loss != "gair":
            return self
        gair = self.pretrain_img.methods.gair
        if self.pretrain_img.method != "gair":
            raise ValueError(
                f"loss: gair needs the location encoder of pretrain_img.method: gair, and that is {self.pretrain_img.method}"
            )
        if gair is None:  # `reading.checked` names the section that is missing
            return self
        chosen, theirs = self.location_encoder, gair.location_encoder.config()
        if chosen.folder is not None:
            raise ValueError(f"loss: gair takes over GAIR's location encoder; location_encoder.weights is {chosen.weights}")
        if chosen.time != "none":
            raise ValueError(
                f"loss: gair takes over GAIR's location encoder, which has no time; location_encoder.time is {chosen.time}"
            )
        own = encoder_config(
            chosen, settings_of(self.encodings, chosen.encoding.name), settings_of(self.networks, chosen.network.name)
        )
        for key, value in theirs.items():
            if own[key] is not None and own[key] != value:
                raise ValueError(
                    f"loss: gair takes over the location encoder of pretrain_img.methods.gair, whose {key} is {value}; "
                    f"location_encoder has {own[key]}: set both"
                )
        return self

    @model_validator(mode="after")
    def _dates_for_the_time(self) -> "Params":
        chosen = self.location_encoder
        if chosen.time != "none" and chosen.folder is None and self.dataset.source == "blue_marble":
            raise ValueError(
                f"location_encoder.time: {chosen.time} needs dates; the embedded data (dataset.source: blue_marble) has none"
            )
        return self

    @model_validator(mode="after")
    def _features_of_photos(self) -> "Params":
        gair = self.pretrain_img.methods.gair
        of_photos = self.pretrain_img.method != "gair" or gair is None or gair.features == "photo"
        if self.finetune_img.mode == "full" and not of_photos:
            raise ValueError("finetune_img.mode: full needs pretrain_img.methods.gair.features: photo")
        return self

    @model_validator(mode="after")
    def _statistics_that_a_probe_can_start_from(self) -> "Params":
        """Refuse a start whose loss explodes: batches of a random network lack the mean 0 and deviation 1 of its probe."""
        full = self.finetune_img.modes.full
        if self.finetune_img.mode != "full" or full is None:
            return self
        starts_as_probe = full.head == "linear" and full.probe_l2
        is_random = self.image_encoder.weights == "random" and self.pretrain_img.method == "none"
        if full.batch_norm == "trained" and starts_as_probe and is_random:
            raise ValueError(
                "finetune_img.modes.full.batch_norm: trained and the probe as a start do not go together where image_encoder "
                "is random and pretrain_img.method none: set probe_l2 to [], or batch_norm to frozen"
            )
        return self
