"""Draw for each image of a catalogue a neighbour and a distant image, by their positions."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from cspops.errors import DataError
from cspops.geo import EARTH_RADIUS_KM, haversine
from cspops.seeds import numpy_stream
from cspops.shapes import Bool, Float, Int, Tensor

RANK, DISTANT = 5, 20
"""The usual neighbour_km is the median distance to the 5th nearest, the usual distant_km 20 times neighbour_km."""

MOST = 128
"""Neighbours that are kept per row; where there are more, a random choice made once, so that each stays equally likely."""

BLOCK = 256
"""Rows whose neighbours are looked up at once; with a million images at one place they take 2 GB."""

TRIES = 16
"""Rows drawn in search of a distant one before all are tried."""


@dataclass(frozen=True)
class NearAndFar:
    """Draws a neighbour ~ U{j != i: distance <= neighbour_km} and a distant row ~ U{k: distance > distant_km}."""

    lonlat: Float[Tensor, "n 2"]
    """Degrees; nan where the position is missing."""
    located: Int[Tensor, "m"]
    """Rows with a position."""
    first: Int[Tensor, "n"]
    """Where the neighbours of each row begin in ``near``."""
    count: Int[Tensor, "n"]
    """Their number; 0 without a position."""
    near: Int[Tensor, "e"]
    """Neighbours, row after row."""
    has_distant: Bool[Tensor, "n"]
    neighbour_km: float
    distant_km: float

    @classmethod
    def of(
        cls, lonlat: Float[Tensor, "n 2"], *, neighbour_km: float | None, distant_km: float | None, seed: int
    ) -> "NearAndFar":
        """Look up the neighbours, on the CPU; see `RANK` for the meaning of None.

        Raises:
            DataError: distant_km is less than the neighbour_km that is computed.
        """
        from sklearn.neighbors import BallTree

        located = (~lonlat.isnan().any(1)).nonzero()[:, 0]
        n, m, lists = len(lonlat), len(located), [np.zeros(0, np.int64)]
        count, within = np.zeros(n, np.int64), np.full(n, m)
        radians = np.deg2rad(lonlat[located].double().flip(1).numpy())  # latitude first, as the tree has it
        tree = BallTree(radians if m else np.zeros((1, 2)), metric="haversine")
        if neighbour_km is None:
            ranks = tree.query(radians, k=min(RANK + 1, m))[0][:, -1] if m else np.zeros(1)
            neighbour_km = float(np.median(ranks)) * EARTH_RADIUS_KM
        distant_km = DISTANT * neighbour_km if distant_km is None else distant_km
        if distant_km < neighbour_km:
            raise DataError(
                f"distant_km is {distant_km:g}, less than the median distance to the 5th nearest image, {neighbour_km:.1f} km",
                hint="set neighbour_km, or a larger distant_km, in pretrain_img.methods.tile2vec of params.yaml",
            )
        draws = numpy_stream(seed, "tile2vec", "neighbours")
        numbers = located.numpy()
        for start in range(0, m, BLOCK):
            part = radians[start : start + BLOCK]
            for row, within_reach in enumerate(tree.query_radius(part, neighbour_km / EARTH_RADIUS_KM), start):
                others = np.sort(within_reach[within_reach != row])
                kept = others if len(others) <= MOST else np.sort(draws.choice(others, MOST, replace=False))
                lists.append(numbers[kept])
                count[numbers[row]] = len(kept)
            # A hair more than distant_km, so that `distant` finds one, by another formula, wherever one is promised.
            reach = (distant_km * (1 + 1e-9) + 1e-6) / EARTH_RADIUS_KM
            within[numbers[start : start + BLOCK]] = tree.query_radius(part, reach, count_only=True)
        return cls(
            lonlat,
            located,
            torch.from_numpy(np.cumsum(count) - count),
            torch.from_numpy(count),
            torch.from_numpy(np.concatenate(lists)),
            torch.from_numpy(within < m),
            neighbour_km,
            distant_km,
        )

    def to(self, device: torch.device) -> "NearAndFar":
        """Return the same on ``device``."""
        tensors: dict[str, Any] = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)

    def neighbour(self, rows: Int[Tensor, "b"], draws: torch.Generator) -> Int[Tensor, "b"]:
        """Draw a neighbour of each row; the row itself where it has none."""
        u = torch.rand(len(rows), generator=draws, device=draws.device, dtype=torch.float64)
        count = self.count[rows]
        place = self.first[rows] + torch.minimum((u * count).long(), count - 1).clamp(min=0)
        padded = torch.cat((self.near, self.near.new_zeros(1)))  # a row without neighbours may begin at the end
        return torch.where(count > 0, padded[place], rows)

    def distant(self, rows: Int[Tensor, "b"], draws: torch.Generator) -> Int[Tensor, "b"]:
        """Draw a distant row for each; any other row where none is distant, or the row has no position."""
        device, b = draws.device, len(rows)
        other = torch.randint(len(self.lonlat) - 1, (b,), generator=draws, device=device)
        other = other + (other >= rows)
        if not len(self.located):
            return other
        drawn = self.located[torch.randint(len(self.located), (b, TRIES), generator=draws, device=device)]
        far = haversine(self.lonlat[rows][:, None], self.lonlat[drawn]) > self.distant_km
        chosen = drawn.gather(1, far.int().argmax(1, keepdim=True))[:, 0]
        rest = (self.has_distant[rows] & ~far.any(1)).nonzero()[:, 0]
        if len(rest):
            far = haversine(self.lonlat[rows[rest]][:, None], self.lonlat[self.located]) > self.distant_km
            chosen[rest] = self.located[torch.multinomial(far.float(), 1, generator=draws)[:, 0]]
        return torch.where(self.has_distant[rows], chosen, other)
