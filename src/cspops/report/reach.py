"""How far from its labelled places a map is drawn."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from cspops.climate_raster import Box
from cspops.evaluation.pool import Places
from cspops.geo import EARTH_RADIUS_KM, unit_vectors
from cspops.report.world import surroundings
from cspops.shapes import Bool, Float

OTHERS, QUANTILE = 5, 0.99
"""The distance of a map is this quantile, over the places, of the distance to the fifth nearest other one."""
SEEN = 200
"""The distance is at least this part of the extent of the places, so that each one can be seen."""


@dataclass(frozen=True)
class Reach:
    """Places, and the distance from the nearest one beyond which a map is not drawn; inf: it is drawn everywhere."""

    places: Places
    km: float
    why: str
    """Where the distance comes from."""

    @classmethod
    def of(cls, places: Float[np.ndarray, "n 2"], *, kernel_km: float = 0.0) -> "Reach":
        """Return the distance within which nearly all places have `OTHERS` others.

        It is rounded up to two digits, and no less than ``kernel_km`` and what can be seen. Several observations at one
        position are one place, and a single place knows no distance; of fewer than 100 the most remote is not counted.
        """
        lonlat = torch.from_numpy(np.unique(places, axis=0))
        tree, others = Places(lonlat, torch.zeros(len(lonlat), dtype=torch.long)), min(OTHERS, len(lonlat) - 1)
        kernel = kernel_km, "the width of the pool's kernel"
        if others < 1:
            return cls(tree, *kernel) if kernel_km and len(lonlat) else cls(tree, math.inf, "")
        apart = tree.near(lonlat, k=others + 1).km[:, -1].numpy()
        km = _rounded_up(float(np.quantile(apart, QUANTILE, method="lower")))
        extent = float(np.linalg.norm(np.ptp(unit_vectors(lonlat).numpy(), axis=0))) * EARTH_RADIUS_KM
        seen = _rounded_up(extent / SEEN), f"1/{SEEN} of the extent of these places"
        near = (
            f"{math.floor(100 * (apart <= km).mean())} % of these have {others} {'others' if others > 1 else 'other'} that near"
        )
        return cls(tree, *max((km, near), kernel, seen, key=lambda one: one[0]))

    def within(self, lonlat: Float[np.ndarray, "m 2"], *, slack_km: float = 0.0) -> Bool[np.ndarray, "m"]:
        """Return which positions (degrees) are drawn; ``slack_km``, half a pixel, keeps the pixel that holds a place."""
        if math.isinf(self.km):
            return np.ones(len(lonlat), dtype=bool)
        nearest = self.places.near(torch.from_numpy(lonlat), k=1).nearest_km.numpy()
        near: np.ndarray = nearest <= max(self.km, slack_km)
        return near

    def end(self, place: str = "labelled place") -> str | None:
        """Return where a map ends and why, in words; None where it does not. ``place`` is what one place is called."""
        return None if math.isinf(self.km) else f"farther than {self.km:,g} km from a {place} ({self.why})"

    def box(self) -> Box:
        """Return the box that holds all that is drawn."""
        return (-180.0, -90.0, 180.0, 90.0) if math.isinf(self.km) else surroundings(self.places.lonlat.numpy(), self.km)


def _rounded_up(km: float) -> float:
    unit = 10.0 ** (math.floor(math.log10(km)) - 1) if km > 0 else 1.0
    return float(f"{math.ceil(km / unit - 1e-9) * unit:.6g}")
