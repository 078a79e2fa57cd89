"""Stage evaluate: image, location and both combined, beside priors without learning, on validation and both test sets.

Tables of rows and classes are computed some rows at a time (`kernels.row_blocks`) and leave a few numbers per row.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cspops.data.catalogue import Observations, read_observations
from cspops.data.features import FeatureFile
from cspops.data.splits import piece, ratio_key, read_choosing, read_few_shot, read_roles
from cspops.errors import DataError
from cspops.evaluation import calibration, metrics, priors
from cspops.evaluation.bootstrap import paired_difference
from cspops.evaluation.metrics import MODELS, Judgement, Scores, summarise
from cspops.evaluation.predictions import TOP, Judged, predictions, schema
from cspops.evaluation.predictor import Calibration, ImagePredictor, LocationPredictor, LogP, Predictor, combined_log_p
from cspops.evaluation.priors import LocationPriors, Prior
from cspops.evaluation.regions import regions
from cspops.evaluation.released import predicted, read_released, released_log_p
from cspops.kernels import keep_freed_memory, row_blocks
from cspops.models.heads import ImageHead
from cspops.models.loading import load_image_classifier, load_location_classifier
from cspops.shapes import Bool, Int, Tensor
from cspops.site import Site

if TYPE_CHECKING:
    from cspops.params.graph import EvaluateView
    from cspops.params.sections import Priors

log = logging.getLogger(__name__)


FINETUNE_IMG = "dvc repro finetune-img"
VALIDATION, TEST = ("val", "spatial_val"), ("test", "spatial_test")
DIFFERENCES = (("combined", "image"), ("calibrated", "combined"))
IMAGELESS = ("location", *priors.PRIORS)
"""The models that do not see the image."""


@torch.inference_mode()
def run(view: "EvaluateView", site: Site) -> None:
    """Write predictions.parquet and calibration.json, and metrics, validation, intervals and regions for reports/."""
    observations = read_observations(site.inputs["download"])
    judged = _judged(observations, view, site)
    features = FeatureFile(site.inputs["featurize"]).read(observations.obs_id)
    keep_freed_memory()
    scores: Scores = {}
    settings: dict[str, dict[str, Any]] = {}
    intervals: dict[str, dict[str, Any]] = {}
    places: dict[str, dict[str, Any]] = {}
    with pq.ParquetWriter(site.out / "predictions.parquet", schema(MODELS), compression="zstd") as writer:
        for ratio in view.label_ratios:
            key = ratio_key(ratio)
            hits: dict[str, list[torch.Tensor]] = {model: [] for model in MODELS}
            nearest_km: list[torch.Tensor] = []
            labelled, location_priors = None, None
            for seed in view.seeds:
                few = read_few_shot(site.inputs["split"], observations.obs_id, seed=seed, ratio=ratio) & observations.located
                # At ratio 1 all seeds share one set.
                if location_priors is None or labelled is None or not torch.equal(few, labelled):
                    location_priors = None  # freed before the next one is made: it may be large
                    labelled, location_priors = few, _location_priors(observations, few, judged, view.priors)
                may_choose = read_choosing(site.inputs["split"], observations.obs_id, seed=seed, ratio=ratio)["val"][judged.row]
                chooser = replace(judged, roles={**judged.roles, "val": judged.roles["val"] & may_choose})
                models = _models(site, chooser, features, location_priors, view.priors, seed, ratio)
                settings.setdefault(key, {})[f"seed_{seed}"] = models.settings()
                judgements, best = _judge(models, judged)
                for model, judgement in judgements.items():
                    _score(scores, judged, judgement, key, model, seed, classes=len(observations.classes))
                writer.write_table(predictions(judged, best, judgements, seed=seed, ratio=ratio))
                nearest_km.append(location_priors.nearest_km)
                for model in MODELS:
                    hits[model].append(judgements[model].hits)
            stacked = {model: torch.stack(by_seed) for model, by_seed in hits.items()}
            for role, mask in judged.roles.items():
                if (mask & judged.imaged).any():
                    intervals.setdefault(role, {})[key] = _intervals(stacked, mask)
                if role in TEST and mask.any():
                    three = {model: hit[:, mask] for model, hit in stacked.items() if model != "calibrated"}
                    places.setdefault(role, {})[key] = regions(three, judged.lonlat[mask], torch.stack(nearest_km)[:, mask])
    ratios, names = [ratio_key(ratio) for ratio in view.label_ratios], [*MODELS, *priors.PRIORS, *priors.PRODUCTS]
    for file, roles in (("metrics.json", TEST), ("validation.json", VALIDATION)):
        _write(site.reports / file, summarise(scores, roles=roles, ratios=ratios, seeds=view.seeds, models=names))
    _write(site.reports / "intervals.json", {role: intervals[role] for role in (*TEST, *VALIDATION) if role in intervals})
    _write(site.reports / "regions.json", places)
    _write(site.out / "calibration.json", settings)


def _judged(observations: Observations, view: "EvaluateView", site: Site) -> Judged:
    """Return the labelled rows of validation and test that have a P(y|I).

    A validation set without any P(y|I) is judged all the same, by the models that do not see the image.
    """
    roles = read_roles(site.inputs["split"], observations.obs_id)
    n, classes, labelled = len(observations.obs_id), len(observations.classes), observations.label >= 0
    imaged = torch.ones(n, dtype=torch.bool)
    for folder in (site.inputs["finetune-img"] / piece(seed, ratio) for seed in view.seeds for ratio in view.label_ratios):
        released = read_released(folder, (n, classes))
        if released is not None:
            imaged &= predicted(released)
    masks = {}
    for role in (*VALIDATION, *TEST):
        labelled_role = roles[role] & labelled
        both = labelled_role & imaged
        masks[role] = labelled_role if role in VALIDATION and not both.any() else both
        if without := int((labelled_role & ~imaged).sum()):
            what = "judged by location alone" if torch.equal(masks[role], labelled_role) else "not judged"
            log.info(f"evaluate: {without} rows of role {role} have no released prediction: {what}")
    if not (masks["test"] | masks["spatial_test"]).any():
        lacking = "a label and a released prediction" if bool((~imaged).any()) else "a label"
        raise DataError(
            f"no row of role test or spatial_test has {lacking}: there is nothing to report on",
            hint="change split in params.yaml" + (", or finetune_img.mode" if bool((~imaged).any()) else ""),
        )
    kept = torch.stack(list(masks.values())).any(0)
    return Judged(
        kept.nonzero()[:, 0],
        pa.array(observations.obs_id).filter(kept.numpy()),
        observations.label[kept],
        observations.lonlat[kept],
        observations.located[kept],
        imaged[kept],
        {role: mask[kept] for role, mask in masks.items()},
    )


def _location_priors(observations: Observations, few: torch.Tensor, judged: Judged, params: "Priors") -> LocationPriors:
    return LocationPriors(
        observations.lonlat[few],
        observations.label[few],
        judged.lonlat,
        judged.located,
        classes=len(observations.classes),
        pseudo_count=params.pseudo_count,
        most_neighbours=max(*params.knn, *params.distance_knn),
    )


@dataclass(frozen=True)
class _Models:
    """Every model of one seed and label ratio, and what validation chose for them."""

    predictor: Predictor
    """Takes numbers of judged rows."""
    location_priors: LocationPriors
    located: Bool[Tensor, "n"]
    calibration_rows: int
    chosen: dict[Prior, float]

    def settings(self) -> dict[str, Any]:
        """Return the entry of calibration.json."""
        fitted = self.predictor.calibration or Calibration()
        return {
            "temperature": round(fitted.temperature, 6),
            "location_weight": round(fitted.location_weight, 6),
            "rows": self.calibration_rows,
            "priors": self.chosen,
        }

    def log_p(self, rows: Int[Tensor, "b"]) -> Iterator[tuple[str, Tensor]]:
        """Yield name and log P of each model for the judged rows numbered ``rows``, one table after another."""
        located = self.located[rows]
        log_ps = dict(self.predictor.log_p(rows, rows, located))
        yield from log_ps.items()
        for name in priors.PRIORS:
            log_p = self.location_priors.log_p(name, self.chosen.get(name, 0.0), rows)
            yield name, log_p
            yield f"image_x_{name}", combined_log_p(log_ps["image"], log_p, located)


def _models(
    site: Site, judged: Judged, features: np.ndarray, location_priors: LocationPriors, params: "Priors", seed: int, ratio: float
) -> _Models:
    """Return the models, with T, w and the priors' settings of least NLL on the located rows of role val.

    Where none of these rows has a P(y|I), T and w stay 1, and the priors' settings are those of the least NLL of P(y|x).
    """
    classes, folder = location_priors.classes, piece(seed, ratio)
    image = _once(
        image_of_rows(site.inputs["finetune-img"] / folder, judged, features, classes=classes), len(judged.row), classes
    )
    location = _once(_location_of_rows(site.inputs["finetune-loc"] / folder, judged), len(judged.row), classes)
    val = judged.roles["val"] & judged.located
    rows = (val & judged.imaged).nonzero()[:, 0]
    fitted = calibration.fit(lambda block: (image(block), location(block)), judged.label, rows, classes=classes)
    settings: dict[Prior, Sequence[float]] = {
        "histogram": params.histogram, "knn": params.knn, "distance_knn": params.distance_knn, "kde": params.kde,
    }  # fmt: skip
    image_or_uniform = image if len(rows) else lambda block: torch.zeros(len(block), classes, dtype=torch.float64)
    chosen = location_priors.choose(settings, image=image_or_uniform, label=judged.label, chooser=val)
    return _Models(Predictor(image, location, fitted), location_priors, judged.located, len(rows), chosen)


def image_of_rows(folder: Path, judged: Judged, features: np.ndarray, *, classes: int) -> LogP:
    """Return a function from numbers of judged rows to log P(y|I), of a classifier of stage finetune-img or as released.

    Args:
        folder: that of one seed and label ratio.
        judged: the rows.
        features: F*(I) of every row of the catalogue; only the rows in use are read. A fine-tuned network has left features of
            its own in the folder.
        classes: the number of classes.
    """
    released = read_released(folder, (len(features), classes))
    if released is not None:
        return lambda rows: _finite(released_log_p(released, judged.row[rows]), folder, "finetune-img")
    classifier = load_image_classifier(folder, remake=FINETUNE_IMG)
    own, row = _own_features(folder, judged) if isinstance(classifier, ImageHead) else (features, judged.row)
    image = ImagePredictor(classifier)
    return lambda rows: _finite(image(torch.from_numpy(own[row[rows].numpy()]).float()), folder, "finetune-img")


def _own_features(folder: Path, judged: Judged) -> tuple[np.ndarray, Int[Tensor, "n"]]:
    """Return the features of the network fine-tuned with the classifier, and which of their rows each judged row is."""
    features, rows = np.load(folder / "features.npy", mmap_mode="r"), torch.from_numpy(np.load(folder / "rows.npy"))
    place = torch.searchsorted(rows, judged.row).clamp(max=len(rows) - 1)
    if len(rows) != len(features) or not torch.equal(rows[place], judged.row):
        raise DataError(f"{folder / 'features.npy'} lacks some of the judged rows", hint=FINETUNE_IMG)
    return features, place


def _location_of_rows(folder: Path, judged: Judged) -> LogP:
    """Return a function from numbers of judged rows to log P(y|x), of a classifier of stage finetune-loc."""
    location = LocationPredictor(load_location_classifier(folder, remake="dvc repro finetune-loc"))
    return lambda rows: _finite(location(judged.lonlat[rows]), folder, "finetune-loc")


def _finite(log_p: Tensor, folder: Path, stage: str) -> Tensor:
    if not log_p.isfinite().all():
        raise DataError(f"the model in {folder} gives scores that are not finite", hint=f"dvc repro -f {stage}")
    return log_p


def _once(model: LogP, n: int, classes: int) -> LogP:
    """Return ``model``, or a look-up in its result for all ``n`` rows where these make one block."""
    blocks = row_blocks(torch.arange(n), classes)
    if len(blocks) > 1:
        return model
    table = model(blocks[0])
    return lambda rows: table[rows]


def _judge(models: _Models, judged: Judged) -> tuple[dict[str, Judgement], dict[str, Tensor]]:
    """Return every model's judgement of every judged row, and the best classes of ``MODELS``."""
    n, classes = len(judged.label), models.location_priors.classes
    judgements = {name: metrics.blank(n) for name in (*MODELS, *priors.PRIORS, *priors.PRODUCTS)}
    best = {name: torch.empty(n, min(TOP, classes), dtype=torch.int32) for name in MODELS}
    for rows in row_blocks(torch.arange(n), classes):
        for name, log_p in models.log_p(rows):
            judgements[name].put(rows, metrics.judge(log_p, judged.label[rows]))
            if name in MODELS:
                best[name][rows] = log_p.topk(min(TOP, classes), dim=1).indices.int()
    return judgements, best


def _score(scores: Scores, judged: Judged, judgement: Judgement, ratio: str, model: str, seed: int, *, classes: int) -> None:
    """Put the metrics of one model on every role into ``scores``; priors get fewer metrics."""
    kept = metrics.METRICS if model in MODELS else priors.METRICS
    for role, mask in judged.roles.items():
        rows = mask if model in IMAGELESS else mask & judged.imaged
        values = metrics.score(judgement.of(rows), judged.label[rows], classes=classes)
        scores[role, ratio, model, seed] = {name: values[name] for name in kept}


def _intervals(hits: dict[str, torch.Tensor], mask: torch.Tensor) -> dict[str, dict[str, float | int]]:
    """Return each of ``DIFFERENCES`` on the rows of ``mask``: points of top-1 with a 95 % paired bootstrap interval."""
    out: dict[str, dict[str, float | int]] = {}
    for a, b in DIFFERENCES:
        gap = paired_difference(hits[a][:, mask], hits[b][:, mask])
        numbers = {"mean": round(gap.mean, 4), "low": round(gap.low, 4), "high": round(gap.high, 4)}
        out[f"{a}_minus_{b}"] = numbers | {"rows": int(mask.sum()), "seeds": len(hits[a])}
    return out


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
