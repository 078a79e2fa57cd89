"""What the trained models say of images that a user names, a few at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from cspops.data.json_files import Document
from cspops.errors import DataError
from cspops.library.asked import Asked
from cspops.library.model import Model, top_classes
from cspops.pixels.unreadable import UnreadableImage

BATCH = 64
"""Rows that are held at once."""
MODELS = ("combined", "image", "location")

Guesses = list[tuple[str, float]]
"""Names of classes with their probabilities, best first."""


@dataclass(frozen=True)
class Prediction:
    """One row asked about and, of each model that can say something, its best classes."""

    asked: Asked
    guesses: dict[str, Guesses]
    error: str | None

    def as_dict(self) -> Document:
        """For JSON and Parquet; None stands where there is nothing."""
        row = self.asked
        placed = not np.isnan(row.lon)
        about = {
            "where": row.where,
            "lon": row.lon if placed else None,
            "lat": row.lat if placed else None,
            "position": row.position,
            "position_problem": row.problem,
            "error": self.error,
        }
        of_models = {
            model: [{"class": name, "p": p} for name, p in self.guesses[model]] if model in self.guesses else None
            for model in MODELS
        }
        return about | of_models


def predict(model: Model, rows: Iterator[Asked], *, top: int, calibrated: bool = False) -> Iterator[Prediction]:
    """A `Prediction` for each row, in order, as they are asked for; at most `BATCH` images are in memory.

    `combined` is P(y|I) P(y|x) (or the calibrated product), of a row without a position the image alone; an image that
    cannot be read leaves `error`, and what the position says.

    DataError where the model lacks the names of its classes or an image classifier.
    """
    if model.classes is None or model.image is None or model.classifier is None:
        raise DataError("the model has no image classifier with named classes", hint="name a project's folder with --model")
    if calibrated and model.calibration is None:
        raise DataError("the model was not evaluated: it has no calibration", hint="dvc repro evaluate")
    while part := list(islice(rows, BATCH)):
        yield from _batch(model, part, model.classes, top=top, calibrated=calibrated)


@torch.inference_mode()
def _batch(model: Model, rows: Sequence[Asked], classes: Sequence[str], *, top: int, calibrated: bool) -> Iterator[Prediction]:
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
    there = {"image": imaged, "location": ~lonlat.isnan().any(1), "combined": imaged}
    best = {name: top_classes(log_p[name].exp(), classes, top) for name in there if name in log_p}
    for number, row in enumerate(rows):
        guesses = {name: classes_of[number] for name, classes_of in best.items() if bool(there[name][number])}
        yield Prediction(row, guesses, errors[number])
