"""Stage evaluate: image, location, their product and the pool, beside priors without learning, on validation and test sets.

Tables of rows and classes are computed once, a part of the rows at a time, and leave a few numbers per row. Several
processes take turns with the parts; the first one chooses the pool, and writes.
"""

import dataclasses
import json
import logging
from collections import deque
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
from cspops.evaluation.bootstrap import paired_differences
from cspops.evaluation.groups import WITHIN_KM
from cspops.evaluation.metrics import FUSION, MODELS, Judgement, Scores, Summary, summarise
from cspops.evaluation.model_tables import model_tables
from cspops.evaluation.pool import NEIGHBOURS, Neighbours, Places, Pool, PoolEntry, write_pool
from cspops.evaluation.pool_fit import Choosers, Grid
from cspops.evaluation.predictions import TOP, Judged, predictions, schema
from cspops.evaluation.predictor import LogP, image_log_p, location_log_p
from cspops.evaluation.priors import Choice, LocationPriors, Prior
from cspops.evaluation.released import predicted, read_released
from cspops.kernels import keep_freed_memory, slices
from cspops.models.location_encoder import Link
from cspops.pipeline import judged_parts
from cspops.pipeline.judged_models import (
    ScoresOf,
    fusion_of_rows,
    image_of_rows,
    location_of_rows,
    names_of_models,
    takes_time,
)
from cspops.pipeline.judged_places import by_place, effort_of
from cspops.pipeline.side_by_side import side_by_side
from cspops.shapes import Bool, Float, Int, Tensor
from cspops.site import Site

if TYPE_CHECKING:
    from cspops.params.graph import EvaluateView
    from cspops.params.sections import Priors
    from cspops.ranks import Processes

log = logging.getLogger(__name__)

VALIDATION, TEST = ("val", "spatial_val"), ("test", "spatial_test")
DIFFERENCES = (("pool", "image"), ("pool", "combined"), ("combined", "image"), (FUSION, "combined"), ("pool", FUSION))
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
    if not site.processes.first:
        deque(results, maxlen=0)
        return
    scores: Scores = {}
    intervals: dict[str, dict[str, Any]] = {}
    places: dict[str, dict[str, Any]] = {}
    models = names_of_models(site.inputs["finetune-loc"] / piece(seeds[0], view.label_ratios[0]))
    with pq.ParquetWriter(site.out / "predictions.parquet", schema(models), compression="zstd") as writer:
        for key in ratios:
            of_seeds = [next(results) for _ in seeds]
            for seed, result in zip(seeds, of_seeds, strict=True):
                writer.write_table(result.predictions)
                scores |= {(role, key, model, seed): values for (role, model), values in result.scores.items()}
            hits = {model: torch.from_numpy(np.stack([result.hits[model] for result in of_seeds])) for model in models}
            nearest_km, within = (
                torch.from_numpy(np.stack([getattr(result, name) for result in of_seeds])) for name in ("nearest_km", "within")
            )
            for role, mask in judged.roles.items():
                if (mask & judged.imaged).any():
                    intervals.setdefault(role, {})[key] = _intervals(hits, mask)
                if role in TEST and mask.any():
                    of_role = {model: hit[:, mask] for model, hit in hits.items()}
                    efforts = [result.effort[role] for result in of_seeds if role in result.effort]
                    near = nearest_km[:, mask], within[:, mask]
                    places.setdefault(role, {})[key] = by_place(of_role, judged.lonlat[mask], *near, efforts)
    names = [*models, *priors.PRIORS]
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
    """Per model of `names_of_models`, of each judged row."""
    nearest_km: np.ndarray
    """From each judged row to the nearest labelled place."""
    within: np.ndarray
    """How many labelled places lie near each judged row."""
    effort: dict[str, dict[str, float | int]]
    """By test set, as `effort_correlation` returns it for the location model."""


