"""Inputs of a pre-training method besides the training images: rasters, and their values around the training places."""

from pathlib import Path

import numpy as np
import torch

from cspops.errors import DataError
from cspops.imagessl.images import UnlabelledImages
from cspops.imagessl.land_cover import CodesAt, LandCover, climate_zones, land_cover_around
from cspops.intake.images.categorical_raster import open_categorical_raster
from cspops.params.image_networks import Geokr, MethodSettings, Tile2Vec
from cspops.pixels.rgb import open_rgb
from cspops.pixels.tensors import read_reading
from cspops.pixels.unreadable import UnreadableImage
from cspops.shapes import Float, Tensor, UInt8
from cspops.site import Site

CLIMATE_ZONES = "climate_zones"


def extra_inputs(settings: MethodSettings, images: UnlabelledImages, site: Site) -> dict[str, Tensor | LandCover]:
    """Return the further keyword arguments of the method with these settings, from training rows only."""
    match settings:
        case Tile2Vec(mode="tiles", raster=str(raster)):
            return {"raster": image_raster(raster, site)}
        case Geokr():
            return {"land_cover": land_cover(settings.raster, images.lonlat, side_km=settings.side_km, site=site)}
    return {}


def image_raster(raster: str, site: Site) -> UInt8[Tensor, "h w 3"]:
    """Read one large image as the data set's own images are read (bands, black and white).

    Raises:
        DataError: it cannot be read.
    """
    file = file_of(raster, site)
    try:
        image = open_rgb(file, reading=read_reading(site.inputs["download"]))
    except UnreadableImage as error:
        hint = "set pretrain_img.methods.tile2vec.raster in params.yaml to another file"
        raise DataError(f"raster {file} cannot be used: {error}", hint=hint) from None
    return torch.from_numpy(np.array(image))


def land_cover(raster: str, lonlat: Float[Tensor, "n 2"], *, side_km: float, site: Site) -> LandCover:
    """Return the classes of the raster around positions.

    Raises:
        EnvironmentProblem: a file needs rasterio and pyproj, and they are not installed.
        DataError: the raster cannot be used, or does not cover these positions.
    """
    extra = (
        f"It uses extra information: the shares of the classes of {{}} in squares of {side_km:g} km around the training places"
    )
    if raster == CLIMATE_ZONES:
        name = "the embedded raster of climate zones"
        note = f"{extra.format(name)}, and the labels of the embedded data set are drawn from that same raster"
        return land_cover_around(lonlat, climate_zones(), side_km=side_km, name=name, note=note)
    file = file_of(raster, site)
    codes = open_categorical_raster(file)
    codes_at: CodesAt = lambda at: torch.from_numpy(codes(at.numpy()))  # noqa: E731
    note = extra.format(f"the raster {raster.removeprefix('file:')}")
    return land_cover_around(lonlat, codes_at, side_km=side_km, name=str(file), note=note)


def file_of(raster: str, site: Site) -> Path:
    """Return the file of `file:PATH`, relative to the project's folder."""
    return site.raw.parent / raster.removeprefix("file:")
