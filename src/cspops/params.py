"""params.yaml: the only thing that may change a result, checked as a whole before anything is computed.

`load` reads the file with DVC's own YAML dialect and answers frozen models; a wrong key or value raises one
ParamsError that names each key, its value, the choices and the nearest spelling. A stage does not get `Params` but
the view of it that dvc.yaml lists for that stage: see `Listed` and the `...View` classes.
"""

import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cspops.errors import ParamsError

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Frozen, strict about keys and about kinds: `epochs: "3"`, `epochs: true` and `epochs: 2.5` are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


# --- dataset -----------------------------------------------------------------------------------------------------


class BlueMarble(Section):
    density: Literal["uniform", "observers", "borders"]
    train: Count
    val: Count
    test: Count
    spatial_val: Count
    spatial_test: Count
    tile_km: Annotated[float, Field(gt=0, le=2000)]
    tile_px: Annotated[int, Field(ge=8, le=512)]
    lat_min: Annotated[float, Field(ge=-85, le=85)]
    lat_max: Annotated[float, Field(ge=-85, le=85)]
    block_degrees: Annotated[float, Field(gt=0, le=60)]
    block_share: Annotated[float, Field(gt=0, lt=0.5)]
    min_zone_points: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _belt(self) -> "BlueMarble":
        if self.lat_min >= self.lat_max:
            raise ValueError(f"lat_min {self.lat_min} must be less than lat_max {self.lat_max}")
        return self


class Dataset(Section):
    source: Literal["blue_marble"]
    min_class_size: Count
    blue_marble: BlueMarble


class Split(Section):
    method: Literal["official", "random"]
    label_ratios: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(min_length=1)
    val: Share
    test: Share
    spatial_val: Share
    spatial_test: Share
    block_degrees: Annotated[float, Field(gt=0, le=60)]

    @model_validator(mode="after")
    def _shares(self) -> "Split":
        if list(self.label_ratios) != sorted(set(self.label_ratios)):
            raise ValueError(f"label_ratios {list(self.label_ratios)} must increase, without repeats")
        if self.val + self.test >= 1 or self.spatial_val + self.spatial_test >= 1:
            raise ValueError("val + test and spatial_val + spatial_test must leave training rows: sums below 1")
        return self


# --- image network -----------------------------------------------------------------------------------------------


class ImageEncoder(Section):
    model: Annotated[str, Field(pattern=r"^timm:.+")]
    weights: Literal["random", "pretrained"]
    px: Annotated[int, Field(ge=8, le=1024)]


class Moco(Section):
    epochs: Count
    batch_size: Annotated[int, Field(ge=8)]
    learning_rate: Positive
    weight_decay: NotNegative
    momentum: Annotated[float, Field(ge=0, lt=1)]
    temperature: Positive
    queue: Count
    dim: Count
    min_scale: Annotated[float, Field(gt=0, le=1)]
    colour_jitter: Annotated[float, Field(ge=0, lt=1)]
    grey: Share


class NoImagePretraining(Section):
    pass


class PretrainImgMethods(Section):
    moco: Moco
    none: NoImagePretraining


class PretrainImg(Section):
    method: Literal["moco", "none"]
    methods: PretrainImgMethods


# --- location encoder --------------------------------------------------------------------------------------------


class WrapEncoding(Section):
    pass


class GridEncoding(Section):
    scales: Annotated[int, Field(ge=1, le=1024)]
    r_min: Positive
    r_max: Positive

    @model_validator(mode="after")
    def _order(self) -> "GridEncoding":
        if self.r_min >= self.r_max and self.scales > 1:
            raise ValueError(f"r_min {self.r_min} must be less than r_max {self.r_max}")
        return self


class Encodings(Section):
    wrap: WrapEncoding
    grid: GridEncoding


class FfnNetwork(Section):
    hidden_layers: Annotated[int, Field(ge=0, le=16)]
    hidden: Count
    activation: Literal["relu", "leaky_relu", "gelu"]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    layer_norm: bool
    output_activation: bool


class ResidualNetwork(Section):
    layers: Annotated[int, Field(ge=0, le=64)]
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Networks(Section):
    ffn: FfnNetwork
    residual: ResidualNetwork


class EncodingChoice(Section):
    name: Literal["wrap", "grid"]


