"""Paired bootstrap: is one model better than another on the same rows?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from cspops.seeds import torch_stream
from cspops.shapes import Bool, Float, Tensor

WEIGHTS = 2**24
"""Numbers of a table of draws and rows that is made at once: 64 MB. A whole table of at most that size is cached."""

Hits = Bool[Tensor, "seeds n"] | Float[Tensor, "seeds n"]


@dataclass(frozen=True)
class Interval:
    """A mean difference in per cent and its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_difference(a: Hits, b: Hits, *, draws: int = 2000, seed: int = 0) -> Interval:
    """Return the mean of a - b with a percentile interval over resampled seeds and rows.

    Args:
        a: hits (true and false, or 1 and 0) of one model, per seed and row.
        b: the same of the other.
        draws: how many resamples.
        seed: of the draws.
    """
    return paired_differences([(a, b)], draws=draws, seed=seed)[0]


def paired_differences(pairs: Sequence[tuple[Hits, Hits]], *, draws: int = 2000, seed: int = 0) -> list[Interval]:
    """Return the `paired_difference` of each pair, all of the same seeds and rows, which are drawn once.

    Row i and seed s are the same test row and the same few-shot subset in both, so their difference is taken first. A
    resample is then two products with a table of weights, and no table of draws x seeds x rows is made.
    """
    differences = [100 * (a.float() - b.float()) for a, b in pairs]
    seeds, n = differences[0].shape
    row_means = [[weights @ one.T for one in differences] for weights in _weights(draws, n, seed, "rows")]  # (some, seeds)
    of_seeds = torch.cat(list(_weights(draws, seeds, seed, "seeds")))
    intervals = []
    for difference, some in zip(differences, zip(*row_means, strict=True), strict=True):
        means = (torch.cat(some) * of_seeds).sum(1).double()
        low, high = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
        intervals.append(Interval(float(difference.double().mean()), low, high))
    return intervals


def _weights(draws: int, n: int, seed: int, things: str) -> Iterator[Float[Tensor, "some n"]]:
    """Yield the share of each of ``n`` things in each resample, some resamples at a time; rows sum to 1."""
    if draws * n <= WEIGHTS:
        yield _all_weights(draws, n, seed, things)
        return
    stream = torch_stream(seed, "paired bootstrap", things)
    at_once = max(1, WEIGHTS // n)
    for first in range(0, draws, at_once):
        yield _draw(min(at_once, draws - first), n, stream)


@lru_cache(maxsize=4)
def _all_weights(draws: int, n: int, seed: int, things: str) -> Float[Tensor, "draws n"]:
    return _draw(draws, n, torch_stream(seed, "paired bootstrap", things))


def _draw(draws: int, n: int, stream: torch.Generator) -> Float[Tensor, "draws n"]:
    drawn = torch.randint(n, (draws, n), generator=stream)
    return torch.zeros(draws, n).scatter_add_(1, drawn, torch.full((), 1 / n).expand(draws, n))
