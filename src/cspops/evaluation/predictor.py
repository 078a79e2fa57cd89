"""P(y|I), P(y|x), and P(y|I, x) from both (paper, section 3.4), for stage evaluate, `evaluate --on`, `predict` and `load`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from cspops.kernels import row_blocks
from cspops.models.location_encoder import Link, LocationClassifier
from cspops.shapes import Bool, Float, Tensor

CPU = torch.device("cpu")


def image_log_p(logits: Float[Tensor, "n q"]) -> Float[Tensor, "n q"]:
    """Return log P(y|I), the softmax of the classifier g."""
    return logits.double().log_softmax(-1)


def location_log_p(scores: Float[Tensor, "n q"], located: Bool[Tensor, "n"], *, link: Link = "sigmoid") -> Float[Tensor, "n q"]:
    """Return log P(y|x) of the scores e(x) T (+ b); uniform where ``located`` is false.

    Args:
        link: `sigmoid`, P(y|x) proportional to sigma(e(x) T) (paper); `softmax`, for a classifier that was trained with
            the cross-entropy over classes.
    """
    scores = scores.double().where(located[:, None], 0)
    return (logsigmoid(scores) if link == "sigmoid" else scores).log_softmax(-1)


def combined_log_p(
    image: Float[Tensor, "n q"], location: Float[Tensor, "n q"], located: Bool[Tensor, "n"]
) -> Float[Tensor, "n q"]:
    """Return log of P(y|I) P(y|x), normalised; the image alone where there is no location.

    Image and location are taken as independent given the class. In log space the product underflows nowhere; rows
    of ``location`` where ``located`` is false may hold anything, nan too.
    """
    return torch.where(located[:, None], (image + location).log_softmax(-1), image)


@dataclass(frozen=True)
class Calibration:
    """T > 0 and w >= 0 of P(y|I, x), proportional to softmax(z_I / T) P(y|x)^w; (1, 1) is the plain product."""

    temperature: float = 1.0
    location_weight: float = 1.0


def calibrated_log_p(
    image: Float[Tensor, "n q"], location: Float[Tensor, "n q"], located: Bool[Tensor, "n"], calibration: Calibration
) -> Float[Tensor, "n q"]:
    """Return log P(y|I, x); softmax(z_I / T) alone where there is no location.

    Args:
        image: log P(y|I): a softmax of it over T is that of the logits z_I, which differ from it by a constant.
        location: log P(y|x); where ``located`` is false it may hold anything.
    """
    sharpened = image / calibration.temperature
    product = sharpened + calibration.location_weight * location
    return torch.where(located[:, None], product, sharpened).log_softmax(-1)


@dataclass(frozen=True)
class ImagePredictor:
    """log P(y|I) in float64 of the image features that the classifier g was trained on."""

    classifier: nn.Module
    device: torch.device = CPU

    def __call__(self, features: Float[Tensor, "n k"]) -> Float[Tensor, "n q"]:
        return image_log_p(self.classifier(features.to(self.device))).cpu()


@dataclass(frozen=True)
class LocationPredictor:
    """log P(y|x) in float64 of positions in degrees; uniform where they are nan."""

    classifier: LocationClassifier
    device: torch.device = CPU

    def __call__(self, lonlat: Float[Tensor, "n 2"]) -> Float[Tensor, "n q"]:
        located, classes = ~lonlat.isnan().any(1), self.classifier.class_embedding.linear.out_features
        out = torch.empty(len(lonlat), classes, dtype=torch.float64)
        for rows in row_blocks(torch.arange(len(lonlat)), classes):
            scores = self.classifier(lonlat[rows].nan_to_num().to(self.device)).cpu()
            out[rows] = location_log_p(scores, located[rows], link=self.classifier.link)
        return out


LogP = Callable[[Tensor], Tensor]
"""From what is known of n rows to their log P (n, q)."""


@dataclass(frozen=True)
class Predictor:
    """The models of one seed and label ratio, and their products.

    ``image`` and ``location`` are an `ImagePredictor` and a `LocationPredictor`, called on features and on positions, or
    look-ups in tables of theirs, called on row numbers. None stands for a missing model.
    """

    image: LogP | None
    location: LogP | None
    calibration: Calibration | None = None

    def log_p(
        self,
        images: Tensor | None,
        places: Tensor | None,
        located: Bool[Tensor, "n"],
        *,
        imaged: Bool[Tensor, "n"] | None = None,
    ) -> Iterator[tuple[str, Float[Tensor, "n q"]]]:
        """Yield name and log P of each model: `image`, `location`, of both `combined` and, with a calibration, `calibrated`.

        Each table is made when it is next, so that a caller may drop the one before.

        Args:
            images: the argument of ``image``; None leaves out all that needs an image.
            places: the argument of ``location``; None likewise.
            located: which rows have a position; the others are judged by the image alone, and by the location uniformly.
            imaged: which rows ``images`` are of, if not all; the others have nan wherever an image is needed.
        """
        image = location = None
        if images is not None and self.image is not None:
            image = self.image(images)
            if imaged is not None:
                image = torch.full((len(imaged), image.shape[1]), torch.nan, dtype=image.dtype).index_copy_(
                    0, imaged.nonzero()[:, 0], image
                )
            yield "image", image
        if places is not None and self.location is not None:
            location = self.location(places)
            yield "location", location
        if image is not None and location is not None:
            yield "combined", combined_log_p(image, location, located)
            if self.calibration is not None:
                yield "calibrated", calibrated_log_p(image, location, located, self.calibration)
