"""Positions as users give them: checked, in degrees, longitude first."""

from typing import Any

import torch

from cspops.errors import DataError
from cspops.library.frames import rows_of
from cspops.shapes import Float, Tensor

ORDER = "positions are degrees, longitude first: [[8.54, 47.37]] is Zurich"


def as_lonlat(values: Any) -> Float[Tensor, "n 2"]:
    """Return float64 positions (n, 2), longitudes in [-180, 180), from a tensor, array or nested lists.

    Of shape (2,) they are one position, of shape (0,) none.

    A table (of pandas, polars, pyarrow, a dict of columns) is read by its columns lon and lat, or other usual names of these,
    else it has two columns, longitude first. Longitudes up to 360 are accepted; a row of two nan, null or masked numbers has
    no position.

    Raises:
        DataError: another shape, no numbers, or a row that is nowhere on Earth. When second numbers lie beyond 90 degrees and
            all first ones do not, the message says that latitude came first.
    """
    try:
        points = values.detach().cpu().double() if isinstance(values, Tensor) else torch.from_numpy(rows_of(values))
    except (TypeError, ValueError, OverflowError):
        raise DataError("positions must be numbers, two per row", hint=ORDER) from None
    lonlat = points.reshape(-1, 2) if points.shape in ((2,), (0,)) else points
    if lonlat.ndim != 2 or lonlat.shape[1] != 2:
        raise DataError(f"positions have shape {tuple(points.shape)}, not (n, 2)", hint=ORDER)
    lon, lat = lonlat.unbind(1)
    half = lon.isnan() != lat.isnan()
    if bool(half.any()):
        raise DataError(f"position {int(half.nonzero()[0])} has one number and one nan", hint="both nan: no position")
    lon, lat = _onto(lon, -180, 360), _onto(lat, -90, 90)
    wrong = ((lat.abs() > 90) | (lon < -180) | (lon > 360) | lon.isinf()).nonzero()[:, 0]
    if len(wrong):
        row = int(wrong[0])
        exchanged = bool((lat.abs() > 90).any()) and bool((lon[~lon.isnan()].abs() <= 90).all())
        why = "latitude comes first" if exchanged else "that is nowhere on Earth"
        raise DataError(f"position {row} is ({lon[row]:g}, {lat[row]:g}): {why}", hint=ORDER)
    return torch.stack((torch.where(lon >= 180, lon - 360, lon), lat), 1)  # exact for all others, which wrapping is not


def _onto(values: Tensor, low: float, high: float) -> Tensor:
    """Bring values that rounding carried beyond a border onto it."""
    inside = values.clamp(low, high)
    beyond = (values - inside).abs()
    if not bool((beyond > 0).any()):
        return values
    from cspops.intake.judging.positions import BEYOND  # needs pyarrow

    return torch.where(beyond <= BEYOND, inside, values)


def like(result: Tensor, given: Any) -> Any:
    """Return ``result`` in the type of what was given: a tensor for a tensor, else a numpy array."""
    return result if isinstance(given, Tensor) else result.numpy()
