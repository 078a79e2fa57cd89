"""What each stage may read of params.yaml: the same paths as under `params:` in dvc.yaml.

DVC does not know what a stage reads; it re-runs a stage when a param that dvc.yaml lists for it has changed. So a stage
is given its view and never `Params`, and a test holds views and dvc.yaml equal: no experiment is recorded that did not run.
"""

import dataclasses
import re
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel

from cspops.params.image_networks import Full, LinearProbe, MethodSettings, Released
from cspops.params.location_classifiers import FinetuneLoss, FullLoc, ProbeThenFull
from cspops.params.location_encoders import LocationEncoderFrom, encoder_config, time_config
from cspops.params.section import Section
from cspops.params.sections import (
    ImageEncoder,
    LossSettings,
    Params,
    PoolGrid,
    Pretrain,
    Priors,
    Report,
    SourceSettings,
    Split,
)


def listed(path: str) -> Any:
    """Return a field of a view, filled from ``path`` of params.yaml, written as under `params:` in dvc.yaml."""
    return dataclasses.field(metadata={"path": path})


@dataclasses.dataclass(frozen=True)
class DownloadView:
    seed: int = listed("seed")
    source: str = listed("dataset.source")
    min_class_size: int = listed("dataset.min_class_size")
    max_rejected: float = listed("dataset.max_rejected")
    bad_position: Literal["set_aside", "without_position"] = listed("dataset.bad_position")
    duplicate_images: Literal["set_aside", "keep"] = listed("dataset.duplicate_images")
    merge_labels: bool = listed("dataset.merge_labels")
    max_uncertainty_m: float | None = listed("dataset.max_uncertainty_m")
    settings: SourceSettings = listed("dataset.${dataset.source}")
    pretrain_img_method: str = listed("pretrain_img.method")


@dataclasses.dataclass(frozen=True)
class SplitView:
    seed: int = listed("seed")
    seeds: tuple[int, ...] = listed("seeds")
    split: Split = listed("split")


@dataclasses.dataclass(frozen=True)
class PretrainImgView:
    image_encoder: ImageEncoder = listed("image_encoder")
    method: str = listed("pretrain_img.method")
    settings: MethodSettings = listed("pretrain_img.methods.${pretrain_img.method}")


@dataclasses.dataclass(frozen=True)
class FeaturizeView:
    """No params: the image network's config.json says how its images are read."""


@dataclasses.dataclass(frozen=True)
class PretrainView:
    seeds: tuple[int, ...] = listed("seeds")
    location_encoder: LocationEncoderFrom = listed("location_encoder")
    encoding: Section = listed("encodings.${location_encoder.encoding.name}")
    network: Section = listed("networks.${location_encoder.network.name}")
    time: Section = listed("times.${location_encoder.time}")
    loss: str = listed("loss")
    loss_settings: LossSettings = listed("losses.${loss}")
    pretrain: Pretrain = listed("pretrain")

    def encoder_config(self) -> dict[str, Any]:
        """Return what `LocationEncoder` takes."""
        time = time_config(self.location_encoder, self.time)
        return encoder_config(self.location_encoder, self.encoding, self.network, time=time)


@dataclasses.dataclass(frozen=True)
class FinetuneLocView:
    seeds: tuple[int, ...] = listed("seeds")
    label_ratios: tuple[float, ...] = listed("split.label_ratios")
    mode: str = listed("finetune_loc.mode")
    settings: LinearProbe | FullLoc | ProbeThenFull = listed("finetune_loc.modes.${finetune_loc.mode}")
    loss: str = listed("finetune_loc.loss")
    loss_settings: FinetuneLoss = listed("finetune_losses.${finetune_loc.loss}")


@dataclasses.dataclass(frozen=True)
class FinetuneImgView:
    seeds: tuple[int, ...] = listed("seeds")
    label_ratios: tuple[float, ...] = listed("split.label_ratios")
    mode: str = listed("finetune_img.mode")
    settings: LinearProbe | Full | Released = listed("finetune_img.modes.${finetune_img.mode}")


