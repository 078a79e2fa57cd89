"""Paired bootstrap: is one model better than another on the same rows?"""

from dataclasses import dataclass

import torch

from cspops.seeds import torch_stream
from cspops.shapes import Float, Tensor


@dataclass(frozen=True)
class Interval:
    """A mean difference in per cent and its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_difference(
    a: Float[Tensor, "seeds n"], b: Float[Tensor, "seeds n"], *, draws: int = 2000, seed: int = 0
) -> Interval:
    """The mean of a - b with a percentile interval, resampling seeds and rows.

    Row i and seed s are the same test row and the same few-shot subset in both, so their difference is taken first.

    Args:
        a: hits (0 or 1) of one model, for each seed and row.
        b: the same of the other.
    """
    difference = 100 * (a.double() - b.double())
    seeds, n = difference.shape
    stream = torch_stream(seed, "paired bootstrap")
    means = torch.empty(draws, dtype=torch.float64)
    for draw in range(draws):
        chosen = torch.randint(seeds, (seeds,), generator=stream)
        weight = torch.bincount(torch.randint(n, (n,), generator=stream), minlength=n).double()
        means[draw] = (difference[chosen].mean(0) @ weight) / n
    low, high = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Interval(float(difference.mean()), low, high)
