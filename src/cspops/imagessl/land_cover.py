"""Read the land cover around positions off a categorical raster: shares of its classes, without a label of any image."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from cspops import land
from cspops.errors import DataError
from cspops.geo import blocks, tile_grid
from cspops.land import zones_at
from cspops.shapes import Float, Int, Tensor

LATTICE = 32
"""Rows and columns of points at which a square is sampled."""

BLOCK = 1024
"""Positions sampled at once."""

CLASSES = 256
"""A raster with more is taken for measurements."""

NOTHING = -1
"""The code where a raster has no class."""

CodesAt = Callable[[Tensor], Tensor]
"""From positions (longitude, latitude) to codes of the raster, `NOTHING` outside it and where it has no data."""


@dataclass(frozen=True)
class LandCover:
    """Shares of classes around the positions where the raster has data."""

    rows: Int[Tensor, "m"]
    """The numbers of these positions."""
    share: Float[Tensor, "m c"]
    """The share of each class in the square around the position, among points with data; rows sum to 1."""
    codes: tuple[int, ...]
    """The codes of all classes that occur around some position."""
    left_out: int
    """The number of other positions: missing, outside the raster, or without data around."""
    note: str
    """A remark for the reader of the results."""


def land_cover_around(lonlat: Float[Tensor, "n 2"], codes_at: CodesAt, *, side_km: float, name: str, note: str) -> LandCover:
    """Return the shares in squares of ``side_km`` around positions in degrees (nan where missing), from a lattice of points.

    Raises:
        DataError: the raster, called ``name``, has no data around any position, only one class there, or too many.
    """
    located = (~lonlat.isnan().any(1)).nonzero()[:, 0]
    order = located[
        blocks(lonlat[located], 1.0).argsort(stable=True)
    ]  # neighbours share a block, so that few windows of the raster are read
    blocks_of_counts: list[tuple[Tensor, np.ndarray, Tensor]] = []
    every = np.zeros(0, np.int64)
    for rows in order.split(BLOCK):
        codes = codes_at(tile_grid(lonlat[rows].double(), km=side_km, px=LATTICE)).flatten(1)
        present, place = np.unique(codes.numpy(), return_inverse=True)
        every = np.union1d(every, present[present != NOTHING])
        if len(every) > CLASSES:
            raise DataError(f"{name} is not a categorical raster: it has more than {CLASSES} classes", hint=HINT)
        counts = torch.zeros(len(rows), len(present), dtype=torch.float64)
        ones = torch.ones(codes.shape, dtype=torch.float64)
        counts.scatter_add_(1, torch.from_numpy(place.reshape(codes.shape)), ones)
        blocks_of_counts.append((rows, present, counts))
    total = torch.zeros(len(lonlat), len(every), dtype=torch.float64)
    for rows, present, counts in blocks_of_counts:
        known = present != NOTHING
        columns = torch.from_numpy(np.searchsorted(every, present[known]))
        total[rows[:, None], columns] = counts[:, torch.from_numpy(known)]
    usable = total.sum(1) > 0
    rows = usable.nonzero()[:, 0]
    if not len(rows):
        raise DataError(f"{name} has no class around any of {len(lonlat)} training positions", hint=HINT)
    if len(every) < 2:
        raise DataError(f"{name} has only one class around the training positions: there is nothing to learn", hint=HINT)
    share = total[rows] / total[rows].sum(1, keepdim=True)
    return LandCover(rows, share.float(), tuple(every.tolist()), len(lonlat) - len(rows), note)


HINT = "set pretrain_img.methods.geokr.raster in params.yaml to a land-cover raster of the region, or choose another method"


def climate_zones() -> CodesAt:
    """Return the embedded climate raster (100 arc seconds per pixel); the sea is a class like the others."""
    return partial(zones_at, land.climate_zones())
