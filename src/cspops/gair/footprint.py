"""Where a place lies in the footprint of an overhead image."""

import torch

from cspops.gair.shapes import require_shape
from cspops.shapes import Float, Tensor

HAIR = 1e-9
"""Degrees by which rounding may put a place beyond the border of a footprint."""


def in_footprint(bbox: Float[Tensor, "*boxes"], lonlat: Float[Tensor, "*places"]) -> Float[Tensor, "*places"]:
    """Return where places lie in their footprints, in float64: x to the east and y to the south, each in [-1, 1].

    (-1, -1) is the north-western corner of the image, as rows run from north to south. Longitudes are those modulo 360 that
    are nearest to the footprint, which may lie over the date line: either ``lon_max`` exceeds 180, or ``lon_min`` exceeds
    ``lon_max``. Gradients reach the places.

    Args:
        bbox: (n, 4), lon_min, lat_min, lon_max, lat_max in degrees.
        lonlat: (n, 2), or (n, m, 2) for m places per footprint, in degrees.

    Raises:
        ValueError: a shape does not fit, a footprint is none, or a place is outside its own; the first is named.
    """
    require_shape("bbox", bbox, "n", 4)
    require_shape("lonlat", lonlat, len(bbox), *(["m"] if lonlat.ndim == 3 else []), 2)
    west, south, east, north = bbox.double().unbind(-1)
    width, height = torch.where(west > east, east - west + 360, east - west), north - south
    sound = (width > 0) & (width <= 360) & (height > 0) & (south >= -90) & (north <= 90)
    if not sound.all():
        first = int((~sound).nonzero()[0])
        raise ValueError(f"footprint {first}, {_numbers(bbox[first])}, is none: lon_min, lat_min, lon_max, lat_max are needed")
    if lonlat.ndim == 3:
        west, south, width, height = (one[:, None] for one in (west, south, width, height))
    lon, lat = lonlat.double().unbind(-1)
    x = lon - (west + width / 2)
    x = torch.where(x.abs() <= width / 2, x, torch.remainder(x + 180, 360) - 180)
    y = south + height / 2 - lat
    inside = (x.abs() <= width / 2 + HAIR) & (y.abs() <= height / 2 + HAIR)
    if not inside.all():
        at = tuple((~inside).nonzero()[0].tolist())
        which, box = ", ".join(map(str, at)), _numbers(bbox[at[0]])
        raise ValueError(f"place {which}, {_numbers(lonlat[at])}, lies outside its footprint {box}")
    relative = torch.stack((2 * x / width, 2 * y / height), -1)
    return relative + (relative.clamp(-1, 1) - relative).detach()  # the gradient of a place on the border is that inside


def _numbers(row: Float[Tensor, "k"]) -> str:
    return f"({', '.join(f'{one:.12g}' for one in row.tolist())})"
