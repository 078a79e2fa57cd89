"""Predictions of the trained models for images that a user names, a few at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from cspops.data.json_files import Document
from cspops.errors import DataError
from cspops.library.inputs import Input
from cspops.library.model import Model, top_classes
from cspops.pixels.unreadable import UnreadableImage

BATCH = 64
"""Rows that are in memory at once."""
MODELS = ("combined", "image", "location")

Guesses = list[tuple[str, float]]
"""Names of classes with their probabilities, best first."""


@dataclass(frozen=True)
class Prediction:
    """One input and the best classes of each model that can predict for it."""

    input: Input
    guesses: dict[str, Guesses]
    error: str | None

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
        }
        guesses = {
            model: [{"class": name, "p": p} for name, p in self.guesses[model]] if model in self.guesses else None
            for model in MODELS
        }
        return about | guesses


def predict(model: Model, rows: Iterator[Input], *, top: int, calibrated: bool = False) -> Iterator[Prediction]:
    """Yield a `Prediction` for each row, in order; at most `BATCH` images are in memory.

    `combined` is P(y|I) P(y|x) (or the calibrated product), and P(y|I) for a row without a position. A row whose image
    cannot be read has an `error` and the prediction of its position.

    Raise a DataError where the model lacks the names of its classes or an image classifier.
    """
    if model.classes is None or model.image is None or model.classifier is None:
        raise DataError("the model has no image classifier with named classes", hint="name a project's folder with --model")
    if calibrated and model.calibration is None:
        raise DataError("the model was not evaluated: it has no calibration", hint="dvc repro evaluate")
    while part := list(islice(rows, BATCH)):
        yield from _batch(model, part, model.classes, top=top, calibrated=calibrated)


@torch.inference_mode()
def _batch(model: Model, rows: Sequence[Input], classes: Sequence[str], *, top: int, calibrated: bool) -> Iterator[Prediction]:
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
    if calibrated and features is not None:
        log_p["combined"] = log_p["calibrated"]
    predicted = {"image": imaged, "location": ~lonlat.isnan().any(1), "combined": imaged}
    best = {name: top_classes(log_p[name].exp(), classes, top) for name in predicted if name in log_p}
    for number, row in enumerate(rows):
        guesses = {name: classes_of[number] for name, classes_of in best.items() if bool(predicted[name][number])}
        yield Prediction(row, guesses, errors[number])
