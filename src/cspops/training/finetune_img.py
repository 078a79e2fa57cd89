"""The classifier g on frozen image features: a multinomial linear probe whose L2 is chosen on validation."""

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from cspops.kernels import row_blocks
from cspops.models.heads import ABSENT, LinearProbe
from cspops.shapes import Bool, Float, Int, Tensor


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
    weight = torch.zeros(len(present), x.shape[1], device=x.device, requires_grad=True)
    bias = torch.zeros(len(present), device=x.device, requires_grad=True)
    search: list[ProbeChoice] = []
    every = torch.arange(len(val_label), device=x.device)
    val_rows = row_blocks(every, classes) or [every]
    for strength in sorted(l2, reverse=True):
        _minimise(weight, bias, x, y, strength, max_iterations)
        with torch.no_grad():
            parts = [_true_class(x_val[rows] @ weight.T + bias, val_label[rows], present, classes) for rows in val_rows]
            log_p, right = (torch.cat(column) for column in zip(*parts, strict=True))
            # A validation row of a class without any label carries no information about L2: it counts as the uniform guess.
            nll = float(-torch.where(torch.isin(val_label, present), log_p, -math.log(classes)).mean())
            best = min((choice.val_nll for choice in search), default=math.inf)
            search.append(ProbeChoice(strength, nll, float(right.double().mean())))
            if nll > 1.01 * best:
                break
            if nll < best or len(search) == 1:
                probe.linear.weight.zero_()
                probe.linear.weight[present] = weight
                probe.linear.bias.fill_(ABSENT)
                probe.linear.bias[present] = bias
    return probe.eval(), search


def _true_class(
    scores: Float[Tensor, "v c"], label: Int[Tensor, "v"], present: Int[Tensor, "c"], classes: int
) -> tuple[Float[Tensor, "v"], Bool[Tensor, "v"]]:
    """Return log P of the true class of each row, and whether it comes first, from the scores of the classes ``present``."""
    every = torch.full((len(label), classes), ABSENT, device=scores.device)
    every[:, present] = scores
    return every.double().log_softmax(1).gather(1, label[:, None])[:, 0], every.argmax(1) == label


def _minimise(weight: Tensor, bias: Tensor, x: Tensor, y: Tensor, l2: float, iterations: int) -> None:
    """Bring weight and bias (in place) to the minimum of the penalised mean cross-entropy."""
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=iterations, tolerance_grad=1e-5, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        objective = cross_entropy(x @ weight.T + bias, y) + l2 / 2 * weight.square().sum()
        objective.backward()
        return objective

    optimizer.step(closure)