class NetworkChoice(Section):
    name: Literal["ffn", "residual"]


class LocationEncoderSection(Section):
    encoding: EncodingChoice
    network: NetworkChoice
    dim: Count


# --- losses ------------------------------------------------------------------------------------------------------

Terms = Literal["B", "BL", "BD", "BLD"]


class McLoss(Section):
    terms: Terms
    tau_batch: Positive
    tau_locations: Positive
    tau_dropout: Positive
    weight_locations: NotNegative
    weight_dropout: NotNegative
    learning_rate: Positive


class NceLoss(Section):
    terms: Terms
    weight_locations: NotNegative
    weight_dropout: NotNegative
    learning_rate: Positive


class MseLoss(Section):
    learning_rate: Positive


class NoLoss(Section):
    pass


class Losses(Section):
    mc: McLoss
    nce: NceLoss
    mse: MseLoss
    none: NoLoss


Loss = Literal["mc", "nce", "mse", "none"]


# --- training ----------------------------------------------------------------------------------------------------


class Pretrain(Section):
    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    negative_locations: Count


class FinetuneLoc(Section):
    steps: Count
    batch_size: Count
    learning_rate: Positive
    encoder_rate: Annotated[float, Field(gt=0, le=1)]
    beta: Positive


class FinetuneImg(Section):
    l2: tuple[Positive, ...] = Field(min_length=1)
    max_iterations: Count


class Params(Section):
    """The whole of params.yaml."""

    seed: Annotated[int, Field(ge=0)]
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    dataset: Dataset
    split: Split
    image_encoder: ImageEncoder
    pretrain_img: PretrainImg
    location_encoder: LocationEncoderSection
    encodings: Encodings
    networks: Networks
    loss: Loss
    losses: Losses
    pretrain: Pretrain
    finetune_loc: FinetuneLoc
    finetune_img: FinetuneImg

    @model_validator(mode="after")
    def _distinct_seeds(self) -> "Params":
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} must differ from one another")
        return self


# --- views: what each stage may read -----------------------------------------------------------------------------


def listed(path: str) -> Any:
    """A field of a view, filled from ``path`` of params.yaml, written as under `params:` in dvc.yaml."""
    return dataclasses.field(metadata={"path": path})


@dataclasses.dataclass(frozen=True)
class DownloadView:
    seed: int = listed("seed")
    source: str = listed("dataset.source")
    min_class_size: int = listed("dataset.min_class_size")
    settings: BlueMarble = listed("dataset.${dataset.source}")


@dataclasses.dataclass(frozen=True)
class SplitView:
    seed: int = listed("seed")
    seeds: tuple[int, ...] = listed("seeds")
    split: Split = listed("split")


@dataclasses.dataclass(frozen=True)
class PretrainImgView:
    seed: int = listed("seed")
    image_encoder: ImageEncoder = listed("image_encoder")
    method: Literal["moco", "none"] = listed("pretrain_img.method")
    settings: Moco | NoImagePretraining = listed("pretrain_img.methods.${pretrain_img.method}")


@dataclasses.dataclass(frozen=True)
class FeaturizeView:
    """Nothing: the image network's config.json says how its images are read."""


@dataclasses.dataclass(frozen=True)
class PretrainView:
    seeds: tuple[int, ...] = listed("seeds")
    location_encoder: LocationEncoderSection = listed("location_encoder")
    encoding: Section = listed("encodings.${location_encoder.encoding.name}")
    network: Section = listed("networks.${location_encoder.network.name}")
    loss: Loss = listed("loss")
    loss_settings: McLoss | NceLoss | MseLoss | NoLoss = listed("losses.${loss}")
    pretrain: Pretrain = listed("pretrain")

    def encoder_config(self) -> dict[str, Any]:
        """What `LocationEncoder` takes."""
        return {
            "encoding": {"name": self.location_encoder.encoding.name} | self.encoding.model_dump(),
            "network": {"name": self.location_encoder.network.name} | self.network.model_dump(),
            "dim": self.location_encoder.dim,
        }


@dataclasses.dataclass(frozen=True)
class FinetuneLocView:
    seeds: tuple[int, ...] = listed("seeds")
    label_ratios: tuple[float, ...] = listed("split.label_ratios")
    finetune_loc: FinetuneLoc = listed("finetune_loc")


