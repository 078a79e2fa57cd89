"""What each ONNX file computes, as a module on float64 positions and float32 pixels.

Positions are degrees, longitude first; longitudes from 180 to 360 count as -180 to 0. A row that holds a nan has no
position. An encoder that takes time makes `when` an input as well: float64 (n,), shares of the year (see `data.dates`), nan
without a date. Positions are float64, as everything up to the end of the encoding: float32 would move them by up to 0.8 m, and
an encoding of scales in metres would describe another place. The formulas are those of `evaluation.predictor` and
`evaluation.pool`, whose short cuts look at the data, which a graph cannot.
"""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from cspops.evaluation.pool import NEIGHBOURS, YEAR, Places, Pool, date_kernel
from cspops.geo import EARTH_RADIUS_KM, unit_vectors
from cspops.models.backbones import ImageNetwork
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.shapes import Bool, Float, Int, Tensor

LONLAT = "lonlat"
WHEN = "when"
IMAGE = "image"
PROBABILITIES = "probabilities"
"""How the names of outputs end that are no embeddings."""
POOL_OUTPUT = "pool_probabilities"
"""The output of combined.onnx that holds the pool, where there is one."""
MOST_PLACES = 50_000
"""Labelled places that are compared with every position; with more of them there is no pool in ONNX."""


class Embedding(nn.Module):
    """`location_encoder.onnx`: e(x); nan for a row without a position."""

    outputs = ("embedding",)

    def __init__(self, encoder: LocationEncoder) -> None:
        super().__init__()
        self.embed = _Embed(encoder)
        self.inputs = _inputs_of(encoder)

    def forward(self, lonlat: Float[Tensor, "n 2"], when: Float[Tensor, "n"] | None = None) -> Float[Tensor, "n d"]:
        points, located = _points(lonlat)
        embedding: Tensor = self.embed(points, when)
        return torch.where(located[:, None], embedding, torch.nan)


class LocationProbabilities(nn.Module):
    """`location_classifier.onnx`: P(y|x), float32; uniform for a row without a position."""

    outputs = (PROBABILITIES,)

    def __init__(self, classifier: LocationClassifier) -> None:
        super().__init__()
        self.embed = _Embed(classifier.encoder)
        self.class_embedding = classifier.class_embedding
        self.link = classifier.link
        self.inputs = _inputs_of(classifier.encoder)

    def forward(self, lonlat: Float[Tensor, "n 2"], when: Float[Tensor, "n"] | None = None) -> Float[Tensor, "n q"]:
        return self.log_p(*_points(lonlat), when).exp().float()

    def log_p(
        self, points: Float[Tensor, "n 2"], located: Bool[Tensor, "n"], when: Float[Tensor, "n"] | None
    ) -> Float[Tensor, "n q"]:
        """Return log P(y|x) in float64."""
        scores: Tensor = self.class_embedding(self.embed(points, when))
        scores = torch.where(located[:, None], scores.double(), 0.0)
        return (logsigmoid(scores) if self.link == "sigmoid" else scores).log_softmax(-1)


class PoolOfPlaces(nn.Module):
    """`Pool.log_p` as operations that ONNX has: the neighbours by all chords and the k longest products of unit vectors."""

    def __init__(self, pool: Pool, places: Places) -> None:
        super().__init__()
        self.pool, self.k = pool, min(NEIGHBOURS, len(places.label))
        self.register_buffer("vectors", unit_vectors(places.lonlat.double()).T.contiguous())
        self.register_buffer("label", places.label.long())
        undated = torch.full((len(places.label),), torch.nan, dtype=torch.float64)
        self.register_buffer("when", None if pool.kernel_days is None else undated if places.when is None else places.when)
        never = torch.full((1, 1), torch.nan, dtype=torch.float64)
        self.undated = 1.0 if pool.kernel_days is None else date_kernel(never, pool.kernel_days).item()

    def forward(
        self,
        image: Float[Tensor, "n q"],
        location: Float[Tensor, "n q"],
        points: Float[Tensor, "n 2"],
        located: Bool[Tensor, "n"],
        when: Float[Tensor, "n"] | None = None,
    ) -> Float[Tensor, "n q"]:
        """Return log P(y|I, x) of log P(y|I), log P(y|x), and positions where ``located``."""
        g = torch.zeros_like(points[:, :1])  # no labelled place: all are far
        if self.k:
            km, row = self.near(points)
            location = self.counted(location, km, row, when)
            g = torch.exp(km[:, :1] * (-1 / self.pool.fade_km)) if self.pool.fade_km is not None else g
        if self.pool.fade_km is None:
            g = g + 1
        a, b = (near * g + far * (1 - g) for near, far in (self.pool.image, self.pool.place))
        return torch.where(located[:, None], a * image + b * location, self.pool.image_alone * image).log_softmax(-1)

    def near(self, points: Float[Tensor, "n 2"]) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
        """Return km and numbers of the nearest places, nearest first."""
        vectors: Tensor = self.vectors  # type: ignore[assignment]
        cosine, row = (unit_vectors(points) @ vectors).topk(self.k, dim=1)
        half = ((1 - cosine).clamp(min=0) / 2).sqrt()  # half the chord
        return 2 * EARTH_RADIUS_KM * torch.atan2(half, (1 - half * half).clamp(min=0).sqrt()), row

    def counted(
        self,
        location: Float[Tensor, "n q"],
        km: Float[Tensor, "n k"],
        row: Int[Tensor, "n k"],
        when: Float[Tensor, "n"] | None,
    ) -> Float[Tensor, "n q"]:
        """Return log P_n(y|x)."""
        if self.pool.count_weight == 0:
            return location
        labels: Tensor = self.label  # type: ignore[assignment]
        dates: Tensor | None = self.when  # type: ignore[assignment]
        weight = torch.exp(-0.5 * (km / self.pool.kernel_km) ** 2)
        if self.pool.kernel_days is not None and dates is not None and when is not None:
            weight = weight * self.of_dates(when[:, None] - dates[row], self.pool.kernel_days)
        counts = torch.zeros_like(location).scatter_add(1, labels[row], weight)
        log_counts = (counts * self.pool.count_weight).clamp(min=LEAST).log()
        high, low = torch.maximum(log_counts, location), torch.minimum(log_counts, location)
        together = high + torch.log(1 + torch.exp(low - high))
        return together - torch.log(1 + self.pool.count_weight * weight.sum(1, keepdim=True))

    def of_dates(self, apart: Float[Tensor, "n k"], kernel_days: float) -> Float[Tensor, "n k"]:
        """Return `pool.date_kernel` of differences of shares of the year."""
        unknown = apart.isnan()
        apart = torch.where(unknown, 0.0, apart).abs()
        days = YEAR * torch.minimum(apart, 1 - apart)
        return torch.where(unknown, self.undated, torch.exp(-0.5 * (days / kernel_days) ** 2))


