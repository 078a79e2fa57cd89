"""The land of the embedded climate raster."""

from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import torch
from PIL import Image

from cspops.shapes import Bool, Float, Tensor

SEA = 32
"""The code of the embedded climate raster that is not a land zone."""
PER_DEGREE = 36
"""Pixels of the raster."""


def land_pixels() -> np.ndarray:
    """Mask of the embedded climate raster, a row for 100 arc seconds, north up, first pixel at 180 W 90 N."""
    with files("cspops").joinpath("sample/climate_zones.png").open("rb") as opened, Image.open(opened) as image:
        land: np.ndarray = np.asarray(image) != SEA
    return land


@dataclass(frozen=True)
class LandMask:
    """The land of a global equirectangular raster as runs of land pixels along its rows: some 50,000 for 84 million pixels.

    Attributes:
        upto: area of the runs up to and with each one, on the unit sphere (a run between latitudes a < b that is l
            radians of longitude long has the area l (sin b - sin a)).
        lon: western and eastern border of each run, degrees.
        height: sine of the northern and of the southern border of each run.
    """

    upto: Float[Tensor, "runs"]
    lon: Float[Tensor, "runs 2"]
    height: Float[Tensor, "runs 2"]

    @classmethod
    def of(cls, land: Bool[np.ndarray, "h w"]) -> "LandMask":
        """Of a raster that is true on land, north up, first pixel at 180 W 90 N.

        Raises:
            ValueError: there is no land.
        """
        h, w = land.shape
        # A run starts where land follows sea, and ends where sea follows land; a row's ends are taken for sea.
        starts, ends = [], []
        for row in range(h):  # a row at a time: the whole raster's differences would take as much again as the raster
            change = np.flatnonzero(np.diff(land[row], prepend=False, append=False))
            starts.append(change[::2])
            ends.append(change[1::2])
        of_row = torch.from_numpy(np.repeat(np.arange(h), [len(one) for one in starts]))
        if not len(of_row):
            raise ValueError("the raster holds no land")
        columns = torch.from_numpy(np.stack((np.concatenate(starts), np.concatenate(ends)), 1)).double()
        border = torch.deg2rad(90 - torch.arange(h + 1, dtype=torch.float64) * (180 / h)).sin()
        height = torch.stack((border[of_row], border[of_row + 1]), 1)
        area = (columns[:, 1] - columns[:, 0]) * (2 * torch.pi / w) * (height[:, 0] - height[:, 1])
        return cls(area.cumsum(0), columns * (360 / w) - 180, height)

    def to(self, device: torch.device) -> "LandMask":
        """The same on ``device``."""
        return LandMask(self.upto.to(device), self.lon.to(device), self.height.to(device))


def read_land() -> LandMask:
    """The land of the embedded climate raster (100 arc seconds a pixel): all that has a climate zone.

    Antarctica has one, and so have lakes, but the Caspian Sea has none. Takes half a second.
    """
    with files("cspops").joinpath("sample/climate_zones.png").open("rb") as opened, Image.open(opened) as image:
        return LandMask.of(np.asarray(image) != SEA)
