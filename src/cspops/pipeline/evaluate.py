"""Stage evaluate: image, location, their product and the pool, beside priors without learning, on validation and test sets.

Tables of rows and classes are computed once, some rows at a time, and leave a few numbers per row.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cspops.data.catalogue import Observations, read_observations
from cspops.data.features import Features, read_features
from cspops.data.splits import piece, ratio_key, read_choosing, read_few_shot, read_roles
from cspops.errors import DataError
from cspops.evaluation import metrics, pool_fit, priors
from cspops.evaluation.bootstrap import paired_difference
from cspops.evaluation.metrics import MODELS, Judgement, Scores, Summary, summarise
from cspops.evaluation.pool import NEIGHBOURS, Neighbours, Places, Pool, write_pool
from cspops.evaluation.pool_fit import Choosers, Grid
from cspops.evaluation.predictions import TOP, Judged, predictions, schema
from cspops.evaluation.predictor import LogP, Predictor
from cspops.evaluation.priors import Choice, LocationPriors, Prior
from cspops.evaluation.regions import regions
from cspops.evaluation.released import predicted, read_released
from cspops.geo import along_a_curve
from cspops.kernels import keep_freed_memory, slices
from cspops.pipeline.judged_models import image_of_rows, location_of_rows, takes_time
from cspops.pipeline.side_by_side import side_by_side
from cspops.shapes import Bool, Tensor
from cspops.site import Site

if TYPE_CHECKING:
    from cspops.params.graph import EvaluateView
    from cspops.params.sections import Priors

log = logging.getLogger(__name__)


VALIDATION, TEST = ("val", "spatial_val"), ("test", "spatial_test")
DIFFERENCES = (("pool", "image"), ("pool", "combined"), ("combined", "image"))
AT_ONCE = 2**22
"""Numbers of a table of rows and classes that is made at once: 32 MB in float64."""
IMAGELESS = ("location", *priors.PRIORS)
"""The models that do not see the image."""


@torch.inference_mode()
def run(view: "EvaluateView", site: Site) -> None:
    """Write predictions.parquet, what validation chose, and what reports/ shows of both test sets and validation."""
    observations = read_observations(site.inputs["download"])
    judged = _judged(observations, view, site)
    features = read_features(site.inputs["featurize"], observations.obs_id)
    keep_freed_memory()
    judge = _judges(observations, judged, features, view, site)
    seeds, ratios = view.seeds, [ratio_key(ratio) for ratio in view.label_ratios]
    results = side_by_side(judge, [(ratio, seed) for ratio in view.label_ratios for seed in seeds], site.host)
    scores: Scores = {}
    intervals: dict[str, dict[str, Any]] = {}
    places: dict[str, dict[str, Any]] = {}
    with pq.ParquetWriter(site.out / "predictions.parquet", schema(MODELS), compression="zstd") as writer:
        for key in ratios:
            of_seeds = [next(results) for _ in seeds]
            for seed, result in zip(seeds, of_seeds, strict=True):
                writer.write_table(result.predictions)
                scores |= {(role, key, model, seed): values for (role, model), values in result.scores.items()}
            hits = {model: torch.from_numpy(np.stack([result.hits[model] for result in of_seeds])) for model in MODELS}
            nearest_km = torch.from_numpy(np.stack([result.nearest_km for result in of_seeds]))
            for role, mask in judged.roles.items():
                if (mask & judged.imaged).any():
                    intervals.setdefault(role, {})[key] = _intervals(hits, mask)
                if role in TEST and mask.any():
                    of_role = {model: hit[:, mask] for model, hit in hits.items()}
                    places.setdefault(role, {})[key] = regions(of_role, judged.lonlat[mask], nearest_km[:, mask])
    names = [*MODELS, *priors.PRIORS]
    test, validation = (
        summarise(scores, roles=roles, ratios=ratios, seeds=seeds, models=names) for roles in (TEST, VALIDATION)
    )
    _write(site.reports / "scores.json", test)
    _write(site.reports / "metrics.json", _headline(test))
    _write(site.reports / "validation.json", validation)
    _write(site.reports / "intervals.json", {role: intervals[role] for role in (*TEST, *VALIDATION) if role in intervals})
    _write(site.reports / "regions.json", places)


@dataclass(frozen=True)
class _Result:
    """What is known of one seed and label ratio; small, since it comes from another process."""

    predictions: pa.Table
    scores: dict[tuple[str, str], dict[str, float]]
    """By role and model."""
    hits: dict[str, np.ndarray]
    """Per model of `MODELS`, of each judged row."""
    nearest_km: np.ndarray
    """From each judged row to the nearest labelled place."""


def _judges(
    observations: Observations, judged: Judged, features: Features, view: "EvaluateView", site: Site
) -> Callable[[tuple[float, int]], _Result]:
    """Return what judges the models of a label ratio and seed, and writes what validation chose for them."""
    latest: list[tuple[Tensor, LocationPriors]] = []
    """With the labelled rows that they are of. At ratio 1 all seeds share one set."""
    dated = takes_time(site.inputs["finetune-loc"] / piece(view.seeds[0], view.label_ratios[0]))
    grid = Grid(view.pool.kernel_km, view.pool.count_weight, view.pool.kernel_days if dated else (None,))

    @torch.inference_mode()
    def judge(ratio_and_seed: tuple[float, int]) -> _Result:
        ratio, seed = ratio_and_seed
        few = read_few_shot(site.inputs["split"], observations.obs_id, seed=seed, ratio=ratio)
        if not latest or not torch.equal(few, latest[0][0]):
            latest.clear()  # before the next one is made: it may be large
            known = _places(observations, few & observations.located, dated=dated)
            latest.append((few, _location_priors(known, judged, view.priors, classes=len(observations.classes))))
        location_priors = latest[0][1]
        may_choose = read_choosing(site.inputs["split"], observations.obs_id, seed=seed, ratio=ratio)
        may_choose["labelled"] = torch.bincount(observations.label[few], minlength=len(observations.classes)) > 0
        models = _models(site, judged, features, location_priors, may_choose, piece(seed, ratio))
        pool = _fit(models, judged, grid)
        judgements, best, chosen = _judge(models, judged, pool, view.priors)
        if seed == view.seeds[0]:
            _say(pool, ratio_key(ratio), len(models.choosers.val))
        _write_chosen(site.out / piece(seed, ratio), pool, models, chosen)
        return _Result(
            predictions(judged, best, judgements, seed=seed, ratio=ratio),
            _scores(judged, judgements, classes=len(observations.classes)),
            {model: judgements[model].hits.numpy() for model in MODELS},
            location_priors.nearest_km.numpy(),
        )

    return judge


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
        observations.when[kept],
        observations.located[kept],
        imaged[kept],
        {role: mask[kept] for role, mask in masks.items()},
    )


@dataclass(frozen=True)
class _Models:
    """The experts of one seed and label ratio, and which rows choose."""

    image: LogP
    """Takes numbers of judged rows, and so does `location`."""
    location: LogP
    priors: LocationPriors
    near: Neighbours
    choosers: Choosers
    prior_chooser: Bool[Tensor, "n"]


def _places(observations: Observations, few: Bool[Tensor, "n"], *, dated: bool) -> Places:
    """Return labelled places, with their dates where a location classifier takes them."""
    when = observations.when[few] if dated else None
    return Places(observations.lonlat[few].double(), observations.label[few], when)


def _location_priors(places: Places, judged: Judged, params: "Priors", *, classes: int) -> LocationPriors:
    return LocationPriors(
        places,
        judged.lonlat,
        judged.when,
        classes=classes,
        pseudo_count=params.pseudo_count,
        most_neighbours=max(NEIGHBOURS, *params.knn, *params.distance_knn),
    )


def _models(
    site: Site,
    judged: Judged,
    features: Features,
    location_priors: LocationPriors,
    may_choose: dict[str, Tensor],
    folder: Path,
) -> _Models:
    """Return the models in ``folder`` of both stages.

    Args:
        may_choose: which rows of the catalogue may choose: a mask for val and one for spatial_val, and of ``labelled``
            classes, one per class.
        folder: that of one seed and label ratio.
    """
    classes, device = location_priors.classes, site.host.torch_device()
    image = image_of_rows(site.inputs["finetune-img"] / folder, judged, features, classes=classes, device=device)
    location = location_of_rows(site.inputs["finetune-loc"] / folder, judged, device=device)
    val, spatial_val = (judged.roles[role] & may_choose[role][judged.row] for role in VALIDATION)
    informed = judged.imaged & may_choose["labelled"][judged.label]
    choosers = Choosers(
        *(
            (mask & informed).nonzero()[:, 0]
            for mask in (val & judged.located, spatial_val & judged.located, val & ~judged.located)
        )
    )
    near = location_priors.neighbours.first(NEIGHBOURS)
    prior_chooser = torch.zeros_like(val)
    prior_chooser[pool_fit.evenly((val & judged.located).nonzero()[:, 0], location_priors.classes)] = True
    return _Models(image, location, location_priors, near, choosers, prior_chooser)


def _fit(models: _Models, judged: Judged, grid: Grid) -> Pool:
    def log_ps(rows: Tensor) -> tuple[Tensor, Tensor]:
        return models.image(rows), models.location(rows)

    return pool_fit.fit(log_ps, judged.label, models.near, models.choosers, grid, classes=models.priors.classes)


def _judge(
    models: _Models, judged: Judged, pool: Pool, params: "Priors"
) -> tuple[dict[str, Judgement], dict[str, Tensor], dict[Prior, float]]:
    """Return every model's judgement of every judged row, the best classes of ``MODELS``, and the setting of each prior.

    The rows are taken in an order in which those that choose come first, and neighbours on the map together: kernels reach
    few labelled rows then.
    """
    n, classes = len(judged.label), models.priors.classes
    judgements = {name: metrics.blank(n) for name in (*MODELS, *priors.PRIORS)}
    best = {name: torch.empty(n, min(TOP, classes), dtype=torch.int32) for name in MODELS}
    settings: dict[Prior, Sequence[float]] = {
        "histogram": params.histogram, "knn": params.knn, "distance_knn": params.distance_knn, "kde": params.kde,
    }  # fmt: skip
    choice = Choice(models.priors, settings, label=judged.label, chooser=models.prior_chooser)
    informed = bool((judged.imaged & models.prior_chooser).any())  # all rows that choose have a P(y|I) then
    order = along_a_curve(judged.lonlat)
    order = torch.cat((order[models.prior_chooser[order]], order[~models.prior_chooser[order]]))
    parts = order.split(max(1, AT_ONCE // classes))
    for rows in parts:
        image, location, near = models.image(rows), models.location(rows), models.near.of(rows)
        predictor = Predictor(image.__getitem__, location.__getitem__, pool, near.of)
        for here in slices(len(rows), classes):
            some = rows[here]
            for name, log_p in predictor.log_p(here, here, judged.located[some]):
                values, classes_of = metrics.best_classes(log_p, TOP)
                judgements[name].put(some, metrics.judge(log_p, judged.label[some], top=values[:, 0]))
                best[name][some] = classes_of.int()
        choice.add(rows, image if informed else torch.zeros_like(image))
    chosen = choice.chosen()
    for name in priors.PRIORS:
        for rows in parts:
            judgements[name].put(rows, models.priors.judge(name, chosen.get(name, 0.0), rows, judged.label[rows]))
    return judgements, best, chosen


def _scores(judged: Judged, judgements: dict[str, Judgement], *, classes: int) -> dict[tuple[str, str], dict[str, float]]:
    """Return the metrics of every model on every role; priors get fewer metrics."""
    out = {}
    for model, judgement in judgements.items():
        kept = metrics.METRICS if model in MODELS else priors.METRICS
        for role, mask in judged.roles.items():
            rows = mask if model in IMAGELESS else mask & judged.imaged
            values = metrics.score(judgement.of(rows), judged.label[rows], classes=classes)
            out[role, model] = {name: values[name] for name in kept}
    return out


def _headline(scores: Summary) -> dict[str, dict[str, dict[str, float]]]:
    """Return the tree of metrics.json: top-1 of product and pool, the mean over seeds, on the first test set that has rows."""
    return {
        role: {
            ratio: {model: models[model]["top1"]["mean"] for model in ("combined", "pool")} for ratio, models in ratios.items()
        }
        for role, ratios in list(scores.items())[:1]
    }


def _intervals(hits: dict[str, torch.Tensor], mask: torch.Tensor) -> dict[str, dict[str, float | int]]:
    """Return each of ``DIFFERENCES`` on the rows of ``mask``: points of top-1 with a 95 % paired bootstrap interval."""
    out: dict[str, dict[str, float | int]] = {}
    for a, b in DIFFERENCES:
        gap = paired_difference(hits[a][:, mask], hits[b][:, mask])
        numbers = {"mean": round(gap.mean, 4), "low": round(gap.low, 4), "high": round(gap.high, 4)}
        out[f"{a}_minus_{b}"] = numbers | {"rows": int(mask.sum()), "seeds": len(hits[a])}
    return out


def _write_chosen(folder: Path, pool: Pool, models: _Models, chosen: dict[Prior, float]) -> None:
    """Write the pool with its labelled places, and chosen.json: how many rows chose, and the priors' settings."""
    write_pool(folder, pool, models.priors.places)
    rows = {field: len(getattr(models.choosers, field)) for field in ("val", "spatial_val", "alone")}
    _write(folder / "chosen.json", {"rows": rows, "priors": chosen})


def _say(pool: Pool, key: str, val_rows: int) -> None:
    """Log what the pool of a label ratio trusts."""
    if val_rows == 0:
        log.warning(f"evaluate: {key}: no labelled row of role val can choose: the pool is the plain product")
        return
    (a, a_far), (b, b_far) = pool.image, pool.place
    far = "" if pool.fade_km is None else f", far from labels {a_far:.2f} and {b_far:.2f}"
    days = "" if pool.kernel_days is None else f" and {pool.kernel_days:g} days of the year"
    log.info(
        f"evaluate: {key}: the pool trusts the image {a:.2f}, the place {b:.2f}{far}; "
        f"a labelled neighbour counts {pool.count_weight:g}, within about {pool.kernel_km:g} km{days}"
    )


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
