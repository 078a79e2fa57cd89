"""The classifier g on frozen image features: a multinomial linear probe whose L2 is chosen on validation."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from cspops.models.heads import LinearProbe
from cspops.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class ProbeChoice:
    """One point of the search: the strength of L2 and what validation said."""

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

    The negative log-likelihood chooses, not the accuracy, because the probabilities are multiplied with P(y|x).

    Args:
        l2: strengths; the objective is the mean cross-entropy + l2 / 2 |W|^2. The bias is not penalised.
        max_iterations: of L-BFGS, for each strength, starting where the stronger one before ended.
    """
    probe = LinearProbe(features.shape[1], classes)
    probe.standardise.fit(features)
    x, x_val = probe.standardise(features).double().numpy(), probe.standardise(val_features).double().numpy()
    y, y_val = label.numpy(), val_label.numpy()
    present = np.unique(y)
    search: list[ProbeChoice] = []
    model = LogisticRegression(warm_start=True, max_iter=max_iterations, tol=1e-4)
    for strength in sorted(l2, reverse=True):
        model.C = 1 / (strength * len(y))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a bounded number of iterations is a setting
            model.fit(x, y)
        scores = torch.full((len(y_val), classes), -torch.inf, dtype=torch.float64)
        scores[:, present] = torch.from_numpy(x_val @ _weights(model).T + _bias(model))
        # A class without any label has probability 0; its validation rows count as the uniform guess.
        log_p = scores.log_softmax(1)[torch.arange(len(y_val)), val_label]
        nll = float(-torch.where(log_p.isinf(), -np.log(classes), log_p).mean())
        search.append(ProbeChoice(strength, nll, float((scores.argmax(1) == val_label).double().mean())))
        if nll <= min(choice.val_nll for choice in search):
            with torch.no_grad():
                probe.linear.weight.zero_()
                probe.linear.bias.fill_(-1e4)
                probe.linear.weight[present] = torch.from_numpy(_weights(model)).float()
                probe.linear.bias[present] = torch.from_numpy(_bias(model)).float()
        elif nll > 1.05 * min(choice.val_nll for choice in search):
            break  # weaker penalties only overfit further
    return probe, search


def _weights(model: LogisticRegression) -> np.ndarray:
    """(q, k); scikit-learn keeps one row for two classes."""
    coef: np.ndarray = model.coef_
    return coef if len(coef) > 1 else np.concatenate((-coef / 2, coef / 2))


def _bias(model: LogisticRegression) -> np.ndarray:
    bias: np.ndarray = model.intercept_
    return bias if len(bias) > 1 else np.concatenate((-bias / 2, bias / 2))
