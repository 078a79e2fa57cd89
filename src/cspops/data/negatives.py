"""Negative locations: random places that are taken for absences, under five laws.

| law           | where                                                                                          |
|---------------|------------------------------------------------------------------------------------------------|
| `sphere`      | anywhere, area-uniformly                                                                       |
| `planar_disk` | in an ellipse of the longitude-latitude plane, densest at its rim                              |
| `ne_quadrant` | north of the equator and east of Greenwich, uniformly in degrees                               |
| `land`        | on land, area-uniformly                                                                        |
| `data`        | where the unlabelled observations are                                                          |

Note: The paper samples "uniformly from the surface of the sphere". The released code has three samplers: `sphericalold`,
which both of its scripts use (here `planar_disk`); `spherical`, its default, which computes positions uniform on the
sphere and then overwrites them with raw uniform numbers (here `ne_quadrant`); and a rectangle in degrees.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image

from cspops.errors import DataError
from cspops.geo import uniform_on_sphere, wrap_longitude
from cspops.shapes import Bool, Float, Int, Tensor

Law = Literal["sphere", "planar_disk", "ne_quadrant", "land", "data"]

SEA = 32
"""The code of the embedded climate raster that is not a land zone."""


@runtime_checkable
class Sampler(Protocol):
    """Draws positions in degrees, float64, on the generator's device; ``shape`` are the leading axes of the answer."""

    def __call__(self, *shape: int, generator: torch.Generator) -> Tensor: ...


def negative_sampler(name: Law, *, land: "LandMask | None" = None, data: Float[Tensor, "m 2"] | None = None) -> Sampler:
    """The law called ``name``.

    Args:
        name: which law.
        land: what `land` draws from, `read_land()` if none is given; the other laws ignore it.
        data: what `data` draws from, degrees; rows without a position (nan) are passed over. The other laws ignore it.

    Raises:
        DataError: `data` is asked for and no row has a position.
    """
    match name:
        case "sphere":
            return uniform_on_sphere
        case "planar_disk":
            return planar_disk
        case "ne_quadrant":
            return ne_quadrant
        case "land":
            return functools.partial(on_land, functools.cache((land or read_land()).to))
        case "data":
            if data is None:
                raise ValueError("the law `data` needs positions")
            located = data[~data.isnan().any(1)].double()
            if not len(located):
                raise DataError(
                    "negative locations are to be drawn from the data, but no unlabelled observation has a position",
                    hint="choose another law in params.yaml, such as sphere",
                )
            return functools.partial(from_data, functools.cache(located.to))


def planar_disk(*shape: int, generator: torch.Generator) -> Float[Tensor, "*shape 2"]:
    """A uniform point of the sphere, projected on the equatorial plane, its x and y stretched to degrees.

    With u, v uniform in [0, 1) and r = sqrt(1 - u^2): longitude 180 r cos 2 pi v, latitude 90 r sin 2 pi v. Both are
    uniform in degrees, but not independent: no position leaves the ellipse (lon/180)^2 + (lat/90)^2 <= 1, a third is
    beyond 60 degrees of latitude (13.4 % of the sphere is) and 31 % in the outer twentieth of the radius.

    Note: The released `sphericalold`, used by both of its scripts.
    """
    u, v = _uniforms(*shape, generator=generator)
    radius, angle = (1 - u.square()).sqrt(), 2 * torch.pi * v
    return torch.stack((wrap_longitude(180 * radius * angle.cos()), 90 * radius * angle.sin()), -1)


def ne_quadrant(*shape: int, generator: torch.Generator) -> Float[Tensor, "*shape 2"]:
    """Longitude uniform in [0, 180), latitude uniform in [0, 90): nothing in the west or the south, a third beyond 60 N.

    Note: The released `spherical`, its default: a bug.
    """
    u, v = _uniforms(*shape, generator=generator)
    return torch.stack((180 * u, 90 * v), -1)


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


def on_land(mask_on: Callable[[torch.device], LandMask], *shape: int, generator: torch.Generator) -> Float[Tensor, "*shape 2"]:
    """Area-uniform on land: a run of pixels by its area, then uniform along it and in the sine of the latitude."""
    mask = mask_on(generator.device)
    u, v = _uniforms(*shape, generator=generator)
    target = u * mask.upto[-1]
    run = torch.searchsorted(mask.upto, target, right=True).clamp(max=len(mask.upto) - 1)
    # The rest of u, which is uniform within the run, says where along it.
    before = torch.where(run > 0, mask.upto[run - 1], 0.0)
    along = (target - before) / (mask.upto[run] - before)
    west, east = mask.lon[run].unbind(-1)
    north, south = mask.height[run].unbind(-1)
    lat = torch.rad2deg(torch.asin(north + (south - north) * v))
    return torch.stack((west + (east - west) * along, lat), -1)


def from_data(data_on: Callable[[torch.device], Tensor], *shape: int, generator: torch.Generator) -> Float[Tensor, "*shape 2"]:
    """Rows of the data, with replacement, each as likely as the others: negatives as unevenly spread as the positives."""
    data = data_on(generator.device)
    row: Int[Tensor, "*shape"] = torch.randint(len(data), shape, generator=generator, device=generator.device)
    return data[row]


def _uniforms(*shape: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two independent uniform numbers in [0, 1) for each position."""
    u, v = torch.rand(2, *shape, generator=generator, device=generator.device, dtype=torch.float64)
    return u, v
