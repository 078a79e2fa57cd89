"""How far the image is trusted, and how much a location weighs, fitted on validation rows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from cspops.evaluation.predictor import Calibration
from cspops.kernels import row_blocks
from cspops.shapes import Float, Int, Tensor

LOW = torch.tensor([1e-6, 0.0], dtype=torch.float64)
HIGH = torch.tensor([1e3, 1e2], dtype=torch.float64)
"""Bounds of 1 / T and w: where the rows can be told apart without error the least NLL lies at infinity."""
STEPS = 100
KEPT = 2**23
"""Numbers that are held between steps (64 MB in float64): two for each row and class."""

Answers = Callable[[Int[Tensor, "b"]], tuple[Tensor, Tensor]]
"""Row numbers to their log P(y|I) and log P(y|x), each (b, q)."""


def fit(answers: Answers, label: Int[Tensor, "n"], rows: Int[Tensor, "m"], *, classes: int) -> Calibration:
    """The calibration of least NLL on the rows numbered ``rows``, which all have a location; the plain product without any.

    The NLL is that of a log-linear model in (1 / T, w), so it is convex: projected Newton steps from (1, 1), each
    halved until the NLL falls, end at the minimum within the bounds.

    Never more than ``KEPT`` numbers are held. Where all would be more, the tables are made anew at each step, and the
    steps begin where those of some evenly spaced rows have ended. That saves steps; the minimum is that of all rows.
    """

    def features(some: Int[Tensor, "b"]) -> Float[Tensor, "b q 2"]:
        return _features(*answers(some), label[some])

    if len(rows) == 0:
        return Calibration()
    few = rows[:: -(-len(rows) * 2 * classes // KEPT)]
    held = [features(part) for part in row_blocks(few, classes)]
    found = _minimise(lambda: held, len(few), torch.ones(2, dtype=torch.float64))
    if len(few) < len(rows):
        held.clear()
        at = torch.tensor([1 / found.temperature, found.location_weight], dtype=torch.float64).clamp(LOW, HIGH)
        found = _minimise(lambda: map(features, row_blocks(rows, classes)), len(rows), at)
    return found


def _features(image: Float[Tensor, "n q"], location: Float[Tensor, "n q"], label: Int[Tensor, "n"]) -> Float[Tensor, "n q 2"]:
    """Both log-probabilities, less those of the true class, which has (0, 0)."""
    features = torch.stack((image, location), -1).double()
    return features - features.gather(1, label[:, None, None].expand(-1, -1, 2))


@dataclass(frozen=True)
class _Look:
    """The mean NLL at a point, and its derivatives."""

    nll: float
    gradient: Float[Tensor, "2"]
    hessian: Float[Tensor, "2 2"]


def _minimise(passes: Callable[[], Iterable[Tensor]], n: int, at: Float[Tensor, "2"]) -> Calibration:
    """From ``at`` to the least NLL of the features of n rows that each call of ``passes`` yields, some rows at a time."""
    here = _look(passes(), n, at)
    for _ in range(STEPS):
        step, expected_fall = _newton_step(here, at)
        if not expected_fall > 1e-12 * max(1.0, here.nll):
            break
        for halvings in range(60):
            candidate = torch.clamp(at + 0.5**halvings * step, LOW, HIGH)
            there = _look(passes(), n, candidate)
            if there.nll < here.nll:
                break
        else:
            break
        at, here = candidate, there
    inverse_temperature, weight = at.tolist()
    return Calibration(1 / inverse_temperature, weight)


def _look(blocks: Iterable[Tensor], n: int, at: Float[Tensor, "2"]) -> _Look:
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
    return _Look(float(nll.mean()), means.mean(0), hessian / n)


def _newton_step(look: _Look, at: Float[Tensor, "2"]) -> tuple[Float[Tensor, "2"], float]:
    """The step towards the minimum, of coordinates that are free to move, and the fall in NLL that it promises."""
    gradient, hessian = look.gradient, look.hessian
    free = ~(((at <= LOW) & (gradient > 0)) | ((at >= HIGH) & (gradient < 0)))
    both_free = free[:, None] & free[None, :]
    ridge = torch.diag(torch.where(free, 1e-12 * hessian.diagonal() + 1e-12, 1.0))
    gradient = gradient * free
    step = -torch.linalg.solve(hessian * both_free + ridge, gradient)
    return step, float(-gradient @ step)
