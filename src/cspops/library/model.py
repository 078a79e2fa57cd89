"""A trained model in one's own code: embeddings of places and images, and probabilities of classes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cspops.errors import DataError
from cspops.evaluation import combine
from cspops.evaluation.calibration import Calibration, calibrated_log_p
from cspops.evaluation.row_blocks import row_blocks
from cspops.library.points import as_lonlat, like
from cspops.models.location_classifier import LocationClassifier
from cspops.models.location_encoder import LocationEncoder
from cspops.shapes import Bool, Float, Tensor

if TYPE_CHECKING:
    from cspops.library.image_model import ImageModel

ROWS = 8192
"""Positions that are embedded at once."""


@dataclass(frozen=True)
class Model:
    """What a folder of models can do; parts that it lacks are None. Everything is in eval mode, and no gradient is kept.

    Tensors are answered with tensors, arrays and lists with arrays. Positions are degrees, longitude first (WGS84);
    batches may have any size, also none.
    """

    encoder: LocationEncoder
    classifier: LocationClassifier | None = None
    image: "ImageModel | None" = None
    classes: tuple[str, ...] | None = None
    """Names of the classes, in the order of the probabilities."""
    calibration: Calibration | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    folders: tuple[Path, ...] = ()
    """What it was read from."""

    @torch.inference_mode()
    def encode_location(self, lonlat: Any) -> Any:
        """Location embeddings e(x), float32 (n, d), of positions (n, 2); nan where a position is nan.

        DataError for what is no position (see `points.as_lonlat`).
        """
        points = as_lonlat(lonlat)
        parts = [self.encoder(some.to(self.device)).cpu() for some in points.nan_to_num().split(ROWS)]
        found = torch.cat(parts) if parts else torch.empty(0, self.encoder.dim)
        return like(found.where(~points.isnan().any(1, keepdim=True), torch.nan), lonlat)

    def encode_image(self, images: Any) -> Any:
        """Image features F(I), float32 (n, k): of the fine-tuned network where there is one, else of the frozen F*.

        ``images`` are paths, bytes or PIL images in a list, or uint8 (n, h, w, 3). DataError without an image network.
        """
        return like(self._image().features(images), images)

    @torch.inference_mode()
    def predict_proba(self, images: Any = None, lonlat: Any = None, *, calibrated: bool = False) -> Any:
        """Probabilities of the classes, float64 (n, q): P(y|I) P(y|x) of both, else P(y|I) of images or P(y|x) of positions.

        Args:
            images: as for `encode_image`, or None.
            lonlat: positions (n, 2), or None; a row of nan is judged by its image alone (uniform without an image).
            calibrated: softmax(z / T) P(y|x)^w with T and w fitted on validation, instead of the plain product.

        Raises:
            DataError: neither is given, their numbers differ, or the model lacks a part that is asked for.
        """
        if images is None and lonlat is None:
            raise DataError("neither images nor positions are given", hint="predict_proba(images, lonlat)")
        if calibrated and (images is None or lonlat is None or self.calibration is None):
            raise DataError(
                "the calibrated product needs images, positions, and a model that was evaluated",
                hint="give both, or load the artefacts of a whole run",
            )
        given = lonlat if images is None else images
        points = None if lonlat is None else as_lonlat(lonlat)
        image = None if images is None else self._image().log_p(images)
        if points is None:
            assert image is not None
            return like(image.exp(), given)
        located = ~points.isnan().any(1)
        location = self.location_log_p(points, located)
        if image is None:
            return like(location.exp(), given)
        if len(image) != len(points):
            raise DataError(f"{len(image)} images and {len(points)} positions", hint="one position an image, nan for none")
        if calibrated and self.calibration is not None:
            return like(calibrated_log_p(image, location, located, self.calibration).exp(), given)
        return like(combine.combined_log_p(image, location, located).exp(), given)

    @torch.inference_mode()
    def location_log_p(self, points: Float[Tensor, "n 2"], located: Bool[Tensor, "n"]) -> Float[Tensor, "n q"]:
        """log P(y|x) in float64 of positions that were checked; uniform where ``located`` is false."""
        classifier = self.classifier
        if classifier is None:
            raise DataError(
                "this model embeds places and knows no classes", hint="load a folder of stage finetune-loc, or a whole run"
            )
        count = classifier.class_embedding.linear.out_features
        out = torch.empty(len(points), count, dtype=torch.float64)
        for rows in row_blocks(torch.arange(len(points)), count):
            scores = classifier(points[rows].nan_to_num().to(self.device)).cpu()
            out[rows] = combine.location_log_p(scores, located[rows], link=classifier.link)
        return out

    def _image(self) -> "ImageModel":
        if self.image is None:
            raise DataError("this model has no image network", hint="load the artefacts of a whole run, or an exported folder")
        return self.image


def top_classes(p: Float[Tensor, "n q"], classes: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
    """The ``k`` best classes of each row and their probabilities, best first."""
    best = p.topk(min(k, p.shape[1]), dim=1)
    return [
        [(classes[number], value) for number, value in zip(numbers, values, strict=True)]
        for numbers, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
