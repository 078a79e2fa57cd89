"""Softmax regression on frozen features or embeddings: a multinomial linear probe whose L2 is chosen on validation."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from cspops.kernels import linear, product, row_blocks
from cspops.models.heads import ABSENT, LinearProbe
from cspops.shapes import Float, Int, Tensor
from cspops.training.lbfgs import minimum

ITERATIONS = 40
"""Of L-BFGS, where params.yaml gives no number: the start of a training need not be the minimum to the last digit."""


@dataclass(frozen=True)
class ProbeChoice:
    """One point of the search: a strength of L2 and its scores on validation rows."""

    l2: float
    val_nll: float
    val_top1: float


def linear_probe(
    features: Float[Tensor, "n k"],
    label: Int[Tensor, "n"],
    val_features: Float[Tensor, "v k"],
    val_label: Int[Tensor, "v"],
    *,
    classes: int,
    l2: tuple[float, ...],
    max_iterations: int,
) -> tuple[LinearProbe, list[ProbeChoice]]:
    """Fit softmax regression on standardised features for each ``l2`` and keep the one of least validation NLL.

    The negative log-likelihood chooses, not the accuracy, because the probabilities are multiplied with P(y|x). The
    strengths are tried from strong to weak, each from where the one before ended, until the validation NLL rises.

    Args:
        l2: strengths; the objective is the mean cross-entropy + l2 / 2 |W|^2. The bias is not penalised.
        max_iterations: of L-BFGS, for each strength.
    """
    probe = LinearProbe(features.shape[1], classes).to(features.device)
    probe.standardise.fit(features)
    x, x_val = probe.standardise(features), probe.standardise(val_features)
    present = label.unique()
    y = torch.searchsorted(present, label)
    weight = torch.zeros(len(present), x.shape[1], device=x.device)
    bias = torch.zeros(len(present), device=x.device)
    spread = (x.T @ x).double() / max(1, len(x))
    search: list[ProbeChoice] = []
    for strength in sorted(l2, reverse=True):
        _minimise(weight, bias, x, y, strength, max_iterations, spread)
        with torch.no_grad():
            nll, top1 = validated(lambda rows: linear(x_val[rows], weight, bias), val_label, present, classes)
            best = min((choice.val_nll for choice in search), default=math.inf)
            search.append(ProbeChoice(strength, nll, top1))
            if nll > 1.002 * best:
                break
            if nll < best or len(search) == 1:
                probe.linear.weight.zero_()
                probe.linear.weight[present] = weight
                probe.linear.bias.fill_(ABSENT)
                probe.linear.bias[present] = bias
    return probe.eval(), search


@torch.no_grad()
def validated(
    scores: Callable[[Int[Tensor, "b"]], Float[Tensor, "b c"]],
    label: Int[Tensor, "v"],
    present: Int[Tensor, "c"],
    classes: int,
) -> tuple[float, float]:
    """Return mean NLL and accuracy of validation rows; nan where there is none.

    A row of a class without any label carries no information about the choice: its NLL is that of the uniform guess.

    Args:
        scores: from row numbers to the scores of the classes ``present``, those with a label.
    """
    known = torch.searchsorted(present, label).clamp(max=len(present) - 1)
    known = torch.where(present[known] == label, known, -1)
    log_p, right = label.new_empty(0, dtype=torch.float64), 0
    for rows in row_blocks(torch.arange(len(label), device=label.device), classes):
        block, own = scores(rows), known[rows]
        of_own = block.double().log_softmax(1).gather(1, own.clamp(min=0)[:, None])[:, 0]
        log_p = torch.cat((log_p, torch.where(own < 0, -math.log(classes), of_own)))
        right += int((block.argmax(1) == own).sum())
    return float(-log_p.mean()), right / len(label) if len(label) else math.nan


def _minimise(
    weight: Float[Tensor, "c k"], bias: Float[Tensor, "c"], x: Float[Tensor, "n k"], y: Int[Tensor, "n"], l2: float,
    iterations: int, spread: Float[Tensor, "k k"],
) -> None:  # fmt: skip
    """Bring weight and bias (in place) to the minimum of the penalised mean cross-entropy.

    The features of an embedding are nearly collinear, which costs L-BFGS hundreds of iterations. It moves V, with
    W = W_0 + V L^-1 and L L^T the Hessian of W if all classes were as likely: most directions of V then curve alike.
    """
    curvature = (1 - 1 / len(weight)) / len(weight)
    inverse, unit = _inverse_factor(spread, curvature=curvature, l2=l2), curvature**-0.5 if curvature else 1.0
    rows = torch.arange(len(y), device=y.device)

    def moved(v: Tensor) -> tuple[Tensor, Tensor]:
        v = v.view(len(weight), -1)
        return weight + v[:, 1:] @ inverse, bias + unit * v[:, 0]

    def objective(v: Tensor) -> tuple[float, Tensor]:
        at, shift = moved(v)
        log_p = linear(x, at, shift).log_softmax(1)
        value = l2 / 2 * at.square().sum(dtype=torch.float64) - log_p[rows, y].mean(dtype=torch.float64)
        slope = log_p.exp_()
        slope[rows, y] -= 1
        slope /= len(y)
        of_weight = product(slope.T, x).add_(at, alpha=l2) @ inverse.T
        return float(value), torch.cat((unit * slope.sum(0)[:, None], of_weight), 1).flatten()

    with torch.no_grad():
        least = minimum(objective, x.new_zeros(weight.numel() + len(bias)), iterations=iterations)
        at, shift = moved(least)
        weight.copy_(at)
        bias.copy_(shift)


def _inverse_factor(spread: Float[Tensor, "k k"], *, curvature: float, l2: float) -> Float[Tensor, "k k"]:
    """Return L^-1 of L L^T = curvature ``spread`` + l2, to 8 bits: no minimum depends on it, and no last bit of the steps."""
    hessian = curvature * spread + l2 * torch.eye(len(spread), dtype=spread.dtype, device=spread.device)
    factor = torch.linalg.cholesky(hessian)
    inverse: Tensor = torch.linalg.solve_triangular(factor, torch.eye(len(spread)).to(factor), upper=False)
    return inverse.bfloat16().float()
