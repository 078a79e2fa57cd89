"""The calibrated product: how far the image is trusted, and how much a location weighs, from validation rows."""

from dataclasses import dataclass

import torch

from cspops.shapes import Bool, Float, Int, Tensor

LOW = torch.tensor([1e-6, 0.0], dtype=torch.float64)
HIGH = torch.tensor([1e3, 1e2], dtype=torch.float64)
"""Bounds of 1 / T and w: where the rows can be told apart without error the least NLL lies at infinity."""
STEPS = 100


@dataclass(frozen=True)
class Calibration:
    """T > 0 and w >= 0 of P(y|I, x), proportional to softmax(z_I / T) P(y|x)^w; (1, 1) is the plain product."""

    temperature: float = 1.0
    location_weight: float = 1.0


def calibrated_log_p(
    image: Float[Tensor, "n q"], location: Float[Tensor, "n q"], located: Bool[Tensor, "n"], calibration: Calibration
) -> Float[Tensor, "n q"]:
    """log P(y|I, x); softmax(z_I / T) alone where there is no location.

    Args:
        image: log P(y|I): a softmax of it over T is that of the logits z_I, which differ from it by a constant.
        location: log P(y|x); where ``located`` is false it may hold anything.
    """
    sharpened = image / calibration.temperature
    product = sharpened + calibration.location_weight * location
    return torch.where(located[:, None], product, sharpened).log_softmax(-1)


def fit(image: Float[Tensor, "n q"], location: Float[Tensor, "n q"], label: Int[Tensor, "n"]) -> Calibration:
    """The calibration of least NLL on rows that all have a location; the plain product when there is none.

    The NLL is that of a log-linear model in (1 / T, w), so it is convex: projected Newton steps from (1, 1), each
    halved until the NLL falls, end at the minimum within the bounds.
    """
    if len(label) == 0:
        return Calibration()
    features = torch.stack((image, location), -1).double()  # (n, q, 2)
    features = features - features.gather(1, label[:, None, None].expand(-1, -1, 2))  # the true class has (0, 0)
    at = torch.ones(2, dtype=torch.float64)
    nll = _nll(features, at)
    for _ in range(STEPS):
        step, expected_fall = _newton_step(features, at)
        if not expected_fall > 1e-12 * max(1.0, nll):
            break
        for halvings in range(60):
            candidate = torch.clamp(at + 0.5**halvings * step, LOW, HIGH)
            candidate_nll = _nll(features, candidate)
            if candidate_nll < nll:
                break
        else:
            break
        at, nll = candidate, candidate_nll
    inverse_temperature, weight = at.tolist()
    return Calibration(1 / inverse_temperature, weight)


def _nll(features: Float[Tensor, "n q 2"], at: Float[Tensor, "2"]) -> float:
    return float((features @ at).logsumexp(1).mean())


def _newton_step(features: Float[Tensor, "n q 2"], at: Float[Tensor, "2"]) -> tuple[Float[Tensor, "2"], float]:
    """The step towards the minimum, of coordinates that are free to move, and the fall in NLL that it promises."""
    p = (features @ at).softmax(1)[..., None]
    mean = (p * features).sum(1)
    centred = features - mean[:, None]
    gradient, hessian = mean.mean(0), torch.einsum("nqa,nqb->ab", p * centred, centred) / len(features)
    free = ~(((at <= LOW) & (gradient > 0)) | ((at >= HIGH) & (gradient < 0)))
    both_free = free[:, None] & free[None, :]
    ridge = torch.diag(torch.where(free, 1e-12 * hessian.diagonal() + 1e-12, 1.0))
    gradient = gradient * free
    step = -torch.linalg.solve(hessian * both_free + ridge, gradient)
    return step, float(-gradient @ step)