LEAST = 1e-300
"""A count of 0 is taken for this, whose logarithm is finite."""


class CombinedProbabilities(nn.Module):
    """`combined.onnx`: P(y|I) P(y|x), P(y|I) and P(y|x), float32; with a pool P(y|I, x) by that too.

    Pixels are RGB from 0 to 255, channels first. For a row without a position the product is P(y|I). Features are not rounded
    to float16, as they are in stage featurize: two runtimes would round some of them to different neighbours.
    """

    def __init__(
        self, network: ImageNetwork, head: nn.Module, location: LocationProbabilities, pool: PoolOfPlaces | None
    ) -> None:
        super().__init__()
        self.network, self.head, self.location, self.pool = network, head, location, pool
        self.inputs = (IMAGE, *location.inputs)
        names = ("probabilities", "image_probabilities", "location_probabilities")
        self.outputs = names if pool is None else (*names, POOL_OUTPUT)

    def forward(
        self, image: Float[Tensor, "n 3 px px"], lonlat: Float[Tensor, "n 2"], when: Float[Tensor, "n"] | None = None
    ) -> tuple[Tensor, ...]:
        points, located = _points(lonlat)
        log_p_location = self.location.log_p(points, located, when)
        log_p_image = self.head(self.network.features(image / 255)).double().log_softmax(-1)
        product = torch.where(located[:, None], (log_p_image + log_p_location).log_softmax(-1), log_p_image)
        log_ps = [product, log_p_image, log_p_location]
        if self.pool is not None:
            log_ps.append(self.pool(log_p_image, log_p_location, points, located, when))
        return tuple(log_p.exp().float() for log_p in log_ps)


class _Embed(nn.Module):
    """A location encoder that does not encode rows in blocks, so that their number may stay open."""

    def __init__(self, encoder: LocationEncoder) -> None:
        super().__init__()
        self.encoding, self.network, self.time = encoder.encoding, encoder.network, encoder.time

    def forward(self, points: Float[Tensor, "n 2"], when: Float[Tensor, "n"] | None) -> Float[Tensor, "n d"]:
        encoded: Tensor = self.encoding(points)
        if self.time is not None and when is not None:
            encoded = torch.cat((encoded, self.time(when)), -1)
        embedding: Tensor = self.network(encoded)
        return embedding


def _inputs_of(encoder: LocationEncoder) -> tuple[str, ...]:
    return (LONLAT, WHEN) if encoder.takes_time else (LONLAT,)


def _points(lonlat: Float[Tensor, "n 2"]) -> tuple[Float[Tensor, "n 2"], Bool[Tensor, "n"]]:
    """Return positions with longitudes in [-180, 180), (0, 0) where there is none, and which rows have one."""
    lon, lat = lonlat.unbind(1)
    located = ~(lon.isnan() | lat.isnan())
    points = torch.stack((torch.where(lon >= 180, lon - 360, lon), lat), 1)
    return torch.where(located[:, None], points, 0.0), located


def example(graph: Any, px: int | None = None) -> tuple[Tensor, ...]:
    """Return inputs for tracing a graph; hardly any other axis has their number of rows."""
    rows = 5
    lonlat = torch.linspace(-50, 50, 2 * rows, dtype=torch.float64).reshape(rows, 2)
    when = (torch.linspace(0, 0.9, rows, dtype=torch.float64),) if WHEN in graph.inputs else ()
    image = (torch.full((rows, 3, px, px), 128.0),) if IMAGE in graph.inputs and px is not None else ()
    return *image, lonlat, *when
