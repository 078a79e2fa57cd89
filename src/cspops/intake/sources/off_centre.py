"""Where the overhead tiles of the embedded source lie: each holds its place, off its middle."""

import math

import torch

from cspops.geo import KM_PER_DEGREE, destination, wrap_longitude
from cspops.kernels import sqrt
from cspops.params.sections import OverheadTile
from cspops.seeds import torch_stream
from cspops.shapes import Float, Tensor

RIM = 0.05
"""Share of its side by which a tile reaches beyond its place, at least."""


def off_centre(
    lonlat: Float[Tensor, "n 2"], settings: OverheadTile, *, seed: int
) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 4"]]:
    """Return the middles of tiles as `geo.tile_grid` makes them, and their outer edges as `data.overhead.BBOX`.

    A middle is uniform in the disc of `max_offset_km` around its place. A tile is as wide in degrees as its middle's latitude
    has it: near a pole a place may then lie too near to the rim, and the middle is drawn nearer, a tenth at a time. No tile
    reaches beyond a pole.
    """
    u = torch.rand(len(lonlat), 2, generator=torch_stream(seed, "blue_marble", "overhead"), dtype=torch.float64)
    km, high = settings.max_offset_km * sqrt(u[:, 0]), settings.side_km / KM_PER_DEGREE
    while True:
        centre = destination(lonlat, km=km, bearing=2 * math.pi * u[:, 1])
        centre[:, 1].clamp_(high / 2 - 90, 90 - high / 2)
        wide = high / torch.deg2rad(centre[:, 1]).cos()
        right = wrap_longitude(lonlat[:, 0] - centre[:, 0]) / wide
        up = (lonlat[:, 1] - centre[:, 1]) / high
        too_far = torch.maximum(right.abs(), up.abs()) > 0.5 - RIM
        if not too_far.any():
            break
        km = torch.where(too_far, 0.9 * km, km)
    west, south = wrap_longitude(centre[:, 0] - wide / 2), centre[:, 1] - high / 2
    return centre, torch.stack((west, south, west + wide, south + high), 1)
