"""Negative locations: random places that are taken for absences, under five laws.

| law           | where                                                                                          |
|---------------|------------------------------------------------------------------------------------------------|
| `sphere`      | anywhere, area-uniformly                                                                       |
| `planar_disk` | in an ellipse of the longitude-latitude plane, densest at its rim                              |
| `ne_quadrant` | north of the equator and east of Greenwich, uniformly in degrees                               |
| `land`        | on land, area-uniformly                                                                        |
| `data`        | where the unlabelled observations are                                                          |

Where the location encoder takes dates, a negative has one: uniform over the year, and under `data` the drawn observation's own.

Note: The paper samples "uniformly from the surface of the sphere". The released code has three samplers: `sphericalold`,
which both of its scripts use (here `planar_disk`); `spherical`, its default, which computes positions uniform on the
sphere and then overwrites them with raw uniform numbers (here `ne_quadrant`); and a rectangle in degrees.
"""

import functools
from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import torch

from cspops.errors import DataError
from cspops.geo import uniform_on_sphere, wrap_longitude
from cspops.kernels import sqrt
from cspops.land import LandRuns, on_land, read_land_runs
from cspops.shapes import Float, Int, Tensor

Law = Literal["sphere", "planar_disk", "ne_quadrant", "land", "data"]


@runtime_checkable
class Sampler(Protocol):
    """Draws positions in degrees, float64, on the generator's device; ``shape`` are the leading axes of the result.

    The last axis has length 2, or 3 with a date (a share of the year).
    """

    def __call__(self, *shape: int, generator: torch.Generator) -> Tensor: ...


def negative_sampler(name: Law, *, land: LandRuns | None = None, data: Float[Tensor, "m w"] | None = None) -> Sampler:
    """Return the law called ``name``.

    Args:
        name: which law.
        land: what `land` draws from, `read_land_runs()` if none is given; the other laws ignore it.
        data: what `data` draws from, degrees, with a date or without; rows without a position (nan) are passed over. The
            other laws ignore it.

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
            return functools.partial(on_land, functools.cache((land or read_land_runs()).to))
        case "data":
            if data is None:
                raise ValueError("the law `data` needs positions")
            located = data[~data[:, :2].isnan().any(1)].double()
            if not len(located):
                raise DataError(
                    "negative locations are to be drawn from the data, but no unlabelled observation has a position",
                    hint="choose another law in params.yaml, such as sphere",
                )
            return functools.partial(from_data, functools.cache(located.to))


def dated_sampler(name: Law, *, data: Float[Tensor, "m 2"], when: Float[Tensor, "m"]) -> Sampler:
    """Return the law called ``name``, with dates.

    Args:
        name: which law.
        data: what `data` draws from, see `negative_sampler`.
        when: the dates of these rows, shares of the year; nan where there is none.
    """
    if name == "data":
        return negative_sampler(name, data=torch.cat((data.double(), when.double()[:, None]), 1))
    return functools.partial(_at_any_date, negative_sampler(name))


def _at_any_date(law: Sampler, *shape: int, generator: torch.Generator) -> Float[Tensor, "*shape 3"]:
    lonlat = law(*shape, generator=generator)
    when = torch.rand(*shape, 1, generator=generator, device=generator.device, dtype=torch.float64)
    return torch.cat((lonlat, when), -1)


def place_and_date(points: Float[Tensor, "*shape w"]) -> tuple[Float[Tensor, "*shape 2"], Float[Tensor, "*shape"] | None]:
    """Return positions, and their dates where these stand beside them."""
    return points[..., :2], points[..., 2] if points.shape[-1] == 3 else None


def planar_disk(*shape: int, generator: torch.Generator) -> Float[Tensor, "*shape 2"]:
    """Draw uniform points of the sphere, project them on the equatorial plane, and stretch x and y to degrees.

    With u, v uniform in [0, 1) and r = sqrt(1 - u^2): longitude 180 r cos 2 pi v, latitude 90 r sin 2 pi v. Both are
    uniform in degrees, but not independent: no position leaves the ellipse (lon/180)^2 + (lat/90)^2 <= 1, a third is
    beyond 60 degrees of latitude (13.4 % of the sphere is) and 31 % in the outer twentieth of the radius.

    Note: The released `sphericalold`, used by both of its scripts.
    """
    u, v = _uniforms(*shape, generator=generator)
    radius, angle = sqrt(1 - u.square()), 2 * torch.pi * v
    return torch.stack((wrap_longitude(180 * radius * angle.cos()), 90 * radius * angle.sin()), -1)


def ne_quadrant(*shape: int, generator: torch.Generator) -> Float[Tensor, "*shape 2"]:
    """Draw longitudes from [0, 180) and latitudes from [0, 90), uniformly: no west, no south, a third beyond 60 N.

    Note: The released `spherical`, its default: a bug.
    """
    u, v = _uniforms(*shape, generator=generator)
    return torch.stack((180 * u, 90 * v), -1)


def from_data(data_on: Callable[[torch.device], Tensor], *shape: int, generator: torch.Generator) -> Float[Tensor, "*shape w"]:
    """Draw rows of the data, with replacement, each as likely as the others: as unevenly spread as the positives."""
    data = data_on(generator.device)
    row: Int[Tensor, "*shape"] = torch.randint(len(data), shape, generator=generator, device=generator.device)
    return data[row]


def _uniforms(*shape: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw two independent uniform numbers in [0, 1) for each position."""
    u, v = torch.rand(2, *shape, generator=generator, device=generator.device, dtype=torch.float64)
    return u, v
