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
from cspops.library.inputs import Input
from cspops.library.model import NAMES, Guesses, Model, top_classes
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
TRUST = ("image_weight", "place_weight", "nearest_km")
"""What the pool trusted: the powers of P(y|I) and of P_n(y|x), and the distance to the nearest labelled place."""


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
    trust: dict[str, float | None]
    """`TRUST`, or nothing."""

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
        return about | guesses | self.trust


def predict(
    model: Model, rows: Iterator[Input], *, top: int, combine: Combine | None = None, trust: bool = False
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
        yield from _batch(model, part, model.classes, top=top, combine=chosen, trust=trust)


@torch.inference_mode()
def _batch(
    model: Model, rows: Sequence[Input], classes: Sequence[str], *, top: int, combine: Combine, trust: bool
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
    log_p = dict(model.log_p(features, lonlat, imaged=imaged))
    located = ~lonlat.isnan().any(1)
    predicted: dict[str, Tensor] = {combine: imaged, "image": imaged, "location": located}
    log_p[combine] = log_p.get(NAMES[combine], log_p["location"])  # no image can be read: no row has it
    best = {name: top_classes(log_p[name].exp(), classes, top) for name in predicted if name in log_p}
    trusted = _trusted(model, lonlat, imaged) if trust else [{} for _ in rows]
    for number, row in enumerate(rows):
        guesses = {name: classes_of[number] for name, classes_of in best.items() if bool(predicted[name][number])}
        yield Prediction(row, guesses, errors[number], combine, trusted[number])


def _trusted(model: Model, lonlat: Float[Tensor, "n 2"], imaged: Bool[Tensor, "n"]) -> list[dict[str, float | None]]:
    """Return `TRUST` of each row; None where there is no prediction of the pool, or no labelled place."""
    weights, km = model.trust(lonlat)
    rows = zip(weights.tolist(), km.tolist(), imaged.tolist(), strict=True)
    return [
        {
            "image_weight": image if has_image else None,
            "place_weight": place if has_image else None,
            "nearest_km": round(distance, 3) if isfinite(distance) else None,
        }
        for (image, place), distance, has_image in rows
    ]
