"""The pool of experts: P(y|I), P(y|x) and a count of labelled neighbours, each trusted as validation says.

At a place x with labelled rows i at distances d_i, the nearest at d:

    P_n(y|x) = (c sum_i exp(-d_i^2 / 2 h^2) [y_i = y] + P(y|x)) / (c sum_i exp(-d_i^2 / 2 h^2) + 1)
    log P(y|I, x) = a(d) log P(y|I) + b(d) log P_n(y|x) + const

Where the location encoder takes dates, a neighbour's kernel may have the factor exp(-g_i^2 / 2 D^2) as well, g_i the days of
the year between it and the date of x. Where either has no date the factor is its mean over the year: P_n without a date is
that of the mean counts.

P_n is the learned P(y|x) far from every label. a and b go from one value near labels to another far from them:
a(d) = a_near g + a_far (1 - g) with g = exp(-d / fade_km). `pool_fit` finds the numbers.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, Field
from scipy.spatial import cKDTree

from cspops.artefacts import json_as, read_columns
from cspops.errors import DataError
from cspops.geo import EARTH_RADIUS_KM, unit_vectors
from cspops.shapes import Bool, Float, Int, Tensor

NEIGHBOURS = 100
"""Labelled rows that are counted at a place, at most."""
AT_ONCE = 2**14
"""Positions whose neighbours are looked for at once: what that takes besides the neighbours is held for so many."""
YEAR = 365.2425
"""Days."""
POOL, PLACES = "pool.json", "places.parquet"


@dataclass(frozen=True)
class Neighbours:
    """The nearest labelled rows of n positions, nearest first: at most k, or all where there are fewer."""

    km: Float[Tensor, "n k"]
    label: Int[Tensor, "n k"]
    days: Float[Tensor, "n k"] | None = None
    """Days of the year between each and the position's date, at most half a year; nan without a date, None if none is known."""

    @property
    def nearest_km(self) -> Float[Tensor, "n"]:
        """The distance to the nearest labelled row; inf where there is none."""
        return self.km[:, 0] if self.km.shape[1] else self.km.new_full((len(self.km),), torch.inf)

    def of(self, rows: Tensor | slice) -> "Neighbours":
        """Return those of some positions."""
        return Neighbours(self.km[rows], self.label[rows], None if self.days is None else self.days[rows])

    def first(self, k: int) -> "Neighbours":
        """Return the ``k`` nearest."""
        return Neighbours(self.km[:, :k], self.label[:, :k], None if self.days is None else self.days[:, :k])


@dataclass(frozen=True)
class Places:
    """Labelled rows with a position."""

    lonlat: Float[Tensor, "m 2"]
    """Degrees, float64."""
    label: Int[Tensor, "m"]
    when: Float[Tensor, "m"] | None = None
    """Shares of the year, see `data.dates`; nan where there is no date, None where none is known."""

    @cached_property
    def _tree(self) -> Any:
        return cKDTree(unit_vectors(self.lonlat.double()).numpy())

    def near(self, lonlat: Float[Tensor, "n 2"], when: Float[Tensor, "n"] | None = None, *, k: int = NEIGHBOURS) -> Neighbours:
        """Return the ``k`` labelled rows nearest to each position, whatever their dates; at km inf where it is nan.

        Chords of a k-d tree order points as great circles do.
        """
        k = min(k, len(self.label))
        km = torch.full((len(lonlat), k), torch.inf, dtype=torch.float64)
        label = torch.zeros(len(lonlat), k, dtype=torch.long)
        days = None if self.when is None else torch.full_like(km, torch.nan)
        located = (~lonlat.isnan().any(1)).nonzero()[:, 0]
        for rows in located.split(AT_ONCE) if k and len(located) else ():
            chord, row = self._tree.query(unit_vectors(lonlat[rows].double()).numpy(), k=[*range(1, k + 1)])
            km[rows] = torch.from_numpy(2 * EARTH_RADIUS_KM * np.arcsin(np.clip(chord / 2, 0, 1)))
            label[rows] = self.label[torch.from_numpy(row)].long()
            if days is not None and self.when is not None and when is not None:
                days[rows] = days_between(when[rows, None], self.when[torch.from_numpy(row)])
        return Neighbours(km, label, days)


