"""The trained models scored on other labelled images, read a few at a time."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import fmean, stdev

import torch

from cspops.data.catalogue import read_observations
from cspops.data.json_files import Document
from cspops.data.splits import read_few_shot
from cspops.errors import DataError
from cspops.evaluation import metrics
from cspops.evaluation.groups import WITHIN_KM, by_density, by_land
from cspops.evaluation.metrics import MODELS, Judgement, Scores, summarise
from cspops.evaluation.per_class import per_class, sole_best
from cspops.evaluation.pool import Places
from cspops.evaluation.regions import regions
from cspops.library.inputs import Input
from cspops.library.labelled import ClassNames, LabelledRow, RowSorter
from cspops.library.model import Model
from cspops.library.seen import roles_of_images
from cspops.library.taxonomy import NONE, RollUp
from cspops.shapes import Float, Int, Tensor

BATCH = 64
"""Rows whose images are held at once."""
ROLE = "given"
NEVER = -1e9
"""log P of a class that is no candidate; a finite number keeps ranks whole."""


@dataclass(frozen=True)
class Scored:
    """The results of every scored row: some 24 bytes per row, model and seed, and no image."""

    label: Int[Tensor, "n"]
    lonlat: Float[Tensor, "n 2"]
    judgements: Mapping[tuple[str, int], Judgement]
    """By model and position of the seed among the seeds."""
    best: Mapping[tuple[str, int], Int[Tensor, "n"]]
    """As `per_class.sole_best` returns it, by the same keys."""


@dataclass
class _Growing:
    """A `Scored` before its last row."""

    label: list[Tensor] = field(default_factory=list)
    lonlat: list[Tensor] = field(default_factory=list)
    judgements: dict[tuple[str, int], list[Judgement]] = field(default_factory=dict)
    best: dict[tuple[str, int], list[Tensor]] = field(default_factory=dict)
    masked: Counter[tuple[str, int]] = field(default_factory=Counter)
    """How many rows have a best class that is no candidate."""

    dated: int = 0
    """How many rows have a date."""
    misdated: int = 0
    """How many have a date that is not used."""
    first_misdated: str = ""
    rolled: dict[tuple[str, int], list[tuple[Tensor, Tensor]]] = field(default_factory=dict)
    """Of the answers: steps above the class, and whether they are right."""

    def whole(self) -> Scored:
        judgements = {key: Judgement(*map(torch.cat, zip(*parts, strict=True))) for key, parts in self.judgements.items()}
        best = {key: torch.cat(parts).long() for key, parts in self.best.items()}
        return Scored(torch.cat(self.label), torch.cat(self.lonlat), judgements, best)


def score(
    models: Mapping[int, Model],
    rows: Iterable[Input],
    *,
    run: Path | None,
    unseen: bool = False,
    by_region: bool = False,
    by_class: bool = False,
    roll_up: RollUp | None = None,
) -> Document:
    """Score the models of every seed on labelled rows, and write nothing.

    Image, product and pool are computed as in stage evaluate: for a row without a position P(y|x) is uniform, and the
    image decides. Models without an image classifier are scored on rows with a position, by location and its pool; without
    a pool that is left out.

    Args:
        models: by seed; of one label ratio of a run, or one model.
        rows: with their labels.
        run: the artefacts of the models' run, which hold its labelled rows and its images' hashes; None: there is none.
        unseen: whether images that the models were trained, chosen or weighed with are left out.
        by_region: whether to score by latitude, cell and distance to the nearest labelled row as well.
        by_class: whether to score each class as well.
        roll_up: what makes coarser answers, which are scored as well.

    Returns:
        `weights` of the experts in words (None: as fitted), `rows`, `scored`, `not_scored` by reason, `scored_without_position`
        by reason, `images_of_the_run` by role (None where that is not known), `unseen`, `unknown_labels`, `respelled_labels`,
        `classes` with rows, `seeds`, `label_ratio`,
        `metrics` (model, metric, mean and sd over seeds, as in scores.json; no nll where the label of a row is no candidate),
        `dated`, the scored rows with a date (None: the models take none),
        `unusable_dates` (None, or how many `rows` have a date that is not used, and the `first` with the reason),
        `candidates` (None: all classes; else how many, and of how many rows the label, and the best class, is none),
        `rolled_up` (None, or per model coverage and accuracy of the answers), and `regions` and `per_class` where asked for.

    Raises:
        DataError: a model has no named classes or lacks an image classifier for `by_region`, no row can be scored,
            or ``unseen`` where the run does not know its images.
    """
    first = next(iter(models.values()))
    if first.classes is None or first.classifier is None:
        raise DataError("the model has no location classifier with named classes", hint="name a project's folder with --model")
    image = first.image if first.image is not None and first.image.head is not None else None
    if by_region and image is None:
        raise DataError(
            "--by compares the image alone with image and location: the model has no image classifier", hint="leave --by out"
        )
    roles = roles_of_images(run)
    if unseen and roles is None:
        raise DataError(
            "--unseen needs the hashes of the images that the model was trained on, which are not there",
            hint="name a whole run with --model, whose source's inspection is decode; or leave --unseen out",
        )
    sorter = RowSorter(ClassNames(first.classes), image, roles, unseen)
    growing = _Growing()
    source = sorter.scorable(rows)
    while part := list(islice(source, BATCH)):
        _add(growing, models, part, imaged=image is not None, roll_up=roll_up)
    sorter.require_rows(first.classes)
    scored = growing.whole()
    ratio = first.label_ratio if run is not None else None
    names = [name for name in MODELS if (name, 0) in scored.judgements]
    document = sorter.account(first.classes) | {
        "weights": str(first.weights) or None,
        "classes": len(scored.label.unique()),
        "classes_of_model": len(first.classes),
        "seeds": list(models) if run is not None else None,
        "label_ratio": ratio,
        "metrics": _metrics(scored, names, seeds=len(models), classes=len(first.classes)),
        "dated": growing.dated if first.takes_time else None,
        "unusable_dates": {"rows": growing.misdated, "first": growing.first_misdated} if growing.misdated else None,
        "candidates": None,
        "rolled_up": None if roll_up is None else _rolled(growing, names, roll_up, seeds=len(models)),
    }
    if first.candidates is not None:
        document["candidates"] = _candidates(growing, scored, models)
        if document["candidates"]["label_is_none"]:
            for scores in document["metrics"].values():
                del scores["nll"]
    if by_region:
        document["regions"] = _regions(scored, list(models), run, ratio)
    if by_class:
        every = {name: torch.stack([scored.best[name, seed] for seed in range(len(models))]) for name in names}
        document["per_class"] = per_class(every, scored.label, first.classes)
    return document


@torch.inference_mode()
def _add(
    growing: _Growing, models: Mapping[int, Model], rows: Sequence[LabelledRow], *, imaged: bool, roll_up: RollUp | None
) -> None:
    label = torch.tensor([row.label for row in rows])
    lonlat = torch.tensor([[row.input.lon, row.input.lat] for row in rows], dtype=torch.float64)
    growing.label.append(label)
    growing.lonlat.append(lonlat)
    when = torch.tensor([row.input.day.when for row in rows], dtype=torch.float64)
    growing.dated += int((~when.isnan()).sum())
    misdated = [row.input for row in rows if row.input.day.problem is not None]
    growing.misdated += len(misdated)
    if misdated:
        growing.first_misdated = growing.first_misdated or f"{misdated[0].where}: {misdated[0].day.problem}"
    features: dict[int, Tensor] = {}  # by network: seeds may share one
    squares = [row.square for row in rows if row.square is not None]
    for number, model in enumerate(models.values()):
        if imaged and model.image is not None and id(model.image.network) not in features:
            features[id(model.image.network)] = model.image.features_of_squares(squares)
        image_features = features[id(model.image.network)] if imaged and model.image is not None else None
        for name, log_p in model.log_p(image_features, lonlat, when=when):
            if name == "combined" and image_features is None:
                continue  # the product of one
            if not bool(log_p.isfinite().all()):
                where = " and ".join(map(str, model.folders))
                raise DataError(f"the model in {where} gives scores that are not finite", hint="dvc repro -f finetune-loc")
            if model.candidates is not None:
                growing.masked[name, number] += int((~torch.isin(log_p.argmax(1), torch.tensor(model.candidates))).sum())
                log_p = model.masked(log_p).clamp(min=NEVER)
            growing.judgements.setdefault((name, number), []).append(metrics.judge(log_p, label))
            growing.best.setdefault((name, number), []).append(sole_best(log_p).int())
            if roll_up is not None:
                answers = roll_up(log_p.exp())
                right = roll_up.taxonomy.holds(answers.taxon, label)
                growing.rolled.setdefault((name, number), []).append((answers.steps, right))


def _metrics(scored: Scored, names: Sequence[str], *, seeds: int, classes: int) -> Document:
    scores: Scores = {
        (ROLE, ROLE, name, seed): metrics.score(scored.judgements[name, seed], scored.label, classes=classes)
        for name in names
        for seed in range(seeds)
    }
    return summarise(scores, roles=(ROLE,), ratios=(ROLE,), seeds=range(seeds), models=names)[ROLE][ROLE]


def _rolled(growing: _Growing, names: Sequence[str], roll_up: RollUp, *, seeds: int) -> Document:
    """Return, per model, how many rows have an answer and how many answers are right, per cent, over all and by their steps."""
    depth = roll_up.taxonomy.chain.shape[1]
    models: dict[str, Document] = {}
    for name in names:
        runs = [tuple(map(torch.cat, zip(*growing.rolled[name, seed], strict=True))) for seed in range(seeds)]
        answered = [steps != NONE for steps, _ in runs]
        right = [
            100 * float(is_right[some].double().mean())
            for (_, is_right), some in zip(runs, answered, strict=True)
            if some.any()
        ]
        models[name] = {
            "coverage": _spread([100 * float(some.double().mean()) for some in answered]),
            "accuracy": _spread(right) if right else None,
            "by_steps": [_of_steps(runs, steps) for steps in range(depth)],
        }
    return {"min_confidence": roll_up.min_confidence, "models": models}


def _of_steps(runs: Sequence[tuple[Tensor, ...]], steps: int) -> Document:
    """Return the share of the rows whose answer lies so far above its class, and the accuracy of these, over all seeds."""
    here = torch.cat([above == steps for above, _ in runs])
    right = torch.cat([is_right for _, is_right in runs])[here]
    accuracy = round(100 * float(right.double().mean()), 4) if len(right) else None
    return {"steps": steps, "share": round(100 * float(here.double().mean()), 4), "accuracy": accuracy}


def _spread(values: Sequence[float]) -> Document:
    return {"mean": round(fmean(values), 4), "sd": round(stdev(values), 4) if len(values) > 1 else 0.0}


def _candidates(growing: _Growing, scored: Scored, models: Mapping[int, Model]) -> Document:
    """Return how many classes are candidates, of how many rows the label is none, and of how many the best class of each model.

    Candidates of a region may differ between seeds, and so the numbers are means.
    """
    lists = [torch.tensor(model.candidates or ()) for model in models.values()]
    names = dict.fromkeys(name for name, _ in growing.masked)
    return {
        "classes": fmean(len(one) for one in lists),
        "label_is_none": fmean(int((~torch.isin(scored.label, one)).sum()) for one in lists),
        "best_is_none": {name: fmean(growing.masked[name, seed] for seed in range(len(models))) for name in names},
    }


def _regions(scored: Scored, seeds: Sequence[int], run: Path | None, ratio: float | None) -> Document:
    """Return what regions.json holds of places, without `distance` and `density` where the labelled rows are unknown."""
    compared = [name for name in MODELS if (name, 0) in scored.judgements]
    hits = {name: torch.stack([scored.judgements[name, seed].hits for seed in range(len(seeds))]) for name in compared}
    near = _near(scored, seeds, run, ratio)
    by_kind = regions(hits, scored.lonlat, torch.zeros(hits["image"].shape) if near is None else near[0])
    if near is None:
        del by_kind["distance"]
    else:
        by_kind["density"] = by_density(hits, near[1], ~scored.lonlat.isnan().any(1))
    return by_kind | by_land(hits, scored.lonlat)


def _near(
    scored: Scored, seeds: Sequence[int], run: Path | None, ratio: float | None
) -> tuple[Float[Tensor, "seeds n"], Int[Tensor, "seeds n"]] | None:
    """Return the distance of each row to the nearest labelled row of each seed, and how many are within `WITHIN_KM`.

    Without a position they are nan and 0.
    """
    if run is None or ratio is None or not (run / "split" / "few_shot.parquet").is_file():
        return None
    observations, located = read_observations(run / "download"), ~scored.lonlat.isnan().any(1)
    nearest_km = torch.full((len(seeds), len(located)), torch.nan, dtype=torch.float64)
    within = torch.zeros(nearest_km.shape, dtype=torch.long)
    for number, seed in enumerate(seeds):
        few = read_few_shot(run / "split", observations.obs_id, seed=seed, ratio=ratio) & observations.located
        near = Places(observations.lonlat[few], observations.label[few]).near(scored.lonlat[located])
        nearest_km[number, located] = near.nearest_km
        within[number, located] = (near.km <= WITHIN_KM).sum(1)
    return nearest_km, within
