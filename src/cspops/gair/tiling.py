"""Overhead images of one size that cover some places, so that each place lies well inside its own."""

import math
from dataclasses import dataclass

import torch

from cspops.climate_raster import Box
from cspops.data.overhead import Footprints
from cspops.errors import DataError
from cspops.geo import KM_PER_DEGREE
from cspops.shapes import Float, Int, Tensor

LEAST = 0.5
"""Share of a tile's side that a raster must have; where it is smaller than a tile, tiles are as large as the raster."""


@dataclass(frozen=True)
class Side:
    """How large overhead images are, in kilometres."""

    wide: float
    high: float

    @classmethod
    def of(cls, footprints: Footprints) -> "Side":
        """Return the medians of a catalogue's footprints; DataError where it has none."""
        bbox = footprints.bbox[footprints.paired | footprints.alone]
        if not len(bbox):
            raise DataError("no row of the catalogue has an overhead image", hint="docs/gair.md says how rows get one")
        west, south, east, north = bbox.unbind(1)
        shrink = torch.deg2rad((south + north) / 2).cos()
        return cls(*(KM_PER_DEGREE * float(degrees.median()) for degrees in ((east - west) * shrink, north - south)))


@dataclass(frozen=True)
class Tiling:
    """The tiles that places are read from."""

    bbox: Float[Tensor, "tiles 4"]
    tile: Int[Tensor, "n"]
    """Which of them each place is read from: one whose middle is near."""


def tiling(raster: Box, side: Side, lonlat: Float[Tensor, "n 2"], *, is_ring: bool = False) -> Tiling:
    """Cover places with tiles that overlap by half, so that each lies in the inner half of its own.

    Only at the edge of a raster it may lie nearer to the edge of its tile, as tiles do not reach beyond. A tile is as wide in
    degrees as the latitude of its middle has it.

    Args:
        raster: edges of what there is.
        side: of a tile.
        lonlat: places within it, degrees; longitudes may differ by whole turns.
        is_ring: whether the raster goes round the Earth and tiles may lie across its eastern edge.

    Raises:
        DataError: the raster is much smaller than a tile.
    """
    west, south, east, north = raster
    wide_km = KM_PER_DEGREE * (east - west) * math.cos(math.radians((south + north) / 2))
    high_km = KM_PER_DEGREE * (north - south)
    if wide_km < LEAST * side.wide or high_km < LEAST * side.high:
        raise DataError(
            f"the raster shows {wide_km:.3g} x {high_km:.3g} km, and the model was trained on overhead images of "
            f"{side.wide:.3g} x {side.high:.3g} km",
            hint="a larger raster",
        )
    high = min(side.high / KM_PER_DEGREE, north - south)
    row, lat = _nearest(north - lonlat[:, 1], high / 2, north - south - high / 2, high / 2)
    lat = north - lat
    wide = (side.wide / KM_PER_DEGREE / torch.deg2rad(lat).cos().clamp_min(1e-6)).clamp_max(east - west)
    if is_ring:
        count = torch.ceil(720 / wide).clamp_min(1)
        column = ((lonlat[:, 0] - west) * count / 360).round() % count
        lon = west + column * (360 / count)
    else:
        from_west = (lonlat[:, 0] - west) % 360
        from_west = torch.where(from_west > 360 - 1e-6, 0.0, from_west)  # on the western edge, but for rounding
        column, lon = _nearest(from_west, wide / 2, east - west - wide / 2, wide / 2)
        lon = west + lon
    _, tile = torch.unique(torch.stack((row, column), 1), dim=0, return_inverse=True)
    first = torch.zeros(int(tile.max()) + 1, dtype=torch.long).scatter_(0, tile, torch.arange(len(tile)))
    lon, lat, wide = lon[first], lat[first], wide[first]
    bbox = torch.stack((lon - wide / 2, lat - high / 2, lon + wide / 2, lat + high / 2), 1)
    return Tiling(bbox, tile)


def _nearest(
    at: Tensor, low: "float | Tensor", high: "float | Tensor", step: "float | Tensor"
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """Return the number and the place of the nearest of middles from ``low`` to ``high``, at most ``step`` apart."""
    span = torch.as_tensor(high - low, dtype=torch.float64).clamp_min(0).expand(len(at))
    parts = torch.ceil(span / step - 1e-9).clamp_min(1)
    number = ((at - low) / (span / parts).clamp_min(1e-12)).round().clamp_min(0).minimum(parts)
    return number, low + number * (span / parts)
