"""P(y|I), P(y|x), and P(y|I, x) from both (paper, section 3.4), for stage evaluate, `evaluate --on`, `predict` and `load`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from cspops.evaluation.pool import Neighbours, Pool
from cspops.kernels import row_blocks, slices
from cspops.models.location_encoder import Link, LocationClassifier
from cspops.shapes import Bool, Float, Tensor

CPU = torch.device("cpu")
LEAST_SCORE = -700.0
"""Above it sigma(s) has float64's full precision, and its logarithm takes half the time of `logsigmoid` and a softmax."""


def image_log_p(logits: Float[Tensor, "n q"]) -> Float[Tensor, "n q"]:
    """Return log P(y|I), the softmax of the classifier g."""
    out = torch.empty(logits.shape, dtype=torch.float64, device=logits.device)
    for here in slices(*logits.shape):
        torch.log_softmax(logits[here].double(), -1, out=out[here])
    return out


def location_log_p(scores: Float[Tensor, "n q"], located: Bool[Tensor, "n"], *, link: Link = "sigmoid") -> Float[Tensor, "n q"]:
    """Return log P(y|x) of the scores e(x) T (+ b); uniform where ``located`` is false.

    Args:
        link: `sigmoid`, P(y|x) proportional to sigma(e(x) T) (paper); `softmax`, for a classifier that was trained with
            the cross-entropy over classes.
    """
    if not located.all():
        scores = scores.where(located[:, None], 0)
    if link == "softmax":
        return image_log_p(scores)
    precise = scores.numel() == 0 or bool(scores.amin() > LEAST_SCORE)  # false of nan
    scores = scores.double()
    if not precise:
        return logsigmoid(scores).log_softmax(-1)
    sigma = scores.sigmoid()
    total = sigma.sum(-1, keepdim=True).log_()
    return sigma.log_().sub_(total)


def combined_log_p(
    image: Float[Tensor, "n q"], location: Float[Tensor, "n q"], located: Bool[Tensor, "n"]
) -> Float[Tensor, "n q"]:
    """Return log of P(y|I) P(y|x), normalised; the image alone where there is no location.

    Image and location are taken as independent given the class. In log space the product underflows nowhere; rows
    of ``location`` where ``located`` is false may hold anything, nan too.
    """
    product = (image + location).log_softmax(-1)
    return product if located.all() else product.where(located[:, None], image)


@dataclass(frozen=True)
class ImagePredictor:
    """log P(y|I) in float64 of the image features that the classifier g was trained on."""

    classifier: nn.Module
    device: torch.device = CPU

    def __call__(self, features: Float[Tensor, "n k"]) -> Float[Tensor, "n q"]:
        return image_log_p(self.classifier(features.to(self.device))).cpu()


@dataclass(frozen=True)
class LocationPredictor:
    """log P(y|x) in float64 of positions in degrees; uniform where they are nan.

    With dates (shares of the year, nan where there is none) log P(y|x, t) of a classifier whose encoder takes them.
    """

    classifier: LocationClassifier
    device: torch.device = CPU

    def __call__(self, lonlat: Float[Tensor, "n 2"], when: Float[Tensor, "n"] | None = None) -> Float[Tensor, "n q"]:
        located, classes = ~lonlat.isnan().any(1), self.classifier.class_embedding.linear.out_features
        out = torch.empty(len(lonlat), classes, dtype=torch.float64)
        for rows in row_blocks(torch.arange(len(lonlat)), classes):
            block = slice(int(rows[0]), int(rows[-1]) + 1)
            scores = self.scores(lonlat[block], None if when is None else when[block])
            for here in slices(len(rows), classes):
                out[block][here] = location_log_p(scores[here], located[block][here], link=self.classifier.link)
        return out

    def scores(self, lonlat: Float[Tensor, "n 2"], when: Float[Tensor, "n"] | None = None) -> Float[Tensor, "n q"]:
        """Return the classifier's scores of all positions at once; they mean nothing where a position is nan."""
        scores: Tensor = self.classifier(lonlat.nan_to_num().to(self.device), when).cpu()
        return scores


LogP = Callable[[Any], Tensor]
"""From what is known of n rows to their log P (n, q)."""
Near = Callable[[Any], Neighbours]


@dataclass(frozen=True)
class Predictor:
    """The models of one seed and label ratio, and their products.

    ``image`` and ``location`` are an `ImagePredictor` and a `LocationPredictor`, called on features and on positions, or
    look-ups in tables of theirs, called on row numbers. None stands for a missing model.
    """

    image: LogP | None
    location: LogP | None
    pool: Pool | None = None
    near: Near | None = None
    """The labelled neighbours of the pool; called on what ``location`` is called on."""
    fusion: Callable[[Any, Any], Tensor] | None = None
    """log P of one network of both, called on what ``image`` and ``location`` are called on."""

    def log_p(
        self,
        images: Any,
        places: Any,
        located: Bool[Tensor, "n"],
        *,
        imaged: Bool[Tensor, "n"] | None = None,
    ) -> Iterator[tuple[str, Float[Tensor, "n q"]]]:
        """Yield name and log P of each model: `image`, `location`, of both `combined`, with a pool `pool`, and `fusion`.

        Each table is made when it is next, so that a caller may drop the one before.

        Args:
            images: the argument of ``image``; None leaves out all that needs an image.
            places: the argument of ``location``; None likewise.
            located: which rows have a position; the others are judged by the image alone, and by the location uniformly.
                The fusion is that of the image there, too.
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
            if self.pool is not None and self.near is not None:
                yield "pool", self.pool.log_p(image, location, self.near(places), located)
            if self.fusion is not None:
                fused = self.fusion(images, places)
                yield "fusion", fused if located.all() else fused.where(located[:, None], image)
