"""What regions.json holds of a test set at one label ratio: accuracy by place, and presence against effort."""

from collections.abc import Mapping, Sequence

import torch

from cspops.evaluation.effort import effort_correlation
from cspops.evaluation.groups import by_density, by_land
from cspops.evaluation.per_class import ROLES
from cspops.evaluation.predictions import Judged
from cspops.evaluation.predictor import LogP
from cspops.evaluation.regions import Row, regions
from cspops.shapes import Bool, Float, Int, Tensor

Effort = dict[str, float | int]


def by_place(
    hits: Mapping[str, Bool[Tensor, "seeds n"]],
    lonlat: Float[Tensor, "n 2"],
    nearest_km: Float[Tensor, "seeds n"],
    within: Int[Tensor, "seeds n"],
    efforts: Sequence[Effort],
) -> dict[str, list[Row]]:
    """Return `regions`, top-1 by `density`, `continent` and `country`, the `worst` of these, and `effort`.

    Args:
        hits: of each model: whether the true class came first.
        nearest_km: distance to the nearest labelled row of the seed.
        within: labelled rows of the seed within ``groups.WITHIN_KM``.
        efforts: of each seed, from `effort_of`.
    """
    return {
        **regions(hits, lonlat, nearest_km),
        "density": by_density(hits, within, ~lonlat.isnan().any(1)),
        **by_land(hits, lonlat),
        "effort": _mean(efforts),
    }


def effort_of(judged: Judged, location: LogP, training: Float[Tensor, "m 2"], lived: Int[Tensor, "l"]) -> dict[str, Effort]:
    """Return, by test set, how presence as the location model predicts it goes with the number of training rows."""
    out = {}
    for role in ROLES:
        places = judged.lonlat.where(judged.roles[role][:, None], torch.nan)
        found = effort_correlation(places, training, location, lived=lived)
        if found is not None:
            out[role] = found
    return out


def _mean(efforts: Sequence[Effort]) -> list[Row]:
    """Return one row with the mean over seeds of each number that all have; none without a seed."""
    names = [name for name in efforts[0] if all(name in one for one in efforts)] if efforts else []
    return [{name: round(sum(one[name] for one in efforts) / len(efforts), 4) for name in names}] if efforts else []
