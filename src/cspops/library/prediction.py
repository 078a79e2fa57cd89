"""Predictions of the trained models for images that a user names, a few at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isfinite

import numpy as np
import torch

from cspops.data.json_files import Document
from cspops.errors import DataError
from cspops.library.combine import Combine
from cspops.library.expert_weights import FITTED
from cspops.library.inputs import Input
from cspops.library.model import NAMES, Guesses, Model, top_classes
from cspops.library.prediction_files import Columns
from cspops.library.taxonomy import NONE, RollUp
from cspops.pixels.unreadable import UnreadableImage
from cspops.shapes import Bool, Float, Tensor

BATCH = 64
"""Rows that are in memory at once."""
SAID: dict[Combine, str] = {
    "pool": "image, learned location and labelled neighbours, weighted on validation",
    "product": "P(y|I) P(y|x), as in the paper",
    "image": "the image alone",
    "location": "the learned location alone",
}
"""How image and location are put together, in words."""
TRUST = ("image_weight", "place_weight")
"""What the pool trusted: the powers of P(y|I) and of P_n(y|x)."""
NEAREST = "nearest_km"
"""The distance to the nearest labelled place of the model; nothing is known of what lies far from all of them."""

MASKED = "masked_best"
"""The class that would have come first and is no candidate; nothing where the best class is one."""


DATE = ("date", "date_from", "date_problem")
"""The day that was used (2024-06-15, or --date as it stands), whether `given`, from the `table`, the `file` or `none`, and why
what stands there is not used; of models that take time."""
ANSWER, ANSWER_P, STEPS = "answer", "answer_p", "rolled_up"
"""What is sure enough of what is asked for: the class, or the lowest taxon above it, its P, and how far above; else nothing."""


def columns_of(model: Model, combine: Combine, *, top: int, trust: bool, roll_up: RollUp | None = None) -> Columns:
    """Return the columns of the rows that `predict` yields."""
    texts = dict.fromkeys(DATE, model.takes_time)
    texts |= {"weights": model.weights != FITTED, MASKED: model.candidates is not None, ANSWER: roll_up is not None}
    numbers = [*((ANSWER_P, STEPS) if roll_up is not None else ()), *(TRUST if trust else ()), NEAREST]
    return Columns(models_of(combine), top, [name for name, is_there in texts.items() if is_there], numbers)


def models_of(combine: Combine) -> tuple[str, ...]:
    """Return what a row has guesses of: what is asked for, then image and location alone."""
    return tuple(dict.fromkeys((combine, "image", "location")))


@dataclass(frozen=True)
class Prediction:
    """One input and the best classes of each model that can predict for it."""

    input: Input
    guesses: dict[str, Guesses]
    error: str | None
    combine: Combine
    more: dict[str, str | float | None]
    """The texts and numbers of `columns_of`."""

    def as_dict(self) -> Document:
        """Return plain values for JSON and Parquet, None where there is nothing."""
        row = self.input
        located = not np.isnan(row.lon)
        about = {
            "where": row.where,
            "obs_id": row.obs_id,
            "lon": row.lon if located else None,
            "lat": row.lat if located else None,
            "position": row.position,
            "position_problem": row.problem,
            "error": self.error,
            "combine": self.combine,
        }
        guesses = {
            model: [{"class": name, "p": p} for name, p in self.guesses[model]] if model in self.guesses else None
            for model in models_of(self.combine)
        }
        return about | guesses | self.more


def predict(
    model: Model,
    rows: Iterator[Input],
    *,
    top: int,
    combine: Combine | None = None,
    trust: bool = False,
    roll_up: RollUp | None = None,
) -> Iterator[Prediction]:
    """Yield a `Prediction` for each row, in order; at most `BATCH` images are in memory.

    `pool` or `product` is what `Model.predict_proba` gives of image and position; a row without a position is judged by the
    image. A row whose image cannot be read has an `error` and the prediction of its position.

    Args:
        model: one with images and named classes.
        rows: what to predict for.
        top: the most guesses of each model.
        combine: as for `Model.predict_proba`.
        trust: whether rows say what the pool trusted.
        roll_up: what makes a coarser answer of what is not sure enough.

    Raises:
        DataError: the model lacks the names of its classes, an image classifier, or the pool that is asked for.
    """
    if model.classes is not None and model.classifier is not None and model.image is None:
        raise DataError(
            "the model has no image classifier: its image features came with the data, or are those of overhead images at "
            "their places (features: overhead_at_place), which a photo alone does not have",
            hint="cspops map and cspops embed need no image",
        )
    if model.classes is None or model.image is None or model.classifier is None:
        raise DataError("the model has no image classifier with named classes", hint="name a project's folder with --model")
    chosen = model.combination("pool" if trust else combine)
    while part := list(islice(rows, BATCH)):
        yield from _batch(model, part, model.classes, top=top, combine=chosen, trust=trust, roll_up=roll_up)


@torch.inference_mode()
def _batch(
    model: Model,
    rows: Sequence[Input],
    classes: Sequence[str],
    *,
    top: int,
    combine: Combine,
    trust: bool,
    roll_up: RollUp | None,
) -> Iterator[Prediction]:
    errors = [row.error for row in rows]
    squares: list[np.ndarray] = []
    imaged = torch.zeros(len(rows), dtype=torch.bool)
    assert model.image is not None
    for number, row in enumerate(rows):
        if row.image is None or errors[number] is not None:
            errors[number] = errors[number] or "no image"
            continue
        try:
            squares.append(model.image.square_of(row.image))
            imaged[number] = True
        except UnreadableImage as error:
            errors[number] = str(error)
    lonlat = torch.tensor([[row.lon, row.lat] for row in rows], dtype=torch.float64)
    features = model.image.features_of_squares(squares) if squares else None
    when = torch.tensor([row.day.when for row in rows], dtype=torch.float64) if model.takes_time else None
    log_p = dict(model.log_p(features, lonlat, when=when, imaged=imaged))
    located = ~lonlat.isnan().any(1)
    predicted: dict[str, Tensor] = {combine: imaged, "image": imaged, "location": located}
    log_p[combine] = log_p.get(NAMES[combine], log_p["location"])  # no image can be read: no row has it
    most = min(top, len(model.candidates or classes))
    best = {name: top_classes(model.masked(log_p[name]).exp(), classes, most) for name in predicted if name in log_p}
    more = _dates(rows) if model.takes_time else {}
    more |= _more(model, lonlat, imaged, trust=trust)
    if model.candidates is not None:
        more[MASKED] = _masked_best(log_p[combine], predicted[combine], classes, model.candidates)
    if roll_up is not None:
        p = model.masked(log_p[combine]).exp()
        more |= _answers(roll_up, p.where(predicted[combine][:, None], torch.nan))
    for number, row in enumerate(rows):
        guesses = {name: classes_of[number] for name, classes_of in best.items() if bool(predicted[name][number])}
        yield Prediction(row, guesses, errors[number], combine, {name: column[number] for name, column in more.items()})


def _dates(rows: Sequence[Input]) -> dict[str, list[str | float | None]]:
    """Return the columns `DATE`."""
    days = [row.day for row in rows]
    date, date_from, date_problem = DATE
    return {
        date: [day.text for day in days],
        date_from: [day.origin for day in days],
        date_problem: [day.problem for day in days],
    }


def _answers(roll_up: RollUp, p: Float[Tensor, "n q"]) -> dict[str, list[str | float | None]]:
    """Return the answer to each row, its probability and its steps above the class."""
    taxon, share, steps = (column.tolist() for column in roll_up(p))
    return {
        ANSWER: [None if number == NONE else roll_up.taxonomy.names[number] for number in taxon],
        ANSWER_P: [value if isfinite(value) else None for value in share],
        STEPS: [None if number == NONE else number for number in steps],
    }


def _masked_best(
    log_p: Float[Tensor, "n q"], predicted: Bool[Tensor, "n"], classes: Sequence[str], candidates: Sequence[int]
) -> list[str | float | None]:
    """Return the best class of all of each row where it is no candidate."""
    best = log_p.nan_to_num().argmax(1)
    masked = predicted & ~torch.isin(best, torch.tensor(candidates))
    return [classes[number] if is_masked else None for number, is_masked in zip(best.tolist(), masked.tolist(), strict=True)]


def _more(
    model: Model, lonlat: Float[Tensor, "n 2"], imaged: Bool[Tensor, "n"], *, trust: bool
) -> dict[str, list[str | float | None]]:
    """Return the columns of `columns_of`; None where there is no prediction of the pool, or no labelled place."""
    out: dict[str, list[str | float | None]] = {}
    if model.weights != FITTED:
        out["weights"] = [str(model.weights)] * len(lonlat)
    if trust:
        weights, _ = model.trust(lonlat)
        for name, column in zip(TRUST, weights.T.tolist(), strict=True):
            out[name] = [value if has_image else None for value, has_image in zip(column, imaged.tolist(), strict=True)]
    km = model.labelled_places.near(lonlat, k=1).nearest_km.tolist()
    return out | {NEAREST: [round(one, 3) if isfinite(one) else None for one in km]}
