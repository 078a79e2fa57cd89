"""What validation chooses of a pool: the kernel of its neighbours, and the weights of its experts near labels and far."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from cspops.evaluation.pool import Neighbours, Pool, Slots, nearness, neighbour_kernel
from cspops.kernels import slices
from cspops.shapes import Float, Int, Tensor

PRIOR_STRENGTH = 1.0
"""Of a Gaussian prior on the weights, around those of the plain product: (w - 1)^2 / 2 nats of NLL, summed over the rows."""
FADE = 3.0
"""fade_km as a multiple of the median distance from a validation row to the nearest label."""
KEPT = 2**25
"""Numbers held, two per row and class; where there are more, evenly spaced rows choose."""
STEPS = 100

LogPs = Callable[[Int[Tensor, "b"]], tuple[Tensor, Tensor]]
"""Row numbers to their log P(y|I) and log P(y|x), each (b, q)."""


@dataclass(frozen=True)
class Choosers:
    """Numbers of the rows that choose: each has a P(y|I), and a class with labelled rows."""

    val: Int[Tensor, "n"]
    """They have a position, and choose everything but `image_alone`."""
    spatial_val: Int[Tensor, "m"]
    """They have a position, too, and choose weights: those far from labels are theirs."""
    alone: Int[Tensor, "k"]
    """They have no position."""

    def thinned(self, classes: int) -> "Choosers":
        """Return at most as many as are held, evenly spaced."""
        step = _step(len(self.val) + len(self.spatial_val), classes)
        return Choosers(self.val[::step], self.spatial_val[::step], evenly(self.alone, classes))


def evenly(rows: Int[Tensor, "n"], classes: int) -> Int[Tensor, "m"]:
    """Return as many of the rows as choose at once, evenly spaced: all, but with thousands of classes."""
    return rows[:: _step(len(rows), classes)]


def _step(rows: int, classes: int) -> int:
    return max(1, -(-rows // max(1, KEPT // (2 * classes))))


@dataclass(frozen=True)
class Grid:
    """What the kernel is chosen from."""

    kernel_km: Sequence[float]
    count_weight: Sequence[float]
    kernel_days: Sequence[float | None] = (None,)


def fit(log_ps: LogPs, label: Int[Tensor, "n"], near: Neighbours, choosers: Choosers, grid: Grid, *, classes: int) -> Pool:
    """Return the pool of least NLL on the rows that choose; without a row of val the plain product.

    (h, c, D) is of least NLL on val at the weights that are best with P(y|x) in place of P_n. Given it, the NLL is
    convex in the weights. Where no row of spatial_val chooses, the weights are the same near and far. All numbers are
    rounded to six digits, as pool.json has them.

    Args:
        log_ps: row numbers to log P(y|I) and log P(y|x); the latter may be anything for rows without a position.
        label: of every row.
        near: the labelled neighbours of every row.
        choosers: the rows that choose.
        grid: what (h, c, D) is chosen from, the first of equals.
        classes: the number of classes.
    """
    some = choosers.thinned(classes)
    alone = _rounded(_minimise(log_ps(some.alone)[:1], label[some.alone], torch.ones(len(some.alone), 1).double())[0])
    if len(some.val) == 0:
        return Pool(image_alone=alone[0])
    rows, n = torch.cat((some.val, some.spatial_val)), len(some.val)
    (image, location), y, around = log_ps(rows), label[rows], near.of(rows)
    first = _minimise((image[:n], location[:n]), y[:n], torch.ones(n, 1).double())[0]
    h, c, days = _best_kernel((image[:n], location[:n]), y[:n], around.of(slice(n)), first, grid)
    place = Pool(kernel_km=h, count_weight=c, kernel_days=days).place_log_p(location, around)
    fade_km = _fade_km(around.nearest_km[:n]) if len(rows) > n else None
    design = nearness(around.nearest_km, fade_km)[:, : 1 if fade_km is None else 2]
    a, b = (_rounded(ends) for ends in _minimise((image, place), y, design).T)
    return Pool((a[0], a[-1]), (b[0], b[-1]), alone[0], fade_km, h, c, days)


def _rounded(numbers: Tensor) -> list[float]:
    return [round(one, 6) for one in numbers.tolist()]


def _fade_km(nearest_km: Float[Tensor, "n"]) -> float | None:
    """Return the distance over which near becomes far; None where no row is labelled."""
    median = float(nearest_km.median())
    return round(max(1.0, FADE * median), 6) if math.isfinite(median) else None


def _best_kernel(
    tables: tuple[Tensor, Tensor], label: Int[Tensor, "n"], near: Neighbours, weights: Float[Tensor, "2"], grid: Grid
) -> tuple[float, float, float | None]:
    """Return (h, c, D) of least NLL at these weights; c is 0 where there is no neighbour.

    The classes of a row's neighbours are the same for all of them. The sum over all other classes is made once.
    """
    if near.km.shape[1] == 0:
        return grid.kernel_km[0], 0.0, None
    (image, location), slots = tables, Slots.of(near)
    a, b = weights.tolist()
    rest = torch.empty(len(label), dtype=torch.float64)
    for here in slices(len(label), image.shape[1]):
        spared = slots.label[here].where(slots.used[here], slots.label[here, :1])
        rest[here] = (a * image[here] + b * location[here]).scatter_(1, spared, -torch.inf).logsumexp(1)
    own_image, own_location = (table.gather(1, label[:, None])[:, 0] for table in tables)
    slot_image, slot_location = ((table.gather(1, slots.label)) for table in tables)
    slot_image = (a * slot_image).masked_fill_(~slots.used, -torch.inf)
    same = near.label == label[:, None]
    nll = {}
    for days, h in itertools.product(grid.kernel_days, grid.kernel_km):
        weight = neighbour_kernel(near, h, days)
        log_counts, log_own = slots.log_counts(weight), (weight * same).sum(1).log()
        for c in grid.count_weight:
            scores = slot_image + b * torch.logaddexp(log_counts + math.log(c), slot_location)
            own = a * own_image + b * torch.logaddexp(log_own + math.log(c), own_location)
            nll[h, c, days] = float((torch.logaddexp(rest, scores.logsumexp(1)) - own).mean())
    return min(nll, key=lambda one: nll[one])


@dataclass(frozen=True)
class _Point:
    """The summed NLL and the prior at some weights, and their derivatives."""

    value: float
    gradient: Float[Tensor, "w"]
    hessian: Float[Tensor, "w w"]


def _minimise(tables: Sequence[Tensor], label: Int[Tensor, "n"], design: Float[Tensor, "n r"]) -> Float[Tensor, "r f"]:
    """Return the weights >= 0 of each table (f) in each regime (r) with the least NLL of their log-linear model.

    A row's weights are the means of the regimes' under its row of ``design``. Newton steps from the plain product, each to
    the minimum of the quadratic model among weights >= 0, and halved until the value falls.
    """
    from scipy.optimize import nnls

    at = torch.ones(design.shape[1], len(tables), dtype=torch.float64)
    here = _evaluate(tables, label, design, at)
    for _ in range(STEPS if len(label) else 0):
        factor = torch.linalg.cholesky(here.hessian, upper=True)
        aim = factor @ at.flatten() - torch.linalg.solve_triangular(factor.T, here.gradient[:, None], upper=False)[:, 0]
        step = torch.from_numpy(nnls(factor.numpy(), aim.numpy())[0]) - at.flatten()
        if not -float(step @ here.gradient) > 1e-11 * max(1.0, here.value):
            break
        for halvings in range(60):
            candidate = at + 0.5**halvings * step.view_as(at)
            there = _evaluate(tables, label, design, candidate)
            if there.value < here.value:
                break
        else:
            break
        at, here = candidate, there
    return at


def _evaluate(
    tables: Sequence[Tensor], label: Int[Tensor, "n"], design: Float[Tensor, "n r"], at: Float[Tensor, "r f"]
) -> _Point:
    """Return the value and its derivatives; those of a row's own weights come first, and the chain rule last."""
    n, f = len(label), len(tables)
    weights = design @ at
    nll, slope, curvature = (torch.zeros(n, *shape, dtype=torch.float64) for shape in ((), (f,), (f, f)))
    for here in slices(n, tables[0].shape[1]):
        some, own = [table[here] for table in tables], label[here, None]
        scores = weights[here, :1] * some[0]
        for k in range(1, f):
            scores.addcmul_(weights[here, k : k + 1], some[k])
        own_score = scores.gather(1, own)[:, 0]
        top = scores.amax(1, keepdim=True)
        p = scores.sub_(top).exp_()
        total = p.sum(1, keepdim=True)
        nll[here] = (total.log() + top)[:, 0] - own_score
        p /= total
        under_p = [p * table for table in some]
        mean = torch.stack([one.sum(1) for one in under_p], 1)
        slope[here] = mean - torch.cat([table.gather(1, own) for table in some], 1)
        for j, k in itertools.product(range(f), repeat=2):
            if j <= k:
                curvature[here, j, k] = torch.linalg.vecdot(under_p[j], some[k]) - mean[:, j] * mean[:, k]
                curvature[here, k, j] = curvature[here, j, k]
    size = at.numel()
    gradient = (design.T @ slope).flatten() + PRIOR_STRENGTH * (at.flatten() - 1)
    hessian = torch.einsum("nr,ns,njk->rjsk", design, design, curvature).reshape(size, size)
    hessian += PRIOR_STRENGTH * torch.eye(size, dtype=torch.float64)
    return _Point(float(nll.sum() + PRIOR_STRENGTH / 2 * (at - 1).square().sum()), gradient, hessian)
