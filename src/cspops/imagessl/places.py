"""Images of one place at several dates: group the rows, and draw a partner or a date."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.cluster import DBSCAN

from cspops.data.dates import NO_DATE
from cspops.geo import EARTH_RADIUS_KM
from cspops.imagessl.images import UnlabelledImages
from cspops.shapes import Bool, Float, Int, Tensor

DAY = 86_400_000
"""Milliseconds."""


@dataclass(frozen=True)
class Runs:
    """Consecutive numbers: run r holds ``size[r]`` of them, from ``first[r]``."""

    first: Int[Tensor, "r"]
    size: Int[Tensor, "r"]

    @classmethod
    def of(cls, number: Int[Tensor, "n"]) -> "Runs":
        """Count sorted numbers of runs, none of which is missing."""
        size = number.bincount()
        return cls(size.cumsum(0) - size, size)

    def draw(self, runs: Int[Tensor, "b"], draws: torch.Generator) -> Int[Tensor, "b"]:
        """Draw one of the numbers of each run, uniformly."""
        return self.first[runs] + below(self.size[runs], draws)

    def to(self, device: torch.device) -> "Runs":
        """Return the same on ``device``."""
        return Runs(self.first.to(device), self.size.to(device))


@dataclass(frozen=True)
class Places:
    """Rows in the order of their places, and within a place of their dates.

    A date is a day in UTC: images taken minutes apart show the same season. Images without a date may be of any, so that
    they are compared with one another only, and each of them counts as a date of its own (a table of places may name no
    dates at all): the images with and without a date at one `location_id` are two places here.
    """

    place: Int[Tensor, "n"]
    """Of each row, from 0."""
    date: Int[Tensor, "n"]
    """Of each row, from 0 over the dates of all places: those of a place are consecutive."""
    order: Int[Tensor, "n"]
    """Rows by place, then date, then number."""
    rows: Runs
    """Of each place, in ``order``."""
    dates: Runs
    """Of each place, its dates."""
    rows_of_date: Runs
    """Of each date, in ``order``."""

    @classmethod
    def of(cls, images: UnlabelledImages, *, metres: float | None, device: torch.device | None = None) -> "Places":
        """Group rows by `location_id`; those without one by position, as `grouped` does, where ``metres`` are given."""
        dated = images.captured_at != NO_DATE
        day = torch.where(dated, images.captured_at.div(DAY, rounding_mode="floor"), torch.arange(len(images)))
        place = (2 * grouped(images, metres) + dated).unique(return_inverse=True)[1]
        order = torch.from_numpy(np.lexsort((day.numpy(), place.numpy())))
        place_in_order, day_in_order = place[order], day[order]
        begins = (place_in_order.diff() != 0) | (day_in_order.diff() != 0)
        date_in_order = torch.cat((torch.zeros(min(1, len(order)), dtype=torch.long), begins.long().cumsum(0)))
        date = torch.empty_like(date_in_order).scatter_(0, order, date_in_order)
        rows_of_date = Runs.of(date_in_order)
        place_of_date = place_in_order[rows_of_date.first]
        device = device or torch.device("cpu")
        return cls(
            place.to(device),
            date.to(device),
            order.to(device),
            Runs.of(place_in_order).to(device),
            Runs.of(place_of_date).to(device),
            rows_of_date.to(device),
        )

    def __len__(self) -> int:
        return len(self.rows.size)

    @property
    def alone(self) -> Bool[Tensor, "n"]:
        """Which rows have no image of their place with another date."""
        return self.dates.size[self.place] == 1

    def partners(self, rows: Int[Tensor, "b"], draws: torch.Generator) -> Int[Tensor, "b"]:
        """Draw for each row another of its place with another date, uniformly; the row itself where there is none."""
        place, date = self.place[rows], self.date[rows]
        own, first = self.rows_of_date.size[date], self.rows.first[place]
        others = self.rows.size[place] - own
        at = first + below(others, draws)
        at = at + own * (at >= self.rows_of_date.first[date])  # over the rows of its own date
        return torch.where(others > 0, self.order[torch.where(others > 0, at, first)], rows)

    def images(self, places: Int[Tensor, "b"], draws: torch.Generator) -> Int[Tensor, "b"]:
        """Draw for each place one of its dates, uniformly, and a row of that date."""
        return self.order[self.rows_of_date.draw(self.dates.draw(places, draws), draws)]


def below(limit: Int[Tensor, "b"], draws: torch.Generator) -> Int[Tensor, "b"]:
    """Draw uniform whole numbers from 0 to below each limit; 0 where that is 0."""
    u = torch.rand(len(limit), generator=draws, device=limit.device)
    return torch.minimum((u * limit).long(), (limit - 1).clamp(min=0))


def grouped(images: UnlabelledImages, metres: float | None) -> Int[Tensor, "n"]:
    """Number the places from 0 and return each row's; a row that belongs to none is a place of its own.

    Rows without `location_id` belong together where steps of at most ``metres`` lead from one position to the other
    (DBSCAN with a least size of 1). None leaves them single.
    """
    place = images.place.clone()
    if metres is not None:
        rows = ((place < 0) & images.located).nonzero()[:, 0]
        if len(rows):
            positions, which = images.lonlat[rows].unique(dim=0, return_inverse=True)
            place[rows] = place.max() + 1 + near_together(positions, metres)[which]
    lone = (place < 0).nonzero()[:, 0]
    if len(lone):
        place[lone] = place.max() + 1 + torch.arange(len(lone))
    return place


def near_together(lonlat: Float[Tensor, "m 2"], metres: float) -> Int[Tensor, "m"]:
    """Return each position's chain, in which every position is within ``metres`` of the next."""
    latlon = torch.deg2rad(lonlat.double()).flip(1).numpy()
    chains = DBSCAN(eps=metres / 1000 / EARTH_RADIUS_KM, min_samples=1, metric="haversine", algorithm="ball_tree")
    return torch.from_numpy(chains.fit_predict(latlon).astype(np.int64))
