"""A raster from above, cut into overhead images of the size that a model was trained with."""

import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from cspops.data.overhead import Footprints
from cspops.errors import DataError
from cspops.geo import KM_PER_DEGREE
from cspops.intake.images.georeference import footprint
from cspops.intake.sources.blue_marble import read_rasters, tiles
from cspops.land import Box
from cspops.pixels.reading import Reading
from cspops.pixels.rgb import open_rgb
from cspops.pixels.unreadable import UnreadableImage
from cspops.shapes import Float, Int, Tensor, UInt8

LEAST = 0.5
"""Share of a tile's side that a raster must have; where it is smaller than a tile, tiles are as large as the raster."""
REPROJECT = "gdalwarp -t_srs EPSG:4326 -r bilinear RASTER.tif north_up.tif makes one that is north up in degrees"


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


class Raster(Protocol):
    """Pixels, and the part of the Earth that they show."""

    box: Box
    """West, south, east, north of its edges, degrees; all meridians, or east maybe above 180."""

    def cut(self, bbox: Float[Tensor, "n 4"], px: int) -> UInt8[Tensor, "n px px 3"]:
        """Return the parts in ``bbox``, all within `box` but for turns of longitude."""


class BlueMarble:
    """The embedded raster of the whole Earth, cut as its observations are."""

    box: Box = (-180.0, -90.0, 180.0, 90.0)

    def __init__(self) -> None:
        self.image = read_rasters(Path(str(files("cspops").joinpath("sample")))).image

    def cut(self, bbox: Float[Tensor, "n 4"], px: int) -> UInt8[Tensor, "n px px 3"]:
        """Return tiles that are as wide as they are high."""
        west, south, east, north = bbox.unbind(1)
        centre = torch.stack(((west + east) / 2, (south + north) / 2), 1)
        return tiles(self.image, centre, km=KM_PER_DEGREE * float((north - south)[0]), px=px)


class GeoTiff:
    """A raster from a file, read as the images of a data set are.

    Raises:
        DataError: it cannot be read, or does not say where it lies.
    """

    def __init__(self, file: Path, reading: Reading) -> None:
        if not file.is_file():
            raise DataError(f"{file} is missing", hint="name a GeoTIFF with --overhead")
        box = footprint(file)
        if isinstance(box, str):
            raise DataError(f"{file} cannot be used: {box}", hint=REPROJECT)
        try:
            self.image = open_rgb(file, reading=reading)
        except UnreadableImage as error:
            raise DataError(
                f"{file} cannot be used: {error}", hint="dataset.*.images of params.yaml says which bands"
            ) from None
        self.box = box

    def cut(self, bbox: Float[Tensor, "n 4"], px: int) -> UInt8[Tensor, "n px px 3"]:
        """Return parts, each resized as the images of a data set are."""
        west, south, east, north = self.box
        across, down = self.image.width / (east - west), self.image.height / (north - south)
        out = np.empty((len(bbox), px, px, 3), dtype=np.uint8)
        for number, (left, low, right, high) in enumerate(bbox.tolist()):
            turn = 360 * math.floor((left - west + 1e-9) / 360)
            corners = (
                (left - turn - west) * across,
                (north - high) * down,
                (right - turn - west) * across,
                (north - low) * down,
            )
            limits = (self.image.width, self.image.height) * 2
            box = tuple(min(max(at, 0.0), limit) for at, limit in zip(corners, limits, strict=True))
            out[number] = np.asarray(self.image.resize((px, px), Image.Resampling.BICUBIC, box=box))
        return torch.from_numpy(out)


@dataclass(frozen=True)
class Tiling:
    """The tiles that places are read from."""

    bbox: Float[Tensor, "tiles 4"]
    tile: Int[Tensor, "n"]
    """Which of them each place is read from: one whose middle is near."""


def tiling(raster: Box, side: Side, lonlat: Float[Tensor, "n 2"]) -> Tiling:
    """Cover places with tiles that overlap by half, so that each lies in the inner half of its own.

    Only at the edge of a raster it may lie nearer to the edge of its tile, as tiles do not reach beyond. All meridians are
    a ring. A tile is as wide in degrees as the latitude of its middle has it.

    Args:
        raster: edges of what there is.
        side: of a tile.
        lonlat: places within it, degrees; longitudes may differ by whole turns.

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
    if east - west >= 360:
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
