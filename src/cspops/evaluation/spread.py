"""Whether two means over seeds differ by more than their seeds do."""

import math
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Spread:
    """A mean over ``n`` seeds and its standard deviation."""

    mean: float
    sd: float
    n: int


@dataclass(frozen=True)
class Difference:
    """One mean minus another with a confidence interval; without one where a single seed leaves the spread unknown."""

    mean: float
    low: float | None
    high: float | None


def welch(a: Spread, b: Spread, *, level: float) -> Difference:
    """Return a - b with Welch's interval.

    Its half-width is the t quantile of Satterthwaite's degrees of freedom times sqrt(sd_a^2 / n_a + sd_b^2 / n_b).

    Without any spread (every seed gave the same) the interval is the difference itself.
    """
    difference = a.mean - b.mean
    if min(a.n, b.n) < 2:
        return Difference(difference, None, None)
    parts = [one.sd**2 / one.n for one in (a, b)]
    variance = sum(parts)
    if variance == 0:
        return Difference(difference, difference, difference)
    freedom = variance**2 / sum(part**2 / (one.n - 1) for part, one in zip(parts, (a, b), strict=True))
    reach = float(stats.t.ppf((1 + level) / 2, freedom)) * math.sqrt(variance)
    return Difference(difference, difference - reach, difference + reach)
