"""Whom a model serves worst: top-1 by continent and country, and where few labelled places are near."""

import itertools
import math
from collections.abc import Mapping

import torch

from cspops.data.countries import Lands, continents_and_countries
from cspops.evaluation.bootstrap import paired_difference
from cspops.evaluation.regions import Row, by_group
from cspops.shapes import Bool, Float, Int, Tensor

LEAST_ROWS = 50
"""Rows per seed below which a group is not called the worst: the standard error of a top-1 of 50 % is 7 points there."""
WITHIN_KM = 200.0
COUNTS = (0, 1, 3, 10, 30, math.inf)
"""Borders of the numbers of labelled places within ``WITHIN_KM``: from sparse to dense."""

Hits = Mapping[str, Bool[Tensor, "seeds n"]]


def by_land(hits: Hits, lonlat: Float[Tensor, "n 2"]) -> dict[str, list[Row]]:
    """Return `continent` and `country` as `regions` returns its kinds, with a `name`, and `worst`.

    Places outside all shapes (at sea, or off a coast that is drawn coarsely) and rows without a position are in none.
    """
    lands = dict(zip(("continent", "country"), continents_and_countries(lonlat.double().numpy()), strict=True))
    groups = {kind: _groups(hits, one) for kind, one in lands.items()}
    return {**groups, "worst": [row for kind, one in lands.items() for row in _worst(hits, one, kind)]}


def _groups(hits: Hits, lands: Lands) -> list[Row]:
    seeds = len(next(iter(hits.values())))
    number = torch.from_numpy(lands.number).expand(seeds, -1)
    return by_group(hits, number, number >= 0, [{"name": name} for name in lands.names])


def _worst(hits: Hits, lands: Lands, kind: str) -> list[Row]:
    """Return, per model, the group of least top-1 among those of at least ``LEAST_ROWS`` rows; none with fewer than two.

    Each has `of`, the number of groups it is the least of, and the 95 % bootstrap interval of its own top-1 over rows and
    seeds. The least of many is low by chance, too: a new test set would, on average, find this group less bad.
    """
    number = torch.from_numpy(lands.number)
    size = torch.bincount(number[number >= 0], minlength=len(lands.names))
    large = (size >= LEAST_ROWS).nonzero()[:, 0].tolist()
    out = []
    for model, hit in hits.items() if len(large) > 1 else ():
        top1 = {one: float(hit[:, number == one].double().mean()) for one in large}
        least = min(large, key=lambda one: (top1[one], one))
        own = hit[:, number == least]
        interval = paired_difference(own, torch.zeros_like(own))
        numbers = {"top1": interval.mean, "low": interval.low, "high": interval.high}
        about = {"kind": kind, "model": model, "name": lands.names[least], "of": len(large), "rows": int(size[least])}
        out.append(about | {name: round(value, 4) for name, value in numbers.items()})
    return out


def by_density(hits: Hits, within: Int[Tensor, "seeds n"], located: Bool[Tensor, "n"]) -> list[Row]:
    """Return top-1 by how many labelled places of the seed lie within ``WITHIN_KM``: `from` to below `to` (None: no border)."""
    inner = torch.tensor(COUNTS[1:-1], dtype=torch.float64)
    bin_of = torch.bucketize(within.double(), inner, right=True)
    names = [{"from": low, "to": high if high < math.inf else None} for low, high in itertools.pairwise(COUNTS)]
    return by_group(hits, bin_of, located.expand(len(within), -1), names)
