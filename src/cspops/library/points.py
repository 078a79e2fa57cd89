"""Positions as a caller has them, checked: degrees, longitude first."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from cspops.errors import DataError
from cspops.shapes import Float, Tensor

ORDER = "positions are degrees, longitude first: [[8.54, 47.37]] is Zurich"


def as_lonlat(values: Any) -> Float[Tensor, "n 2"]:
    """Float64 positions (n, 2) with longitudes in [-180, 180), of a tensor, an array or nested lists; (2,) is one position.

    Longitudes to 360 are taken; a row of two nan is a row without a position.

    Raises:
        DataError: another shape, no numbers, or a row that is nowhere on Earth, which is named. When second numbers lie
            beyond 90 degrees and all first ones do not, latitude came first, and the sentence says so.
    """
    try:
        found = values.detach().cpu().double() if isinstance(values, Tensor) else torch.from_numpy(_array(values))
    except (TypeError, ValueError):
        raise DataError("positions must be numbers, two a row", hint=ORDER) from None
    lonlat = found.reshape(1, 2) if found.shape == (2,) else found
    if lonlat.ndim != 2 or lonlat.shape[1] != 2:
        raise DataError(f"positions have shape {tuple(found.shape)}, not (n, 2)", hint=ORDER)
    lon, lat = lonlat.unbind(1)
    half = lon.isnan() != lat.isnan()
    if bool(half.any()):
        raise DataError(f"position {int(half.nonzero()[0])} has one number and one nan", hint="both nan: no position")
    wrong = ((lat.abs() > 90) | (lon < -180) | (lon > 360) | lon.isinf()).nonzero()[:, 0]
    if len(wrong):
        row = int(wrong[0])
        exchanged = bool((lat.abs() > 90).any()) and bool((lon[~lon.isnan()].abs() <= 90).all())
        why = "latitude stands first" if exchanged else "that is nowhere on Earth"
        raise DataError(f"position {row} is ({lon[row]:g}, {lat[row]:g}): {why}", hint=ORDER)
    return torch.stack((torch.where(lon >= 180, lon - 360, lon), lat), 1)  # exact for all others, which wrapping is not


def _array(values: Any) -> np.ndarray:
    array = np.asarray(values if isinstance(values, np.ndarray | Sequence) else list(values), dtype=np.float64)
    return np.array(array, copy=True)


def like(answer: Tensor, given: Any) -> Any:
    """``answer`` as what was given: a tensor for a tensor, else a numpy array."""
    return answer if isinstance(given, Tensor) else answer.numpy()
