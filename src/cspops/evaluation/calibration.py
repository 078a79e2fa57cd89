"""Fit the temperature of P(y|I) and the weight of P(y|x) on validation rows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import BaseModel, Field

from cspops.evaluation.predictor import Calibration
from cspops.kernels import row_blocks
from cspops.shapes import Float, Int, Tensor


class CalibrationEntry(BaseModel):
    """A calibration as calibration.json holds it, within more than the bounds of `fit`."""

    temperature: Annotated[float, Field(ge=1e-6, le=1e9)]
    location_weight: Annotated[float, Field(ge=0, le=1e6)]

    def calibration(self) -> Calibration:
        """Return it for a predictor."""
        return Calibration(self.temperature, self.location_weight)


LOW = torch.tensor([1e-6, 0.0], dtype=torch.float64)
HIGH = torch.tensor([1e3, 1e2], dtype=torch.float64)
"""Bounds of 1 / T and w: where the classes separate the rows without error the least NLL lies at infinity."""
STEPS = 100
KEPT = 2**23
"""Numbers held between steps (64 MB in float64): two per row and class."""

LogPs = Callable[[Int[Tensor, "b"]], tuple[Tensor, Tensor]]
"""Row numbers to their log P(y|I) and log P(y|x), each (b, q)."""


def fit(log_ps: LogPs, label: Int[Tensor, "n"], rows: Int[Tensor, "m"], *, classes: int) -> Calibration:
    """Return the calibration of least NLL on ``rows``, which all have a location; without rows the plain product.

    The NLL is that of a log-linear model in (1 / T, w), so it is convex: projected Newton steps from (1, 1), each
    halved until the NLL falls, end at the minimum within the bounds.

    At most ``KEPT`` numbers are held. Where there are more, the tables are made anew at each step, and the steps start from
    the minimum on evenly spaced rows. That saves steps; the minimum is that of all rows.
    """

    def features(some: Int[Tensor, "b"]) -> Float[Tensor, "b q 2"]:
        return _features(*log_ps(some), label[some])

    if len(rows) == 0:
        return Calibration()
    few = rows[:: -(-len(rows) * 2 * classes // KEPT)]
    held = [features(part) for part in row_blocks(few, classes)]
    calibration = _minimise(lambda: held, len(few), torch.ones(2, dtype=torch.float64))
    if len(few) < len(rows):
        held.clear()
        at = torch.tensor([1 / calibration.temperature, calibration.location_weight], dtype=torch.float64).clamp(LOW, HIGH)
        calibration = _minimise(lambda: map(features, row_blocks(rows, classes)), len(rows), at)
    return calibration


def _features(image: Float[Tensor, "n q"], location: Float[Tensor, "n q"], label: Int[Tensor, "n"]) -> Float[Tensor, "n q 2"]:
    """Return both log-probabilities minus those of the true class, which has (0, 0)."""
    features = torch.stack((image, location), -1).double()
    return features - features.gather(1, label[:, None, None].expand(-1, -1, 2))


@dataclass(frozen=True)
class _Point:
    """The mean NLL at a point, and its derivatives."""

    nll: float
    gradient: Float[Tensor, "2"]
    hessian: Float[Tensor, "2 2"]


def _minimise(passes: Callable[[], Iterable[Tensor]], n: int, at: Float[Tensor, "2"]) -> Calibration:
    """Minimise the NLL from ``at`` on; each call of ``passes`` yields the features of the n rows, some at a time."""
    here = _evaluate(passes(), n, at)
    for _ in range(STEPS):
        step, expected_fall = _newton_step(here, at)
        if not expected_fall > 1e-12 * max(1.0, here.nll):
            break
        for halvings in range(60):
            candidate = torch.clamp(at + 0.5**halvings * step, LOW, HIGH)
            there = _evaluate(passes(), n, candidate)
            if there.nll < here.nll:
                break
        else:
            break
        at, here = candidate, there
    inverse_temperature, weight = at.tolist()
    return Calibration(1 / inverse_temperature, weight)


def _evaluate(blocks: Iterable[Tensor], n: int, at: Float[Tensor, "2"]) -> _Point:
    """Return the NLL and its derivatives. NLL and gradient are averaged over all rows at the end, whatever the blocks."""
    nll, means, hessian = (torch.zeros(*shape, dtype=torch.float64) for shape in ((n,), (n, 2), (2, 2)))
    done = 0
    for features in blocks:
        here = slice(done, done + len(features))
        scores = features @ at
        nll[here] = scores.logsumexp(1)
        p = scores.softmax(1)[..., None]
        mean = (p * features).sum(1)
        centred = features - mean[:, None]
        hessian += torch.einsum("nqa,nqb->ab", p * centred, centred)
        means[here] = mean
        done = here.stop
    return _Point(float(nll.mean()), means.mean(0), hessian / n)


def _newton_step(point: _Point, at: Float[Tensor, "2"]) -> tuple[Float[Tensor, "2"], float]:
    """Return the step towards the minimum in the coordinates that are free to move, and the fall in NLL expected of it."""
    gradient, hessian = point.gradient, point.hessian
    free = ~(((at <= LOW) & (gradient > 0)) | ((at >= HIGH) & (gradient < 0)))
    both_free = free[:, None] & free[None, :]
    ridge = torch.diag(torch.where(free, 1e-12 * hessian.diagonal() + 1e-12, 1.0))
    gradient = gradient * free
    step = -torch.linalg.solve(hessian * both_free + ridge, gradient)
    return step, float(-gradient @ step)
