"""A trained model for use in your own code: embeddings of places and images, and probabilities of classes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cspops.errors import DataError, ParamsError
from cspops.evaluation.metrics import FUSION
from cspops.library.combine import COMBINE, Combine
from cspops.library.expert_weights import FITTED, ExpertWeights
from cspops.library.positions import as_lonlat, like
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.shapes import Bool, Float, Tensor

if TYPE_CHECKING:
    from cspops.evaluation.pool import Places, Pool
    from cspops.library.image_model import ImageModel


NAMES: dict[Combine, str] = {"pool": "pool", "product": "combined", "image": "image", "location": "location"}
"""What `Model.log_p` calls them."""
NO_POOL = "the model has no pool of image, location and labelled neighbours: it was not evaluated"
NO_TIME = "the model's location encoder knows no season (location_encoder.time: none), so that a date changes nothing"
NO_PLACES = "the model holds no labelled places, so that no neighbour is counted"
NO_FUSION = "fusion (finetune_loc.fusion), which the run trained too, is left out: only stage evaluate computes it"
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
    weights: ExpertWeights = FITTED
    """How much the experts of pool and product count beside what validation chose."""
    candidates: tuple[int, ...] | None = None
    """The numbers of the classes that can be predicted; None: all."""

    def __repr__(self) -> str:
        facts = {
            "encoder": self.encoder.config["encoding"]["name"],
            "d": self.encoder.dim,
            "time": self.encoder.config.get("time", {}).get("name"),
            "image": None if self.image is None else self.image.network.config["model"],
            "classes": None if self.classifier is None else self.classifier.class_embedding.linear.out_features,
            "seed": self.seed,
            "label_ratio": self.label_ratio,
        }
        return f"Model({', '.join(f'{name}={value!r}' for name, value in facts.items() if value is not None)})"

    @property
    def takes_time(self) -> bool:
        """Whether the date of a row counts: whether the location encoder is e(x, t)."""
        return self.encoder.takes_time

    @torch.inference_mode()
    def encode_location(self, lonlat: Any, dates: Any = None) -> Any:
        """Return location embeddings e(x), float32 (n, d), of positions (n, 2); nan where a position is nan.

        ``dates`` are as for `predict_proba`. Raise a DataError for what is no position (see `as_lonlat`) or no date.
        """
        points = as_lonlat(lonlat)
        when = self._when(dates, len(points))
        parts = [
            self.encoder(points[some].nan_to_num().to(self.device), None if when is None else when[some]).cpu()
            for some in torch.arange(len(points)).split(ROWS)
        ]
        embeddings = torch.cat(parts) if parts else torch.empty(0, self.encoder.dim)
        return like(embeddings.where(~points.isnan().any(1, keepdim=True), torch.nan), lonlat)

    def _when(self, dates: Any, count: int) -> Float[Tensor, "n"] | None:
        """Return the shares of the year that a user gives; a ParamsError where the encoder takes none."""
        if dates is None:
            return None
        from cspops.library.given_dates import as_when

        if not self.takes_time:
            raise ParamsError(NO_TIME, hint="leave dates out")
        return as_when(dates, count)

    def encode_image(self, images: Any) -> Any:
        """Return image features F(I), float32 (n, k), of the fine-tuned network where there is one, else of the frozen F*.

        ``images`` are paths, bytes or PIL images in a list, or uint8 (n, h, w, 3). Raise a DataError without an image network,
        and for an image that cannot be read.
        """
        return like(self._image().features(images), images)

    def weighed(self, prior_weight: float = 1.0, weights: Mapping[str, float] | None = None) -> "Model":
        """Return the model with other weights of its experts (`expert_weights` has the formula).

        Args:
            prior_weight: from 0, the image alone, to 1, pool and product as they are.
            weights: of `image`, `place` and `neighbours`; those that are not given are 1.

        Raise a ParamsError for what is no such weight.
        """
        return replace(self, weights=ExpertWeights.of(prior_weight, weights or {}))

    def among(self, classes: Iterable[str]) -> "Model":
        """Return the model with these classes alone as candidates: the others have P = 0, and all sum to 1 again.

        Of a model that has candidates already, those that are among both. Raise a DataError for a class that the model does not
        know, and where none is left.
        """
        from cspops.library.candidates import numbers_of

        known = numbers_of(self, classes)
        left = known if self.candidates is None else known & set(self.candidates)
        if not left:
            raise DataError("no class is left as a candidate", hint="name at least one that is among all the lists and regions")
        return replace(self, candidates=tuple(sorted(left)))

    def classes_in(self, region: str) -> list[str]:
        """Return the classes with at least one labelled place in a region, to be the candidates there.

        The region is a GeoJSON file with polygons, or a country by its ISO 3166-1 code. Raise a DataError where it is none, or
        holds no labelled place.
        """
        from cspops.library.candidates import classes_in

        return classes_in(self, region)

    def masked(self, log_p: Float[Tensor, "n q"]) -> Float[Tensor, "n q"]:
        """Return log P over the candidates alone, -inf for the other classes."""
        if self.candidates is None:
            return log_p
        out = torch.full_like(log_p, -torch.inf)
        some = torch.tensor(self.candidates)
        out[:, some] = log_p[:, some].log_softmax(1)
        return out

    @torch.inference_mode()
    def predict_proba(
        self,
        images: Any = None,
        lonlat: Any = None,
        *,
        dates: Any = None,
        combine: Combine | None = None,
        prior_weight: float | None = None,
        weights: Mapping[str, float] | None = None,
        classes: Iterable[str] | None = None,
    ) -> Any:
        """Return class probabilities, float64 (n, q), of images, of positions, or of both.

        Args:
            images: as for `encode_image`, or None.
            lonlat: positions (n, 2), or None; in a row of nan the image decides (uniform without an image).
            dates: one for all rows or one per row, None for none: texts (`2024-06-15`, `06-15`, `June`), datetimes, columns of
                tables (`as_when` has all). P without a date is the average over the year. Only for models that take time.
            combine: `pool`, image, learned location and labelled neighbours, weighted on validation; `product`, P(y|I)
                P(y|x) as in the paper; `image` and `location`, that one alone. None: the pool where the model has one, else
                the product. Pool and product also take images or positions alone.
            prior_weight: as for `weighed`, and so is ``weights``; None: the model's own weights.
            classes: as for `among`; None: the model's own candidates.

        Raises:
            DataError: neither is given, their counts differ, an image cannot be read, a row is no position (see `as_lonlat`) or
                no date, or the model lacks a part that is needed.
            ParamsError: ``combine`` or a weight is something else, or there are dates and the model takes none.
        """
        model = self
        if prior_weight is not None or weights is not None:
            model = model.weighed(1.0 if prior_weight is None else prior_weight, weights)
        if classes is not None:
            model = model.among(classes)
        if model is not self:
            return model.predict_proba(images, lonlat, dates=dates, combine=combine)
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
        if chosen == "product" and self.weights == FITTED and (features is None or places is None):
            name = "location" if features is None else "image"
        rows = next((len(one) for one in (places, features) if one is not None), 0)
        when = self._when(dates, rows)
        log_p = next(one for which, one in self.log_p(features, places, when=when) if which == name)
        return like(self.masked(log_p).exp(), given)

    def predict(
        self,
        images: Any = None,
        lonlat: Any = None,
        *,
        dates: Any = None,
        top: int = 3,
        combine: Combine | None = None,
        prior_weight: float | None = None,
        weights: Mapping[str, float] | None = None,
        classes: Iterable[str] | None = None,
    ) -> list[Guesses]:
        """Return the ``top`` most likely classes of each row, candidates all: (name, probability), best first.

        All but ``top`` are arguments of `predict_proba`, and the errors are its own; moreover a DataError where the model does
        not know the names of its classes, and a ParamsError where ``top`` is less than 1.
        """
        if top < 1:
            raise ParamsError(f"top is {top}", hint="top=1 or more")
        if self.classes is None:
            raise DataError("this model has no named classes", hint="load a whole run, or an exported folder")
        model = self if classes is None else self.among(classes)
        p = model.predict_proba(images, lonlat, dates=dates, combine=combine, prior_weight=prior_weight, weights=weights)
        return top_classes(torch.as_tensor(p), self.classes, min(top, len(model.candidates or self.classes)))

    def combination(self, combine: str | None) -> Combine:
        """Return how image and location are put together where ``combine`` was asked for; None: as `predict_proba` does.

        Raise a DataError where the pool is asked for and there is none, a ParamsError for an unknown name and where the
        model's weights are of experts that are not put together.
        """
        if combine is None:
            combine = "product" if self.pool is None else "pool"
        if combine not in COMBINE:
            raise ParamsError(f"combine is {combine!r}", hint=f"one of {', '.join(COMBINE)}")
        if combine == "pool" and self.pool is None:
            raise DataError(NO_POOL, hint="dvc repro evaluate, or --combine product (in Python combine='product')")
        self.weights.require(combine)
        return combine

    @torch.inference_mode()
    def location_log_p(self, lonlat: Float[Tensor, "n 2"], when: Float[Tensor, "n"] | None = None) -> Float[Tensor, "n q"]:
        """Return the learned log P(y|x) in float64 of checked positions; uniform where they are nan.

        Here and below ``when`` are shares of the year (see `data.dates`); nan, or None for all, where there is no date.
        """
        return next(log_p for name, log_p in self.log_p(None, lonlat, when=when) if name == "location")  # before any pool

    @torch.inference_mode()
    def place_log_p(self, lonlat: Float[Tensor, "n 2"], when: Float[Tensor, "n"] | None = None) -> Float[Tensor, "n q"]:
        """Return log P_n(y|x), the learned P(y|x) with the labelled neighbours that the pool counts; without a pool P(y|x)."""
        learned = self.location_log_p(lonlat, when)
        if self.pool is None:
            return learned
        return self.weights.on(self.pool).place_log_p(learned, self.labelled_places.near(lonlat, when))

    def trust(self, lonlat: Float[Tensor, "n 2"]) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n"]]:
        """Return the pool's weights of image and place at checked positions, and the km to the nearest labelled place.

        Without a position the place has no weight, and the distance is nan; where no place is labelled it is inf.
        """
        if self.pool is None:
            raise DataError(NO_POOL, hint="dvc repro evaluate")
        pool, located = self.weights.on(self.pool), ~lonlat.isnan().any(1)
        km = self.labelled_places.near(lonlat, k=1).nearest_km
        alone = torch.tensor([pool.image_alone, 0.0], dtype=torch.float64)
        return torch.where(located[:, None], pool.weights(km), alone), km.where(located, torch.nan)

    @torch.inference_mode()
    def log_p(
        self,
        features: Float[Tensor, "n k"] | None,
        lonlat: Float[Tensor, "m 2"] | None,
        *,
        when: Float[Tensor, "m"] | None = None,
        imaged: Bool[Tensor, "m"] | None = None,
    ) -> Iterator[tuple[str, Float[Tensor, "m q"]]]:
        """Yield name and log P of each model, as `Predictor.log_p` does, for image features and checked positions.

        Of images alone and of positions alone there is a pool too, but no `combined`, unless its experts have weights.

        Raise a DataError where this model lacks a classifier that is needed.
        """
        from cspops.evaluation.predictor import LocationPredictor, Predictor

        if lonlat is not None and self.classifier is None:
            raise DataError(
                "this model embeds places and knows no classes", hint="load a folder of stage finetune-loc, or a whole run"
            )
        image = None if features is None else self._image().predictor
        location = None if self.classifier is None else partial(LocationPredictor(self.classifier, self.device), when=when)
        located = ~lonlat.isnan().any(1) if lonlat is not None else torch.zeros(0, dtype=torch.bool)
        parts: dict[str, Tensor] = {}
        for name, log_p in Predictor(image, location).log_p(features, lonlat, located, imaged=imaged):
            if name == "combined" and self.weights != FITTED:
                continue
            parts[name] = log_p
            yield name, log_p
        pools = self._pools() if parts else {}
        if pools:
            if lonlat is None:
                lonlat = torch.full((len(parts["image"]), 2), torch.nan, dtype=torch.float64)
            near, located = self.labelled_places.near(lonlat, when), ~lonlat.isnan().any(1)
            for name, pool in pools.items():
                yield name, pool.log_p(parts.get("image"), parts.get("location"), near, located)

    def _pools(self) -> "dict[str, Pool]":
        """Return the pools of experts by what `log_p` calls them; the plain product is none of them."""
        from cspops.evaluation.pool import Pool

        pools = {} if self.weights == FITTED else {"combined": self.weights.on(Pool())}
        return pools if self.pool is None else pools | {"pool": self.weights.on(self.pool)}

    @property
    def leaves_fusion_out(self) -> bool:
        """Whether the run trained one network of image and place beside these models."""
        return any((folder / FUSION).is_dir() for folder in self.folders)

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