@dataclasses.dataclass(frozen=True)
class FinetuneImgView:
    seeds: tuple[int, ...] = listed("seeds")
    label_ratios: tuple[float, ...] = listed("split.label_ratios")
    finetune_img: FinetuneImg = listed("finetune_img")


@dataclasses.dataclass(frozen=True)
class EvaluateView:
    seeds: tuple[int, ...] = listed("seeds")
    label_ratios: tuple[float, ...] = listed("split.label_ratios")


@dataclasses.dataclass(frozen=True)
class ReportView:
    loss: Loss = listed("loss")
    seeds: tuple[int, ...] = listed("seeds")
    label_ratios: tuple[float, ...] = listed("split.label_ratios")


VIEWS: dict[str, type] = {
    "download": DownloadView,
    "split": SplitView,
    "pretrain-img": PretrainImgView,
    "featurize": FeaturizeView,
    "pretrain": PretrainView,
    "finetune-loc": FinetuneLocView,
    "finetune-img": FinetuneImgView,
    "evaluate": EvaluateView,
    "report": ReportView,
}
"""Stages in the order of the graph. A test holds the paths of each view equal to `params:` in dvc.yaml."""

View = TypeVar("View")


def view(params: Params, kind: type[View]) -> View:
    """The part of params.yaml that one stage may read."""
    fields = dataclasses.fields(cast(Any, kind))
    return kind(**{field.name: _look_up(params, field.metadata["path"]) for field in fields})


def recorded(params: Params, stage: str) -> dict[str, Any]:
    """A stage's view as plain values by path: what is written beside its outputs."""
    return {
        path: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        for path, value in (
            (_resolve(params, field.metadata["path"]), _look_up(params, field.metadata["path"]))
            for field in dataclasses.fields(VIEWS[stage])
        )
    }


def _resolve(params: Params, path: str) -> str:
    return re.sub(r"\$\{([^}]+)\}", lambda match: str(_look_up(params, match[1])), path)


def _look_up(params: Params, path: str) -> Any:
    value: Any = params
    for key in _resolve(params, path).split("."):
        value = getattr(value, key)
    return value


# --- reading -----------------------------------------------------------------------------------------------------


def load(file: Path) -> Params:
    """Read and check params.yaml; ParamsError lists everything that is wrong with it."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        raw = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{file} is missing", hint="run in the project's folder, or git restore params.yaml") from None
    except (YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise ParamsError(f"{file} is not YAML{line}: {problem}", hint="git restore params.yaml") from None
    if not isinstance(raw, Mapping):
        raise ParamsError(f"{file} holds no keys", hint="git restore params.yaml")
    try:
        return Params.model_validate(_tuples(raw))
    except ValidationError as error:
        lines = [f"{file.name}: {line}" for line in _explain(error, raw)]
        raise ParamsError("\n".join(lines), hint="mend params.yaml, or git restore params.yaml") from None


def _tuples(value: Any) -> Any:
    """YAML lists as tuples, which frozen strict models ask for; whole numbers stay whole."""
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _explain(error: ValidationError, raw: Any) -> Iterator[str]:
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"])
        kind, value = problem["type"], problem["input"]
        if kind == "extra_forbidden":
            known = _keys_at(problem["loc"][:-1])
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
            guess = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known) or 'none'}"
            yield f"{path}: unknown key; {guess} (got {_short(value)})"
        elif kind == "missing":
            yield f"{path}: the key is missing"
        elif kind == "literal_error":
            choices = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
            near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.3)
            guess = f"; did you mean `{near[0]}`?" if near else ""
            yield f"{path}: {_short(value)} is not one of {', '.join(choices)}{guess}"
        elif kind == "value_error":
            prefix = f"{path}: " if path else ""
            yield f"{prefix}{problem['ctx']['error']}"
        else:
            yield f"{path}: {problem['msg'][0].lower()}{problem['msg'][1:]} (got {_short(value)})"


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys_at(path: tuple[int | str, ...]) -> list[str]:
    """The keys that params.yaml may hold under ``path``."""
    model: Any = Params
    for key in path:
        model = model.model_fields[str(key)].annotation
    return list(model.model_fields)
