"""The land of the embedded climate raster: all that has a climate zone.

Antarctica has a zone, and so have lakes, but the Caspian Sea has none.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from cspops.climate_raster import SEA, codes
from cspops.geo import equirectangular_pixel
from cspops.kernels import asin
from cspops.shapes import Bool, Float, Int, LonLat, Tensor, UInt8


def climate_zones() -> UInt8[Tensor, "h w"]:
    """Read the raster's codes, see `climate_raster.codes`."""
    return torch.from_numpy(codes())


def zones_at(zones: UInt8[Tensor, "h w"], lonlat: LonLat) -> Int[Tensor, "*batch"]:
    """Return the code of the pixel that each position lies in, of a whole raster such as `climate_zones`."""
    row, column = equirectangular_pixel(lonlat, height=zones.shape[0], width=zones.shape[1])
    return zones[row, column].long()


@dataclass(frozen=True)
class LandRuns:
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
    def of(cls, land: Bool[np.ndarray, "h w"]) -> "LandRuns":
        """Find the runs of a raster that is true on land, north up, first pixel at 180 W 90 N.

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

    def to(self, device: torch.device) -> "LandRuns":
        """Return the same on ``device``."""
        return LandRuns(self.upto.to(device), self.lon.to(device), self.height.to(device))


def read_land_runs() -> LandRuns:
    """Read the land of the embedded raster. Takes half a second."""
    return LandRuns.of((climate_zones() != SEA).numpy())


def on_land(runs_on: Callable[[torch.device], LandRuns], *shape: int, generator: torch.Generator) -> Float[Tensor, "*shape 2"]:
    """Draw positions area-uniformly on land: a run of pixels by its area, then uniform along it and in the sine of latitude.

    Args:
        runs_on: the land on a device, that of the generator.
        shape: leading axes of the result.
        generator: the stream.
    """
    runs = runs_on(generator.device)
    u, v = torch.rand(2, *shape, generator=generator, device=generator.device, dtype=torch.float64)
    target = u * runs.upto[-1]
    run = torch.searchsorted(runs.upto, target, right=True).clamp(max=len(runs.upto) - 1)
    # The rest of u, which is uniform within the run, says where along it.
    before = torch.where(run > 0, runs.upto[run - 1], 0.0)
    along = (target - before) / (runs.upto[run] - before)
    west, east = runs.lon[run].unbind(-1)
    north, south = runs.height[run].unbind(-1)
    lat = torch.rad2deg(asin(north + (south - north) * v))
    return torch.stack((west + (east - west) * along, lat), -1)
