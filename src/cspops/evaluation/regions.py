"""Where location helps and where it harms: top-1 by latitude, by cell of the map, and by distance to a labelled row."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from cspops.geo import blocks
from cspops.shapes import Bool, Float, Int, Tensor

BAND_DEGREES = 15
CELL_DEGREES = 30
DISTANCES_KM = (0.0, 50.0, 100.0, 200.0, 400.0, 800.0, math.inf)

Row = dict[str, Any]


def regions(
    hits: Mapping[str, Bool[Tensor, "seeds n"]], lonlat: Float[Tensor, "n 2"], nearest_km: Float[Tensor, "seeds n"]
) -> dict[str, list[Row]]:
    """Return `latitude`, `cell` and `distance`: per region with rows each model's top-1 and `gain`, pool - image.

    Args:
        hits: of each model: whether the true class came first. Without a pool the gain is combined - image.
        lonlat: degrees; rows without a position (nan) are in no region.
        nearest_km: distance to the nearest labelled row of the seed.

    Returns:
        rows with the region's borders (degrees, or km with None for infinity), the mean number of rows per seed, and
        per cent over all rows of all seeds.
    """
    located = ~lonlat.isnan().any(1)
    every_seed = located.expand(len(nearest_km), -1)
    band = torch.floor((lonlat[:, 1].nan_to_num() + 90) / BAND_DEGREES).long().clamp(0, 180 // BAND_DEGREES - 1)
    cell = blocks(lonlat.nan_to_num(), CELL_DEGREES)
    inner = torch.tensor(DISTANCES_KM[1:-1], dtype=torch.float64)
    near = torch.bucketize(nearest_km.double().nan_to_num(), inner, right=True)
    columns = 360 // CELL_DEGREES
    bands = [{"from": low, "to": low + BAND_DEGREES} for low in range(-90, 90, BAND_DEGREES)]
    cells = [
        _borders("west", "east", one % columns, -180) | _borders("south", "north", one // columns, -90)
        for one in range(columns * 180 // CELL_DEGREES)
    ]
    distances = [{"from": low, "to": high if high < math.inf else None} for low, high in itertools.pairwise(DISTANCES_KM)]
    return {
        "latitude": by_group(hits, band.expand(len(nearest_km), -1), every_seed, bands),
        "cell": by_group(hits, cell.expand(len(nearest_km), -1), every_seed, cells),
        "distance": by_group(hits, near, every_seed, distances),
    }


def _borders(low: str, high: str, number: int, start: int) -> dict[str, int]:
    return {low: start + CELL_DEGREES * number, high: start + CELL_DEGREES * (number + 1)}


def by_group(
    hits: Mapping[str, Bool[Tensor, "seeds n"]],
    group: Int[Tensor, "seeds n"],
    counted: Bool[Tensor, "seeds n"],
    names: Sequence[Mapping[str, Any]],
) -> list[Row]:
    """Return one entry per group that has rows: its name, the mean number of rows per seed, and top-1 pooled over seeds."""
    seeds = len(group)
    members = group[counted]
    size = torch.bincount(members, minlength=len(names))
    top1 = {
        model: 100 * torch.bincount(members, hit[counted].double(), minlength=len(names)) / size for model, hit in hits.items()
    }
    together, out = "pool" if "pool" in hits else "combined", []
    for one in size.nonzero()[:, 0].tolist():
        scores = {model: round(float(values[one]), 4) for model, values in top1.items()}
        gain = round(float(top1[together][one] - top1["image"][one]), 4)
        out.append({**names[one], "rows": round(int(size[one]) / seeds, 1), **scores, "gain": gain})
    return out