@dataclasses.dataclass(frozen=True)
class EvaluateView:
    seeds: tuple[int, ...] = listed("seeds")
    label_ratios: tuple[float, ...] = listed("split.label_ratios")
    priors: Priors = listed("evaluate.priors")
    pool: PoolGrid = listed("evaluate.pool")


@dataclasses.dataclass(frozen=True)
class ReportView:
    loss: str = listed("loss")
    seeds: tuple[int, ...] = listed("seeds")
    label_ratios: tuple[float, ...] = listed("split.label_ratios")
    report: Report = listed("report")


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

CHOICES: dict[str, str] = {
    match[1]: match[2]
    for kind in VIEWS.values()
    for field in dataclasses.fields(kind)
    if (match := re.fullmatch(r"(.+)\.\$\{(.+)\}", field.metadata["path"]))
}
"""Each catalogue, such as `losses`, and the key that says which of its sections is chosen, such as `loss`."""

View = TypeVar("View")


def view(params: Params, kind: type[View]) -> View:
    """Return the part of params.yaml that one stage may read."""
    fields = dataclasses.fields(cast(Any, kind))
    return kind(**{field.name: value_at(params, field.metadata["path"]) for field in fields})


def recorded(params: Params, stage: str) -> dict[str, Any]:
    """Return a stage's view as plain values by path: what is written beside its outputs."""
    return {
        path: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        for path, value in (
            (resolved(params, field.metadata["path"]), value_at(params, field.metadata["path"]))
            for field in dataclasses.fields(VIEWS[stage])
        )
    }


class StageRecord(BaseModel):
    """What the stage.json of a stage's folder holds, among others."""

    params: dict[str, Any]
    """As `recorded` returned them."""
    files: dict[str, str]
    """The sha256 of each file of the folder, by name."""


def resolved(params: Params, path: str) -> str:
    """Return the path with the names in place of `${...}`."""
    return re.sub(r"\$\{([^}]+)\}", lambda match: str(value_at(params, match[1])), path)


def value_at(params: Params, path: str) -> Any:
    """Return the value at a path as under `params:` in dvc.yaml, such as `losses.mc.terms` or `losses.${loss}`."""
    value: Any = params
    for key in resolved(params, path).split("."):
        value = getattr(value, value.fields_by_key()[key])
    return value


OFTEN_NEXT = ("losses.mc", "losses.nce", "losses.mse", "losses.none", "pretrain_img.methods.none", "times.")
"""Sections that most projects choose sooner or later: the losses of CSP, no self-supervision on published weights, season."""


def unchosen(params: Params) -> list[str]:
    """Return the paths of the catalogues' sections that are there, are not chosen, and are not `OFTEN_NEXT`."""
    return [
        f"{path}.{key}"
        for path, choice in CHOICES.items()
        for key, value in value_at(params, path).model_dump(exclude_unset=True).items()
        if isinstance(value, dict) and key != value_at(params, choice) and not f"{path}.{key}".startswith(OFTEN_NEXT)
    ]


NEEDS: dict[str, tuple[str, ...]] = {
    "download": (),
    "split": ("download",),
    "pretrain-img": ("download", "split"),
    "featurize": ("download", "pretrain-img"),
    "pretrain": ("download", "split", "pretrain-img", "featurize"),
    "finetune-loc": ("download", "split", "pretrain"),
    "finetune-img": ("download", "split", "pretrain-img", "featurize"),
    "evaluate": ("download", "split", "featurize", "finetune-loc", "finetune-img"),
    "report": ("download", "split", "pretrain-img", "pretrain", "finetune-loc", "finetune-img", "evaluate"),
    "image-networks": ("download", "split"),
}
"""The stages whose folders each stage reads, and each command that is no stage."""