def _judges(
    observations: Observations, judged: Judged, features: Features, view: "EvaluateView", site: Site
) -> Callable[[tuple[float, int]], _Result]:
    """Return what judges the models of a label ratio and seed, and writes what validation chose for them."""
    train = read_roles(site.inputs["split"], observations.obs_id)["train"]
    training = observations.lonlat[train & observations.located]
    latest: list[tuple[Tensor, Tensor, LocationPriors]] = []
    """With the labelled rows that they are of, and the rows they are asked about. At ratio 1 all seeds share one set."""
    n, classes, processes = len(judged.label), len(observations.classes), site.processes
    dated = takes_time(site.inputs["finetune-loc"] / piece(view.seeds[0], view.label_ratios[0]))
    grid = Grid(view.pool.kernel_km, view.pool.count_weight, view.pool.kernel_days if dated else (None,))

    @torch.inference_mode()
    def judge(ratio_and_seed: tuple[float, int]) -> _Result:
        ratio, seed = ratio_and_seed
        few = read_few_shot(site.inputs["split"], observations.obs_id, seed=seed, ratio=ratio)
        may_choose = read_choosing(site.inputs["split"], observations.obs_id, seed=seed, ratio=ratio)
        may_choose["labelled"] = labelled = torch.bincount(observations.label[few], minlength=classes) > 0
        choosers, prior_chooser = judged_parts.choosers(judged, may_choose, classes)
        parts = judged_parts.parts(judged, prior_chooser, max(1, AT_ONCE // classes))[processes.rank :: processes.size]
        asked = judged_parts.asked(n, parts, choosers.thinned(classes), processes)
        if not latest or not (torch.equal(few, latest[0][0]) and torch.equal(asked, latest[0][1])):
            latest.clear()  # before the next one is made: it may be large
            known = _places(observations, few & observations.located, dated=dated)
            latest.append((few, asked, _location_priors(known, judged, asked, view.priors, classes=classes)))
        location_priors = latest[0][2]
        models = _models(site, judged, features, location_priors, (choosers, prior_chooser, parts), piece(seed, ratio))
        pool = _fit(models, judged, grid, processes)
        judgements, best, chosen = _judge(models, judged, pool, view.priors, processes)
        nearest_km, within = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.long)
        for rows in parts:
            nearest_km[rows] = location_priors.nearest_km(rows)
            within[rows] = (location_priors.near(rows).km <= WITHIN_KM).sum(1)
        judged_parts.join([nearest_km, within], processes)
        if seed == view.seeds[0]:
            _say(pool, ratio_key(ratio), len(choosers.val))
        _write_chosen(site.out / piece(seed, ratio), pool, models, chosen)
        return _Result(
            predictions(judged, best, judgements, seed=seed, ratio=ratio),
            _scores(judged, judgements, classes=classes),
            {model: judgements[model].hits.numpy() for model in best},
            nearest_km.numpy(),
            within.numpy(),
            effort_of(judged, models.location_log_p, training, labelled.nonzero()[:, 0]) if processes.first else {},
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

    image: ScoresOf
    location: ScoresOf
    link: Link
    """How the scores of `location` become P(y|x)."""
    fusion: LogP | None
    located: Bool[Tensor, "n"]
    priors: LocationPriors
    choosers: Choosers
    prior_chooser: Bool[Tensor, "n"]
    parts: Sequence[Tensor]
    """Numbers of judged rows that this process judges, some at a time."""

    def near(self, rows: Int[Tensor, "b"]) -> Neighbours:
        """Return the labelled rows that the pool counts."""
        return self.priors.near(rows, NEIGHBOURS)

    def image_log_p(self, rows: Int[Tensor, "b"]) -> Float[Tensor, "b q"]:
        """Return log P(y|I)."""
        return image_log_p(self.image(rows))

    def location_log_p(self, rows: Int[Tensor, "b"]) -> Float[Tensor, "b q"]:
        """Return log P(y|x), uniform without a position."""
        return location_log_p(self.location(rows), self.located[rows], link=self.link)


def _places(observations: Observations, few: Bool[Tensor, "n"], *, dated: bool) -> Places:
    """Return labelled places, with their dates where a location classifier takes them."""
    when = observations.when[few] if dated else None
    return Places(observations.lonlat[few].double(), observations.label[few], when)


def _location_priors(
    places: Places, judged: Judged, asked: Int[Tensor, "m"], params: "Priors", *, classes: int
) -> LocationPriors:
    return LocationPriors(
        places,
        judged.lonlat,
        judged.when,
        classes=classes,
        pseudo_count=params.pseudo_count,
        most_neighbours=max(NEIGHBOURS, *params.knn, *params.distance_knn),
        asked=asked,
    )


def _models(
    site: Site,
    judged: Judged,
    features: Features,
    location_priors: LocationPriors,
    rows: tuple[Choosers, Tensor, Sequence[Tensor]],
    folder: Path,
) -> _Models:
    """Return the models in ``folder``, that of one seed and label ratio, of both stages."""
    classes, device = location_priors.classes, site.host.torch_device()
    image = image_of_rows(site.inputs["finetune-img"] / folder, judged, features, classes=classes, device=device)
    location, link = location_of_rows(site.inputs["finetune-loc"] / folder, judged, device=device)
    fusion = fusion_of_rows(site.inputs["finetune-loc"] / folder, judged, features, device=device)
    return _Models(image, location, link, fusion, judged.located, location_priors, *rows)


def _fit(models: _Models, judged: Judged, grid: Grid, processes: "Processes") -> Pool:
    """Return the pool that the first process fits: on a bounded number of rows, and with the same bits for all."""

    def log_ps(rows: Tensor) -> tuple[Tensor, Tensor]:
        return models.image_log_p(rows), models.location_log_p(rows)

    def fitted() -> Pool:
        return pool_fit.fit(log_ps, judged.label, models.near, models.choosers, grid, classes=models.priors.classes)

    told = processes.told(json.dumps(dataclasses.asdict(fitted())).encode() if processes.first else None)
    return PoolEntry.model_validate_json(told or b"").pool()


def _judge(
    models: _Models, judged: Judged, pool: Pool, params: "Priors", processes: "Processes"
) -> tuple[dict[str, Judgement], dict[str, Tensor], dict[Prior, float]]:
    """Return every model's judgement of every judged row, the best classes of each, and the setting of each prior."""
    n, classes = len(judged.label), models.priors.classes
    names = MODELS if models.fusion is None else (*MODELS, FUSION)
    judgements = {name: metrics.blank(n) for name in (*names, *priors.PRIORS)}
    best = {name: torch.zeros(n, min(TOP, classes), dtype=torch.int32) for name in names}
    settings: dict[Prior, Sequence[float]] = {
        "histogram": params.histogram, "knn": params.knn, "distance_knn": params.distance_knn, "kde": params.kde,
    }  # fmt: skip
    choice = Choice(models.priors, settings, label=judged.label, chooser=models.prior_chooser)
    informed = bool((judged.imaged & models.prior_chooser).any())  # all rows that choose have a P(y|I) then
    for rows in models.parts:
        image, location, near = models.image(rows), models.location(rows), models.near(rows)
        fusion = None if models.fusion is None else models.fusion(rows)
        for here in slices(len(rows), classes):
            some, fused = rows[here], None if fusion is None else fusion[here]
            of_slice = image[here], location[here], judged.located[some]
            for name, table in model_tables(*of_slice, link=models.link, pool=pool, near=near.of(here), fusion=fused):
                judgement, classes_of = table.judge(judged.label[some], TOP)
                judgements[name].put(some, judgement)
                best[name][some] = classes_of.int()
        if models.prior_chooser[rows].any():
            choice.add(rows, image_log_p(image) if informed else torch.zeros_like(image, dtype=torch.float64))
    judged_parts.join([*choice.nll.values()], processes)
    chosen = choice.chosen()
    for name in priors.PRIORS:
        for rows in models.parts:
            judgements[name].put(rows, models.priors.judge(name, chosen.get(name, 0.0), rows, judged.label[rows]))
    judged_parts.join([*best.values(), *(numbers for one in judgements.values() for numbers in one)], processes)
    return judgements, best, chosen


def _scores(judged: Judged, judgements: dict[str, Judgement], *, classes: int) -> dict[tuple[str, str], dict[str, float]]:
    """Return the metrics of every model on every role; priors get fewer metrics."""
    out = {}
    for model, judgement in judgements.items():
        kept = priors.METRICS if model in priors.PRIORS else metrics.METRICS
        for role, mask in judged.roles.items():
            rows = mask if model in IMAGELESS else mask & judged.imaged
            values = metrics.score(judgement.of(rows), judged.label[rows], classes=classes)
            out[role, model] = {name: values[name] for name in kept}
    return out


def _headline(scores: Summary) -> dict[str, dict[str, dict[str, float]]]:
    """Return the tree of metrics.json: top-1 of product, pool and fusion, the mean over seeds, on the first test set."""
    return {
        role: {
            ratio: {one: models[one]["top1"]["mean"] for one in ("combined", "pool", FUSION) if one in models}
            for ratio, models in ratios.items()
        }
        for role, ratios in list(scores.items())[:1]
    }


def _intervals(hits: dict[str, torch.Tensor], mask: torch.Tensor) -> dict[str, dict[str, float | int]]:
    """Return each of ``DIFFERENCES`` on the rows of ``mask``: points of top-1 with a 95 % paired bootstrap interval."""
    out: dict[str, dict[str, float | int]] = {}
    pairs = [(a, b) for a, b in DIFFERENCES if hits.keys() >= {a, b}]
    gaps = paired_differences([(hits[a][:, mask], hits[b][:, mask]) for a, b in pairs])
    for (a, b), gap in zip(pairs, gaps, strict=True):
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
