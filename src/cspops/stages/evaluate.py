"""evaluate: image, location and both combined, beside priors without learning, on validation and on both test sets."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cspops.data.catalogue import Observations, read_observations
from cspops.data.features import FeatureFile
from cspops.data.splits import ratio_key, read_few_shot, read_roles
from cspops.errors import DataError
from cspops.evaluation import calibration, combine, metrics, priors
from cspops.evaluation.bootstrap import paired_difference
from cspops.evaluation.priors import LocationPriors
from cspops.evaluation.regions import regions
from cspops.evaluation.summary import MODELS, Scores, summarise
from cspops.models.checkpoint import load_config, load_weights
from cspops.models.heads import LinearProbe
from cspops.models.loading import load_location_classifier
from cspops.stages.pieces import piece
from cspops.stages.predictions import Judged, predictions, schema
from cspops.stages.site import Site

if TYPE_CHECKING:
    from cspops.params.sections import Priors
    from cspops.params.views import EvaluateView

VALIDATION, TEST = ("val", "spatial_val"), ("test", "spatial_test")
DIFFERENCES = (("combined", "image"), ("calibrated", "combined"))
LogP = dict[str, torch.Tensor]


@torch.inference_mode()
def run(view: "EvaluateView", site: Site) -> None:
    """Write predictions.parquet and calibration.json, and metrics, validation, intervals and regions for reports/."""
    observations = read_observations(site.inputs["download"])
    judged, features = _judged(observations, site)
    scores: Scores = {}
    settings: dict[str, dict[str, Any]] = {}
    intervals: dict[str, dict[str, Any]] = {}
    places: dict[str, dict[str, Any]] = {}
    with pq.ParquetWriter(site.out / "predictions.parquet", schema(MODELS), compression="zstd") as writer:
        for ratio in view.label_ratios:
            key = ratio_key(ratio)
            hits: dict[str, list[torch.Tensor]] = {model: [] for model in MODELS}
            nearest_km: list[torch.Tensor] = []
            labelled, of_labelled = None, None
            for seed in view.seeds:
                few = read_few_shot(site.inputs["split"], observations.obs_id, seed=seed, ratio=ratio) & observations.located
                if of_labelled is None or labelled is None or not torch.equal(few, labelled):  # one set at ratio 1
                    labelled, of_labelled = few, _location_priors(observations, few, judged, view.priors)
                learned, fitted = _learned(site, judged, features, seed, ratio)
                for model, log_p in learned.items():
                    _score(scores, judged, log_p, metrics.METRICS, key, model, seed)
                chosen: dict[str, float] = {}
                for model, log_p, setting in _baselines(of_labelled, view.priors, learned["image"], judged):
                    _score(scores, judged, log_p, priors.METRICS, key, model, seed)
                    chosen |= {} if setting is None else {model: setting}
                settings.setdefault(key, {})[f"seed_{seed}"] = fitted | {"priors": chosen}
                writer.write_table(predictions(judged, learned, seed=seed, ratio=ratio))
                nearest_km.append(of_labelled.nearest_km)
                for model in MODELS:
                    hits[model].append(metrics.hits(learned[model], judged.label))
            of_ratio = {model: torch.stack(of_seeds) for model, of_seeds in hits.items()}
            for role, mask in judged.roles.items():
                if mask.any():
                    intervals.setdefault(role, {})[key] = _intervals(of_ratio, mask)
                if role in TEST and mask.any():
                    three = {model: hit[:, mask] for model, hit in of_ratio.items() if model != "calibrated"}
                    places.setdefault(role, {})[key] = regions(three, judged.lonlat[mask], torch.stack(nearest_km)[:, mask])
    ratios, models = [ratio_key(ratio) for ratio in view.label_ratios], [*MODELS, *priors.PRIORS, *priors.PRODUCTS]
    for file, roles in (("metrics.json", TEST), ("validation.json", VALIDATION)):
        _write(site.reports / file, summarise(scores, roles=roles, ratios=ratios, seeds=view.seeds, models=models))
    _write(site.reports / "intervals.json", {role: intervals[role] for role in (*TEST, *VALIDATION) if role in intervals})
    _write(site.reports / "regions.json", places)
    _write(site.out / "calibration.json", settings)


def _judged(observations: Observations, site: Site) -> tuple[Judged, torch.Tensor]:
    """The labelled rows of validation and test, and their image features."""
    roles = read_roles(site.inputs["split"], observations.obs_id)
    kept = torch.stack([roles[role] for role in (*VALIDATION, *TEST)]).any(0) & (observations.label >= 0)
    features = torch.from_numpy(FeatureFile(site.inputs["featurize"]).read(observations.obs_id)[kept.numpy()]).float()
    judged = Judged(
        pa.array(observations.obs_id).filter(kept.numpy()),
        observations.label[kept],
        observations.lonlat[kept],
        observations.located[kept],
        {role: roles[role][kept] for role in (*VALIDATION, *TEST)},
    )
    return judged, features


def _learned(
    site: Site, judged: Judged, features: torch.Tensor, seed: int, ratio: float
) -> tuple[LogP, dict[str, float | int]]:
    """log P of each of ``MODELS``, and how the calibrated product was fitted."""
    image = combine.image_log_p(_load_probe(site.inputs["finetune-img"] / piece(seed, ratio))(features))
    folder = site.inputs["finetune-loc"] / piece(seed, ratio)
    classifier = load_location_classifier(folder, remake="dvc repro finetune-loc")
    location = combine.location_log_p(classifier(judged.lonlat.nan_to_num()), judged.located, link=classifier.link)
    for stage, log_p in (("finetune-img", image), ("finetune-loc", location)):
        if not log_p.isfinite().all():
            folder = site.inputs[stage] / piece(seed, ratio)
            raise DataError(f"the model in {folder} gives scores that are not finite", hint=f"dvc repro -f {stage}")
    rows = judged.roles["val"] & judged.located
    fitted = calibration.fit(image[rows], location[rows], judged.label[rows])
    models = {
        "image": image,
        "location": location,
        "combined": combine.combined_log_p(image, location, judged.located),
        "calibrated": calibration.calibrated_log_p(image, location, judged.located, fitted),
    }
    numbers = {"temperature": round(fitted.temperature, 6), "location_weight": round(fitted.location_weight, 6)}
    return models, numbers | {"rows": int(rows.sum())}


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


def _baselines(
    of_labelled: LocationPriors, params: "Priors", image: torch.Tensor, judged: Judged
) -> Iterator[tuple[str, torch.Tensor, float | None]]:
    """Name and log P of each prior with the setting that validation chose, and of its product with the image."""
    settings = {"histogram": params.histogram, "knn": params.knn, "distance_knn": params.distance_knn, "kde": params.kde}
    for name in priors.PRIORS:
        setting = None
        if name in settings:
            setting = of_labelled.choose(name, settings[name], image=image, label=judged.label, chooser=judged.roles["val"])
        log_p = of_labelled.log_p(name, setting or 0.0)
        yield name, log_p, setting
        yield f"image_x_{name}", combine.combined_log_p(image, log_p, judged.located), None


def _score(scores: Scores, judged: Judged, log_p: torch.Tensor, kept: Sequence[str], ratio: str, model: str, seed: int) -> None:
    """Put the metrics ``kept`` of one model on every role into ``scores``."""
    for role, mask in judged.roles.items():
        every = metrics.score(log_p[mask], judged.label[mask])
        scores[role, ratio, model, seed] = {name: every[name] for name in kept}


def _intervals(hits: dict[str, torch.Tensor], mask: torch.Tensor) -> dict[str, dict[str, float | int]]:
    """Of each of ``DIFFERENCES`` on the rows of ``mask``: points of top-1 with a 95 % paired bootstrap interval."""
    out: dict[str, dict[str, float | int]] = {}
    for a, b in DIFFERENCES:
        found = paired_difference(hits[a][:, mask], hits[b][:, mask])
        numbers = {"mean": round(found.mean, 4), "low": round(found.low, 4), "high": round(found.high, 4)}
        out[f"{a}_minus_{b}"] = numbers | {"rows": int(mask.sum()), "seeds": len(hits[a])}
    return out


def _load_probe(folder: Path) -> LinearProbe:
    remake = "dvc repro finetune-img"
    probe = LinearProbe(**load_config(folder, remake=remake))
    load_weights(folder, probe, remake=remake)
    return probe.eval()


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
