"""From scores of single runs to mean and standard deviation over seeds."""

import math
import statistics
from collections.abc import Mapping, Sequence

from cspops.errors import DataError

MODELS = ("image", "location", "combined", "calibrated")

Scores = dict[tuple[str, str, str, int], Mapping[str, float]]
"""(role, ratio key, model, seed) to metrics."""

Summary = dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]]
"""role, ratio key, model, metric, then `mean` and `sd`, the sample standard deviation over seeds."""


def summarise(
    scores: Scores, *, roles: Sequence[str], ratios: Sequence[str], seeds: Sequence[int], models: Sequence[str] = MODELS
) -> Summary:
    """The tree of metrics.json, rounded to 4 digits; sd is 0 for one seed.

    Roles without a row, whose every metric is nan, are left out; any other number that is not finite is a DataError.
    """
    out: Summary = {}
    for role in roles:
        for ratio in ratios:
            for model in models:
                runs = [scores[role, ratio, model, seed] for seed in seeds]
                if all(math.isnan(value) for run in runs for value in run.values()):
                    continue
                out.setdefault(role, {}).setdefault(ratio, {})[model] = {
                    metric: _mean_and_sd([run[metric] for run in runs], f"{metric} of {model} on {role}, {ratio},")
                    for metric in runs[0]
                }
    return out


def _mean_and_sd(values: list[float], what: str) -> dict[str, float]:
    if not all(map(math.isfinite, values)):
        raise DataError(f"{what} is {values}, not finite", hint="dvc repro -f finetune-img finetune-loc")
    return {
        "mean": round(statistics.fmean(values), 4),
        "sd": round(statistics.stdev(values), 4) if len(values) > 1 else 0.0,
    }
