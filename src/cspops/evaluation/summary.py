"""From scores of single runs to mean and standard deviation over seeds."""

import statistics
from collections.abc import Mapping, Sequence

MODELS = ("image", "location", "combined")

Scores = dict[tuple[str, str, str, int], Mapping[str, float]]
"""(role, ratio key, model, seed) to metrics in per cent."""

Summary = dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]]
"""role, ratio key, model, metric, then `mean` and `sd`: per cent, the sample standard deviation over seeds."""


def summarise(scores: Scores, *, roles: Sequence[str], ratios: Sequence[str], seeds: Sequence[int]) -> Summary:
    """The tree of metrics.json, rounded to 4 digits; roles without a row are left out; sd is 0 for one seed."""
    out: Summary = {}
    for role in roles:
        for ratio in ratios:
            for model in MODELS:
                runs = [scores[role, ratio, model, seed] for seed in seeds]
                if any(value != value for value in runs[0].values()):
                    continue
                out.setdefault(role, {}).setdefault(ratio, {})[model] = {
                    metric: {
                        "mean": round(statistics.fmean(run[metric] for run in runs), 4),
                        "sd": round(statistics.stdev(run[metric] for run in runs), 4) if len(runs) > 1 else 0.0,
                    }
                    for metric in runs[0]
                }
    return out