@dataclass(frozen=True)
class Slots:
    """The classes among the neighbours of each row, once each; a row with fewer than k has slots to spare."""

    label: Int[Tensor, "n s"]
    used: Bool[Tensor, "n s"]
    slot: Int[Tensor, "n k"]
    """The slot of each neighbour."""

    @classmethod
    def of(cls, near: Neighbours) -> "Slots":
        """Find them."""
        label, order = near.label.sort(1)
        new = torch.ones_like(label, dtype=torch.bool)
        new[:, 1:] = label[:, 1:] != label[:, :-1]
        slot = new.cumsum(1) - 1
        most = int(slot[:, -1].max()) + 1 if slot.numel() else 0
        first = torch.zeros_like(label).scatter_(1, slot, label)[:, :most]
        used = torch.arange(most) <= slot[:, -1:]
        return cls(first, used, torch.empty_like(slot).scatter_(1, order, slot))

    def log_counts(self, weight: Float[Tensor, "n k"]) -> Float[Tensor, "n s"]:
        """Return the log of each slot's sum of ``weight``, given per neighbour; -inf where it is 0."""
        return torch.zeros(self.label.shape, dtype=weight.dtype).scatter_add_(1, self.slot, weight).log()


def kernel(km: Float[Tensor, "n k"], kernel_km: float) -> Float[Tensor, "n k"]:
    """Return exp(-d^2 / 2 h^2)."""
    return (km / kernel_km).square_().mul_(-0.5).exp_()


def days_between(a: Float[Tensor, "*n"], b: Float[Tensor, "*m"]) -> Float[Tensor, "*nm"]:
    """Return the days between two shares of the year, the shorter way round: at most half a year."""
    apart = (a.double() - b.double()).remainder(1)
    return YEAR * torch.minimum(apart, 1 - apart)


def date_kernel(days: Float[Tensor, "n k"], kernel_days: float) -> Float[Tensor, "n k"]:
    """Return exp(-g^2 / 2 D^2); its mean over the year where g is nan."""
    reach = math.sqrt(2) * kernel_days
    mean = math.sqrt(math.pi) * reach / YEAR * math.erf(YEAR / 2 / reach)
    return (days / reach).square_().neg_().exp_().nan_to_num_(mean)


def neighbour_kernel(near: Neighbours, kernel_km: float, kernel_days: float | None) -> Float[Tensor, "n k"]:
    """Return the weight of each neighbour: of its distance, and of its date where ``kernel_days`` is given."""
    weight = kernel(near.km, kernel_km)
    if kernel_days is None:
        return weight
    days = torch.full_like(near.km, torch.nan) if near.days is None else near.days
    return weight.mul_(date_kernel(days, kernel_days))


@dataclass(frozen=True)
class Pool:
    """What validation chose; the default is the plain product of P(y|I) and P(y|x)."""

    image: tuple[float, float] = (1.0, 1.0)
    """a near labels and far from them."""
    place: tuple[float, float] = (1.0, 1.0)
    """b likewise."""
    image_alone: float = 1.0
    """The power of P(y|I) where there is no position."""
    fade_km: float | None = None
    """None where near and far are the same."""
    kernel_km: float = 100.0
    """h."""
    count_weight: float = 0.0
    """c."""
    kernel_days: float | None = None
    """D; None where dates of neighbours do not count."""

    def place_log_p(self, location: Float[Tensor, "n q"], near: Neighbours) -> Float[Tensor, "n q"]:
        """Return log P_n(y|x) of log P(y|x); it is the same where there is no position."""
        if self.count_weight == 0 or near.km.shape[1] == 0:
            return location
        label, counted, total = self._counted(location, near)
        return location.scatter(1, label, counted).sub_(total.log()[:, None])

    def _counted(
        self, location: Float[Tensor, "n q"], near: Neighbours
    ) -> tuple[Int[Tensor, "n s"], Float[Tensor, "n s"], Float[Tensor, "n"]]:
        """Return the classes of neighbours, their log P_n(y|x) before it is divided by a row's total, and the total."""
        weight, slots = neighbour_kernel(near, self.kernel_km, self.kernel_days), Slots.of(near)
        counted = torch.logaddexp(slots.log_counts(weight) + math.log(self.count_weight), location.gather(1, slots.label))
        # a slot to spare repeats the first one, so that whichever is written last is right
        label, counted = (table.where(slots.used, table[:, :1]) for table in (slots.label, counted))
        return label, counted, 1 + self.count_weight * weight.sum(1)

    def weights(self, km_nearest: Float[Tensor, "n"]) -> Float[Tensor, "n 2"]:
        """Return a(d) and b(d) at distances to the nearest labelled row, in km."""
        ends = torch.tensor((self.image, self.place), dtype=torch.float64)
        return nearness(km_nearest, self.fade_km).matmul(ends.T)

    def log_p(
        self,
        image: Float[Tensor, "n q"] | None,
        location: Float[Tensor, "n q"] | None,
        near: Neighbours,
        located: Bool[Tensor, "n"],
    ) -> Float[Tensor, "n q"]:
        """Return log P(y|I, x) of log P(y|I) and log P(y|x), of which one may be missing.

        Without a position it is the image alone; without an image the place alone, and uniform where there is none.
        ``location`` may hold anything where ``located`` is false.
        """
        if location is None:
            if image is None:
                raise ValueError("neither an image nor a location")
            return (self.image_alone * image).log_softmax(1)
        if not located.all():
            location = location.where(located[:, None], 0)
        a, b = self.weights(near.nearest_km).where(located[:, None], 0).T[..., None]
        scores: Tensor = b * location
        if self.count_weight > 0 and near.km.shape[1] > 0:
            label, counted, _ = self._counted(location, near)
            scores.scatter_(1, label, b * counted)
        if image is not None:
            scores.addcmul_(a.where(located[:, None], self.image_alone), image)
        return scores.log_softmax(1)


