"""A raster from above, of which overhead images are cut."""

import io
import math
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cspops.climate_raster import Box
from cspops.errors import DataError
from cspops.geo import KM_PER_DEGREE
from cspops.intake.images.georeference import footprint
from cspops.intake.sources.blue_marble import read_rasters, tiles
from cspops.pixels.gdal import gdal_alone
from cspops.pixels.reading import Reading
from cspops.pixels.rgb import INTERPOLATIONS, open_rgb
from cspops.pixels.unreadable import UnreadableImage, read_file
from cspops.shapes import Float, Tensor, UInt8

REPROJECT = "gdalwarp -t_srs EPSG:4326 -r bilinear RASTER.tif north_up.tif makes one that is north up in degrees"
ALIKE = "write it as the overhead images of the training are: the same bands, and values of the same range"


class BlueMarble:
    """The embedded raster of the whole Earth, cut as its observations are."""

    box: Box = (-180.0, -90.0, 180.0, 90.0)
    is_ring = True

    def __init__(self) -> None:
        self.image = read_rasters(Path(str(files("cspops").joinpath("sample")))).image

    def cut(self, bbox: Float[Tensor, "n 4"], px: int) -> UInt8[Tensor, "n px px 3"]:
        """Return tiles that are as wide as they are high."""
        west, south, east, north = bbox.unbind(1)
        centre = torch.stack(((west + east) / 2, (south + north) / 2), 1)
        return tiles(self.image, centre, km=KM_PER_DEGREE * float((north - south)[0]), px=px)


class GeoTiff:
    """A raster from a file.

    Args:
        file: a GeoTIFF, north up in degrees.
        reading: how the overhead images of the training were read.
        interpolation: how they were resized, one of `pixels.rgb.INTERPOLATIONS`.

    Raises:
        DataError: it cannot be read, or does not say where it lies.
    """

    is_ring = False

    def __init__(self, file: Path, reading: Reading, interpolation: str = "bicubic") -> None:
        if not file.is_file():
            raise DataError(f"{file} is missing", hint="name a GeoTIFF with --overhead")
        try:
            content = read_file(file)
            box = footprint(content)
            if isinstance(box, str):
                raise DataError(f"{file} cannot be used: {box}", hint=REPROJECT)
            image = open_rgb(content, reading=reading)
        except UnreadableImage as error:
            raise DataError(f"{file} cannot be used: {error}", hint=ALIKE) from None
        self.box: Box = box
        self.image = _in_degrees(image, content, box)
        self.resampling = INTERPOLATIONS[interpolation]

    def cut(self, bbox: Float[Tensor, "n 4"], px: int) -> UInt8[Tensor, "n px px 3"]:
        """Return parts, each squeezed into a square, as overhead images are."""
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
            out[number] = np.asarray(self.image.resize((px, px), self.resampling, box=box))
        return torch.from_numpy(out)


Raster = BlueMarble | GeoTiff
"""`box`: its edges in degrees, east maybe above 180. `is_ring`: as `tiling` takes it. `cut`: parts, as squares of pixels."""


def _in_degrees(image: Image.Image, content: bytes, box: Box) -> Image.Image:
    """Return a GeoTIFF's image with columns and rows equally spaced in degrees WGS84 between its edges, as `footprint` has it.

    Over a few tiles what `footprint` lets pass is little; over a large raster it is not.
    """
    import rasterio
    from rasterio.transform import from_bounds
    from rasterio.warp import Resampling, reproject

    with gdal_alone(), rasterio.open(io.BytesIO(content), driver="GTiff") as opened:
        crs, transform = opened.crs, opened.transform
        degrees = rasterio.CRS.from_epsg(4326)
        if crs == degrees:
            return image
        out = np.zeros((3, image.height, image.width), np.uint8)
        to = from_bounds(*box, image.width, image.height)
        pixels = np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
        reproject(
            pixels,
            out,
            src_transform=transform,
            src_crs=crs,
            dst_transform=to,
            dst_crs=degrees,
            resampling=Resampling.bilinear,
        )
    return Image.fromarray(np.ascontiguousarray(out.transpose(1, 2, 0)))
