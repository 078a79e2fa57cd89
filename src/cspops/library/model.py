"""A trained model for use in your own code: embeddings of places and images, and probabilities of classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cspops.errors import DataError, ParamsError
from cspops.library.combine import COMBINE, Combine
from cspops.library.frames import rows_of
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.shapes import Bool, Float, Tensor

if TYPE_CHECKING:
    from cspops.evaluation.pool import Places, Pool
    from cspops.library.image_model import ImageModel


ORDER = "positions are degrees, longitude first: [[8.54, 47.37]] is Zurich"


def as_lonlat(values: Any) -> Float[Tensor, "n 2"]:
    """Return float64 positions (n, 2), longitudes in [-180, 180), from a tensor, array or nested lists.

    Of shape (2,) they are one position, of shape (0,) none.

    A table (of pandas, polars, pyarrow, a dict of columns) is read by its columns lon and lat, or other usual names of these,
    else it has two columns, longitude first. Longitudes up to 360 are accepted; a row of two nan, null or masked numbers has
    no position.

    Raises:
        DataError: another shape, no numbers, or a row that is nowhere on Earth. When second numbers lie beyond 90 degrees and
            all first ones do not, the message says that latitude came first.
    """
    try:
        points = values.detach().cpu().double() if isinstance(values, Tensor) else torch.from_numpy(rows_of(values))
    except (TypeError, ValueError, OverflowError):
        raise DataError("positions must be numbers, two per row", hint=ORDER) from None
    lonlat = points.reshape(-1, 2) if points.shape in ((2,), (0,)) else points
    if lonlat.ndim != 2 or lonlat.shape[1] != 2:
        raise DataError(f"positions have shape {tuple(points.shape)}, not (n, 2)", hint=ORDER)
    lon, lat = lonlat.unbind(1)
    half = lon.isnan() != lat.isnan()
    if bool(half.any()):
        raise DataError(f"position {int(half.nonzero()[0])} has one number and one nan", hint="both nan: no position")
    lon, lat = _onto(lon, -180, 360), _onto(lat, -90, 90)
    wrong = ((lat.abs() > 90) | (lon < -180) | (lon > 360) | lon.isinf()).nonzero()[:, 0]
    if len(wrong):
        row = int(wrong[0])
        exchanged = bool((lat.abs() > 90).any()) and bool((lon[~lon.isnan()].abs() <= 90).all())
        why = "latitude comes first" if exchanged else "that is nowhere on Earth"
        raise DataError(f"position {row} is ({lon[row]:g}, {lat[row]:g}): {why}", hint=ORDER)
    return torch.stack((torch.where(lon >= 180, lon - 360, lon), lat), 1)  # exact for all others, which wrapping is not


def _onto(values: Tensor, low: float, high: float) -> Tensor:
    """Bring values that rounding carried beyond a border onto it."""
    inside = values.clamp(low, high)
    beyond = (values - inside).abs()
    if not bool((beyond > 0).any()):
        return values
    from cspops.intake.judging.positions import BEYOND  # needs pyarrow

    return torch.where(beyond <= BEYOND, inside, values)


def like(result: Tensor, given: Any) -> Any:
    """Return ``result`` in the type of what was given: a tensor for a tensor, else a numpy array."""
    return result if isinstance(given, Tensor) else result.numpy()


NAMES: dict[Combine, str] = {"pool": "pool", "product": "combined", "image": "image", "location": "location"}
"""What `Model.log_p` calls them."""
NO_POOL = "the model has no pool of image, location and labelled neighbours: it was not evaluated"
NO_PLACES = "the model holds no labelled places, so that no neighbour is counted"
ROWS = 8192
"""Positions that are embedded at once."""

Guesses = list[tuple[str, float]]
"""Names of classes with their probabilities, best first."""


@dataclass(frozen=True)
class Model:
    """The models of a folder; parts that it lacks are None. Everything is in eval mode, and no gradient is kept.

    `encode_location`, `encode_image`, `predict` and `predict_proba` take what users have and check it; they return tensors for
    tensors, and arrays for arrays and lists. Positions are degrees, longitude first (WGS84); batches may have any size, also 0.
    In shapes n is the rows, d the width of location embeddings, k that of image features, q the classes.
    """

    encoder: LocationEncoder
    classifier: LocationClassifier | None = None
    image: "ImageModel | None" = None
    classes: tuple[str, ...] | None = None
    """Names of the classes, in the order of the probabilities."""
    pool: "Pool | None" = None
    places: "Places | None" = None
    """The labelled places that the pool counts; None: it counts none, and every place is far from labels."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    folders: tuple[Path, ...] = ()
    """The folders that it was read from."""
    seed: int | None = None
    label_ratio: float | None = None
    """Of the run that it is from, where that is known."""

    def __repr__(self) -> str:
        facts = {
            "encoder": self.encoder.config["encoding"]["name"],
            "d": self.encoder.dim,
            "image": None if self.image is None else self.image.network.config["model"],
            "classes": None if self.classifier is None else self.classifier.class_embedding.linear.out_features,
            "seed": self.seed,
            "label_ratio": self.label_ratio,
        }
        return f"Model({', '.join(f'{name}={value!r}' for name, value in facts.items() if value is not None)})"

    @torch.inference_mode()
    def encode_location(self, lonlat: Any) -> Any:
        """Return location embeddings e(x), float32 (n, d), of positions (n, 2); nan where a position is nan.

        Raise a DataError for what is no position (see `as_lonlat`).
        """
        points = as_lonlat(lonlat)
        parts = [self.encoder(some.to(self.device)).cpu() for some in points.nan_to_num().split(ROWS)]
        embeddings = torch.cat(parts) if parts else torch.empty(0, self.encoder.dim)
        return like(embeddings.where(~points.isnan().any(1, keepdim=True), torch.nan), lonlat)

    def encode_image(self, images: Any) -> Any:
        """Return image features F(I), float32 (n, k), of the fine-tuned network where there is one, else of the frozen F*.

        ``images`` are paths, bytes or PIL images in a list, or uint8 (n, h, w, 3). Raise a DataError without an image network,
        and for an image that cannot be read.
        """
        return like(self._image().features(images), images)

    @torch.inference_mode()
    def predict_proba(self, images: Any = None, lonlat: Any = None, *, combine: Combine | None = None) -> Any:
        """Return class probabilities, float64 (n, q), of images, of positions, or of both.

        Args:
            images: as for `encode_image`, or None.
            lonlat: positions (n, 2), or None; in a row of nan the image decides (uniform without an image).
            combine: `pool`, image, learned location and labelled neighbours, weighted on validation; `product`, P(y|I)
                P(y|x) as in the paper; `image` and `location`, that one alone. None: the pool where the model has one, else
                the product. Pool and product also take images or positions alone.

        Raises:
            DataError: neither is given, their counts differ, an image cannot be read, a row is no position (see `as_lonlat`),
                or the model lacks a part that is needed.
            ParamsError: ``combine`` is something else.
        """
        chosen = self.combination(combine)
        if images is None and lonlat is None:
            raise DataError("neither images nor positions are given", hint="images, lonlat, or both")
        for what, given in (("image", images), ("location", lonlat)):
            if chosen == what and given is None:
                raise DataError(f"combine={what!r} needs {'images' if what == 'image' else 'positions'}", hint="give them")
        given = lonlat if images is None else images
        places = None if lonlat is None else as_lonlat(lonlat)
        features = None if images is None or chosen == "location" else self._image().features(images)
        if images is not None and places is not None:
            count = _count(images) if features is None else len(features)
            if count != len(places):
                raise DataError(f"{count} images and {len(places)} positions", hint="one position per image, nan for none")
        name = NAMES[chosen]
        if chosen == "product" and (features is None or places is None):
            name = "location" if features is None else "image"
        log_p = next(one for which, one in self.log_p(features, places) if which == name)
        return like(log_p.exp(), given)

    def predict(self, images: Any = None, lonlat: Any = None, *, top: int = 3, combine: Combine | None = None) -> list[Guesses]:
        """Return the ``top`` most likely classes of each row: (name, probability), best first.

        Images, positions and ``combine`` are those of `predict_proba`, and so are the errors; moreover a DataError where the
        model does not know the names of its classes, and a ParamsError where ``top`` is less than 1.
        """
        if top < 1:
            raise ParamsError(f"top is {top}", hint="top=1 or more")
        if self.classes is None:
            raise DataError("this model has no named classes", hint="load a whole run, or an exported folder")
        return top_classes(torch.as_tensor(self.predict_proba(images, lonlat, combine=combine)), self.classes, top)

    def combination(self, combine: str | None) -> Combine:
        """Return how image and location are put together where ``combine`` was asked for; None: as `predict_proba` does.

        Raise a DataError where the pool is asked for and there is none, a ParamsError for an unknown name.
        """
        if combine is None:
            return "product" if self.pool is None else "pool"
        if combine not in COMBINE:
            raise ParamsError(f"combine is {combine!r}", hint=f"one of {', '.join(COMBINE)}")
        if combine == "pool" and self.pool is None:
            raise DataError(NO_POOL, hint="dvc repro evaluate, or --combine product (in Python combine='product')")
        return combine

    @torch.inference_mode()
    def location_log_p(self, lonlat: Float[Tensor, "n 2"]) -> Float[Tensor, "n q"]:
        """Return the learned log P(y|x) in float64 of checked positions; uniform where they are nan."""
        return dict(self.log_p(None, lonlat))["location"]

    @torch.inference_mode()
    def place_log_p(self, lonlat: Float[Tensor, "n 2"]) -> Float[Tensor, "n q"]:
        """Return log P_n(y|x), the learned P(y|x) with the labelled neighbours that the pool counts; without a pool P(y|x)."""
        learned = self.location_log_p(lonlat)
        return learned if self.pool is None else self.pool.place_log_p(learned, self.labelled_places.near(lonlat))

    def trust(self, lonlat: Float[Tensor, "n 2"]) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n"]]:
        """Return the pool's weights of image and place at checked positions, and the km to the nearest labelled place.

        Without a position the place has no weight, and the distance is nan; where no place is labelled it is inf.
        """
        if self.pool is None:
            raise DataError(NO_POOL, hint="dvc repro evaluate")
        located = ~lonlat.isnan().any(1)
        km = self.labelled_places.near(lonlat, k=1).nearest_km
        alone = torch.tensor([self.pool.image_alone, 0.0], dtype=torch.float64)
        return torch.where(located[:, None], self.pool.weights(km), alone), km.where(located, torch.nan)

    @torch.inference_mode()
    def log_p(
        self,
        features: Float[Tensor, "n k"] | None,
        lonlat: Float[Tensor, "m 2"] | None,
        *,
        imaged: Bool[Tensor, "m"] | None = None,
    ) -> Iterator[tuple[str, Float[Tensor, "m q"]]]:
        """Yield name and log P of each model, as `Predictor.log_p` does, for image features and checked positions.

        Of images alone and of positions alone there is a pool too, but no `combined`.

        Raise a DataError where this model lacks a classifier that is needed.
        """
        from cspops.evaluation.predictor import LocationPredictor, Predictor

        if lonlat is not None and self.classifier is None:
            raise DataError(
                "this model embeds places and knows no classes", hint="load a folder of stage finetune-loc, or a whole run"
            )
        image = None if features is None else self._image().predictor
        location = None if self.classifier is None else LocationPredictor(self.classifier, self.device)
        located = ~lonlat.isnan().any(1) if lonlat is not None else torch.zeros(0, dtype=torch.bool)
        parts: dict[str, Tensor] = {}
        for name, log_p in Predictor(image, location).log_p(features, lonlat, located, imaged=imaged):
            parts[name] = log_p
            yield name, log_p
        if self.pool is not None and parts:
            if lonlat is None:
                lonlat = torch.full((len(parts["image"]), 2), torch.nan, dtype=torch.float64)
            near, located = self.labelled_places.near(lonlat), ~lonlat.isnan().any(1)
            yield "pool", self.pool.log_p(parts.get("image"), parts.get("location"), near, located)

    @property
    def knows_places(self) -> bool:
        """Whether the pool has labelled places to count."""
        return len(self.labelled_places.label) > 0

    @property
    def labelled_places(self) -> "Places":
        """``places``, none where that is None."""
        from cspops.evaluation.pool import Places  # needs scipy, which a location encoder alone does without

        return self.places or Places(torch.empty(0, 2, dtype=torch.float64), torch.empty(0, dtype=torch.long))

    def _image(self) -> "ImageModel":
        if self.image is None:
            raise DataError("this model has no image network", hint="load the artefacts of a whole run, or an exported folder")
        return self.image


def _count(images: Any) -> int:
    from cspops.library.image_model import listed  # needs torchvision, which location models do without

    return len(listed(images))


def top_classes(p: Float[Tensor, "n q"], classes: Sequence[str], k: int) -> list[Guesses]:
    """Return the ``k`` best classes of each row with their probabilities, best first."""
    best = p.topk(min(k, p.shape[1]), dim=1)
    return [
        [(classes[number], value) for number, value in zip(numbers, values, strict=True)]
        for numbers, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