def nearness(km_nearest: Float[Tensor, "n"], fade_km: float | None) -> Float[Tensor, "n 2"]:
    """Return g and 1 - g, the shares of the weights near labels and far from them; (1, 0) where there is one pair."""
    g = torch.ones_like(km_nearest.double()) if fade_km is None else (-km_nearest.double() / fade_km).exp()
    return torch.stack((g, 1 - g), 1)


Weight = Annotated[float, Field(ge=0, le=1e6)]
Kilometres = Annotated[float, Field(ge=1e-3, le=1e6)]


class PoolEntry(BaseModel):
    """A pool as pool.json holds it."""

    image: tuple[Weight, Weight]
    place: tuple[Weight, Weight]
    image_alone: Weight
    fade_km: Kilometres | None
    kernel_km: Kilometres
    count_weight: Weight
    kernel_days: Annotated[float, Field(ge=0.1, le=1e4)] | None = None

    def pool(self) -> Pool:
        """Return it for a predictor."""
        return Pool(**self.model_dump())


def write_pool(folder: Path, pool: Pool, places: Places) -> None:
    """Write pool.json and places.parquet; dates are there only where they count."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    entry, dated = dataclasses.asdict(pool), pool.kernel_days is not None
    if not dated:
        del entry["kernel_days"]
    (folder / POOL).write_text(json.dumps(entry, indent=1, allow_nan=False) + "\n")
    lon, lat = places.lonlat.double().unbind(1)
    columns = {"lon": lon.numpy(), "lat": lat.numpy(), "label": places.label.int().numpy()}
    if dated:
        when = torch.full_like(lon, torch.nan) if places.when is None else places.when.double()
        columns["when"] = pa.array(when.numpy(), from_pandas=True)  # nan to null
    pq.write_table(pa.table(columns, schema=_places_schema(dated=dated)), folder / PLACES, compression="zstd")


def read_pool(folder: Path, *, classes: int, remake: str) -> tuple[Pool, Places] | None:
    """Return the pool in a folder and its labelled places; None where there is no pool.

    Raises:
        DataError: a file is missing or damaged, or about other classes.
    """
    if not (folder / POOL).exists():
        return None
    pool = json_as(folder / POOL, PoolEntry, remake=remake).pool()
    file = folder / PLACES
    table = read_columns(file, _places_schema(dated=pool.kernel_days is not None), remake=remake)
    lonlat = np.stack([table[name].to_numpy() for name in ("lon", "lat")], 1)
    label = table["label"].to_numpy().astype(np.int64)
    wrong = ~np.isfinite(lonlat).all(1) | (np.abs(lonlat) > (180, 90)).any(1)
    if wrong.any():
        raise DataError(f"{file} is broken: row {int(wrong.argmax()) + 1} is no position on the Earth", hint=remake)
    if len(label) and (label.min() < 0 or label.max() >= classes):
        raise DataError(f"{file} is broken: a label is not one of the {classes} classes", hint=remake)
    return pool, Places(torch.from_numpy(lonlat), torch.from_numpy(label), _dates(table, file, remake=remake))


def _dates(table: Any, file: Path, *, remake: str) -> Float[Tensor, "m"] | None:
    """Return the column of dates, nan for null; None where there is none."""
    if "when" not in table.schema.names:
        return None
    when = torch.from_numpy(table["when"].to_numpy().astype(np.float64))
    wrong = (when < 0) | (when >= 1)
    if wrong.any():
        raise DataError(f"{file} is broken: row {int(wrong.int().argmax()) + 1} has no date of the year", hint=remake)
    return when


def _places_schema(*, dated: bool) -> Any:
    import pyarrow as pa

    fields = [("lon", pa.float64()), ("lat", pa.float64()), ("label", pa.int32())]
    when = [pa.field("when", pa.float64())] if dated else []
    return pa.schema([*(pa.field(name, kind, nullable=False) for name, kind in fields), *when])
