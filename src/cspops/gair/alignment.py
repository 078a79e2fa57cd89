"""The three encoders of GAIR as one module, and its loss of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from cspops.gair.overhead import LocalizedOverhead
from cspops.gair.queue import CoordinateQueue
from cspops.imagessl.momentum import momentum_copy
from cspops.losses.gair import WITHOUT_PHOTO, distillation, gair_loss
from cspops.losses.objectives import WHOLE, Share
from cspops.models.backbones import ImageNetwork
from cspops.models.heads import LearnedTemperatures
from cspops.models.location_encoder import LocationEncoder
from cspops.models.networks import own_masks
from cspops.params.image_networks import Gair
from cspops.ranks import ALONE, Processes
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Float, LonLat, Tensor


@dataclass(frozen=True)
class Batch:
    """Some rows: photos and overhead images in [0, 1], channels first, footprints and places in degrees."""

    photo: Float[Tensor, "n 3 h w"] | None
    overhead: Float[Tensor, "n 3 h2 w2"]
    bbox: Float[Tensor, "n 4"]
    """West, south, east, north."""
    lonlat: Float[Tensor, "n 2"]


class Alignment(nn.Module):
    """Photo network with its projection, localized overhead features, location encoder, queue of coordinates.

    Args:
        photo: F, trained in place; None where rows have no photo.
        lonlat: places of the training rows, from which the queue starts.
        size: of the queue.
    """

    def __init__(
        self,
        photo: ImageNetwork | None,
        overhead: LocalizedOverhead,
        location: LocationEncoder,
        settings: Gair,
        *,
        lonlat: LonLat,
        size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.photo, self.overhead, self.location = photo, overhead, location
        with global_torch_stream(seed, "gair projection"):
            self.projection = None if photo is None else nn.Linear(photo.dim, overhead.dim)
        self.queue = CoordinateQueue(size, lonlat, start=settings.queue_start, generator=torch_stream(seed, "gair queue"))
        self.temperature = LearnedTemperatures({"temperature": settings.temperature}) if settings.learn_temperature else None
        distils = settings.distillation > 0
        self.first_photo = momentum_copy(photo).eval() if distils and photo is not None else None
        self.first_map = momentum_copy(overhead.map).eval() if distils else None

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms in force: of rows without a photo those that need none."""
        terms = self.settings.terms
        return terms if self.photo is not None else tuple(term for term in terms if term in WITHOUT_PHOTO)

    def loss(self, batch: Batch, everywhere: LonLat | None = None, processes: Processes = ALONE) -> dict[str, Tensor]:
        """Return the terms of `gair_loss`, the two of distillation where asked for, and their `total`; then fill the queue.

        Args:
            batch: of several processes this one's share, whose terms are weighted by its rows.
            everywhere: the places of all rows of the batch, which enter the queue; None: of these.
        """
        settings = self.settings
        everywhere = batch.lonlat if everywhere is None else everywhere
        whole = len(everywhere)
        tokens = self.overhead.map(batch.overhead)
        r = self.overhead.nili(tokens, batch.bbox, batch.lonlat)
        pooled = o = None
        if self.photo is not None and self.projection is not None and batch.photo is not None:
            pooled = self.photo.features(batch.photo)
            o = self.projection(pooled)
        # one pass for all places: they share the products
        n = len(batch.lonlat)
        with own_masks(processes, whole, more=len(self.queue)):
            places = self.location(torch.cat((batch.lonlat, self.queue.keys)))
        learned: Mapping[str, Tensor] = {} if self.temperature is None else self.temperature()
        parts = gair_loss(
            r,
            o,
            places[:n],
            places[n:],
            temperature=learned.get("temperature", settings.temperature),
            masked=self.queue.at(batch.lonlat),
            terms=self.terms,
            share=Share(processes.share(whole).start, processes.others(whole)) if processes.shares(whole) else WHOLE,
        )
        self._distil(parts, pooled, tokens, batch)
        self.queue.enqueue(everywhere)
        return {**processes.weighted(parts, whole), **learned}

    def _distil(self, parts: dict[str, Tensor], pooled: Tensor | None, tokens: Tensor, batch: Batch) -> None:
        """Add what keeps the features near those of the networks that training started from."""
        pairs = {}
        with torch.no_grad():
            if self.first_map is not None:
                pairs["distil_overhead"] = tokens.mean(1), self.first_map(batch.overhead).mean(1)
            if self.first_photo is not None and pooled is not None and batch.photo is not None:
                pairs["distil_photo"] = pooled, self.first_photo.features(batch.photo)
        for name, (student, teacher) in pairs.items():
            parts[name] = self.settings.distillation * distillation(student, teacher)
            parts["total"] = parts["total"] + parts[name]

    def after_step(self) -> None:
        """Keep a learned temperature within its bounds."""
        if self.temperature is not None:
            self.temperature.clamp()

    def train(self, mode: bool = True) -> "Alignment":
        """Put what is trained in train mode; the first networks stay as they were judged."""
        super().train(mode)
        for first in (self.first_photo, self.first_map):
            if first is not None:
                first.eval()
        return self
