"""Probes: how a target is predicted from features. The setting of each is chosen on inner folds of the training rows alone.

| probe    | regression                            | classification                            | its setting                   |
|----------|---------------------------------------|-------------------------------------------|-------------------------------|
| constant | mean of the training rows             | their commonest class                     | none                          |
| linear   | ridge regression                      | multinomial logistic regression           | alpha; L2                     |
| knn      | mean of the k nearest rows            | their commonest class, of equals the one  | k                             |
|          |                                       | of nearer rows                            |                               |

Features are standardised by the training rows of each fold. Ridge minimises |y - Xw|^2 + alpha |w|^2; logistic regression the
mean cross-entropy + l2 / 2 |W|^2. Ridge and k take the least error over all inner folds, logistic regression the least NLL.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from cspops.models.heads import LinearProbe, Standardise
from cspops.probing.folds import Nested, Part
from cspops.shapes import Float, Int, Tensor
from cspops.training.linear_probe import ProbeChoice, linear_probe

ALPHAS = tuple(10.0 ** (half / 2) for half in range(-8, 13))
"""1e-4 to 1e6 by half powers of ten."""
L2 = (1.0, 0.1, 0.01, 0.001, 0.0001)
NEIGHBOURS = (1, 3, 5, 10, 20, 50)
ITERATIONS = 40
TREE = 8
"""Features up to which a tree finds neighbours faster than all distances do."""
TABLE = 2**24
"""Distances that are held at once: 128 MB."""

ProbeName = Literal["constant", "linear", "knn"]


@dataclass(frozen=True)
class Features:
    """Features of all rows of a target; ``scaled``: whether distances between them are of standardised features."""

    x: Float[Tensor, "n d"]
    scaled: bool = True


Predict = Callable[[Features, Tensor, int, Nested], tuple[Tensor, float | None]]
"""From features, target, number of classes and a fold to predictions of its tested rows and the setting chosen."""


def mean(features: Features, y: Float[Tensor, "n"], classes: int, fold: Nested) -> tuple[Float[Tensor, "b"], None]:
    """Predict the mean of the training rows."""
    return y[fold.outer.train].mean().expand(len(fold.outer.test)), None


def majority(features: Features, y: Int[Tensor, "n"], classes: int, fold: Nested) -> tuple[Int[Tensor, "b"], None]:
    """Predict the commonest class of the training rows."""
    return torch.bincount(y[fold.outer.train], minlength=classes).argmax().expand(len(fold.outer.test)), None


class RidgePath:
    """Ridge regression with every alpha, from one eigendecomposition, in float64."""

    def __init__(self, x: Float[Tensor, "a d"], y: Float[Tensor, "a"]) -> None:
        x, y = x.double(), y.double()
        self.centre, sd = x.mean(0), x.std(0, correction=0)
        self.scale = torch.where(sd > 1e-6 * self.centre.abs().clamp(min=1), sd, 1.0)  # a constant feature stays one
        self.mean = y.mean()
        z = (x - self.centre) / self.scale
        if len(z) >= z.shape[1]:
            self.square, self.basis = torch.linalg.eigh(z.T @ z)
        else:
            square, left = torch.linalg.eigh(z @ z.T)
            there = square > 1e-10 * square.max().clamp(min=1e-300)
            self.square, self.basis = square[there], z.T @ (left[:, there] / square[there].sqrt())
        self.square = self.square.clamp(min=0)
        self.against = self.basis.T @ (z.T @ (y - self.mean))

    def predict(self, x: Float[Tensor, "b d"], alphas: Sequence[float]) -> Float[Tensor, "b alphas"]:
        """Return the predictions with each alpha."""
        weights = self.against[:, None] / (self.square[:, None] + torch.tensor(alphas, dtype=torch.float64))
        predicted: Tensor = ((x.double() - self.centre) / self.scale) @ (self.basis @ weights) + self.mean
        return predicted


def ridge(features: Features, y: Float[Tensor, "n"], classes: int, fold: Nested) -> tuple[Float[Tensor, "b"], float]:
    """Predict by ridge regression; alpha has the least squared error over all inner folds."""
    x, error = features.x, torch.zeros(len(ALPHAS), dtype=torch.float64)
    for part in fold.inner:
        predicted = RidgePath(x[part.train], y[part.train]).predict(x[part.test], ALPHAS)
        error += (predicted - y[part.test, None]).square().sum(0)
    alpha = ALPHAS[int(error.argmin())]
    return RidgePath(x[fold.outer.train], y[fold.outer.train]).predict(x[fold.outer.test], [alpha])[:, 0], alpha


def logistic(features: Features, y: Int[Tensor, "n"], classes: int, fold: Nested) -> tuple[Int[Tensor, "b"], float]:
    """Predict by multinomial logistic regression; L2 has the least NLL over all inner folds.

    A fold tries strengths from strong to weak until its NLL rises; one that a fold does not reach is not chosen.
    """
    x, nll = features.x.float(), dict.fromkeys(L2, 0.0)
    for part in fold.inner:
        search = _logistic(x, y, classes, part, L2)[1]
        tried = {one.l2: one.val_nll * len(part.test) for one in search}
        nll = {l2: total + tried[l2] for l2, total in nll.items() if l2 in tried}
    best = min(nll, key=nll.__getitem__)
    probe, _ = _logistic(x, y, classes, Part(fold.outer.train, fold.outer.test[:0]), (best,))
    with torch.no_grad():
        return probe(x[fold.outer.test]).argmax(1), best


def _logistic(
    x: Float[Tensor, "n d"], y: Int[Tensor, "n"], classes: int, part: Part, l2: tuple[float, ...]
) -> tuple[LinearProbe, list[ProbeChoice]]:
    return linear_probe(
        x[part.train], y[part.train], x[part.test], y[part.test], classes=classes, l2=l2, max_iterations=ITERATIONS
    )


def nearest_rows(features: Features, part: Part, k: int) -> Int[Tensor, "b k"]:
    """Return the numbers of the ``k`` nearest training rows of each tested row, nearest first."""
    train, test = features.x[part.train].float(), features.x[part.test].float()
    if features.scaled:
        scale = Standardise(train.shape[1]).fit(train)
        train, test = scale(train), scale(test)
    train, test = train.double(), test.double()
    if train.shape[1] <= TREE:
        from sklearn.neighbors import NearestNeighbors

        search = NearestNeighbors(n_neighbors=k, algorithm="kd_tree").fit(train.numpy())
        near = torch.from_numpy(search.kneighbors(test.numpy(), return_distance=False))
    else:
        parts = [torch.cdist(some, train).topk(k, largest=False).indices for some in test.split(max(1, TABLE // len(train)))]
        near = torch.cat(parts)
    return part.train[near]


def knn_regression(features: Features, y: Float[Tensor, "n"], classes: int, fold: Nested) -> tuple[Float[Tensor, "b"], float]:
    """Predict the mean of the k nearest rows; k has the least squared error over all inner folds."""
    settings = _possible(fold)
    error = torch.zeros(len(settings), dtype=torch.float64)
    for part in fold.inner:
        near = y[nearest_rows(features, part, settings[-1])].double()
        error += torch.stack([(near[:, :k].mean(1) - y[part.test]).square().sum() for k in settings])
    k = settings[int(error.argmin())]
    return y[nearest_rows(features, fold.outer, k)].double().mean(1), k


def knn_classes(features: Features, y: Int[Tensor, "n"], classes: int, fold: Nested) -> tuple[Int[Tensor, "b"], float]:
    """Predict the commonest class of the k nearest rows; k has the most hits over all inner folds."""
    settings = _possible(fold)
    hits = torch.zeros(len(settings))
    for part in fold.inner:
        near = y[nearest_rows(features, part, settings[-1])]
        hits += torch.stack([(_commonest(near[:, :k], classes) == y[part.test]).sum() for k in settings])
    k = settings[int(hits.argmax())]
    return _commonest(y[nearest_rows(features, fold.outer, k)], classes), k


def _possible(fold: Nested) -> list[int]:
    """Return the numbers of neighbours that every inner fold has."""
    most = min(len(part.train) for part in fold.inner)
    return [k for k in NEIGHBOURS if k <= most]


def _commonest(label: Int[Tensor, "b k"], classes: int) -> Int[Tensor, "b"]:
    """Return the commonest class of each row, of equals that with the lower sum of ranks per neighbour."""
    b, k = label.shape
    weight = 1 + (k - torch.arange(k, dtype=torch.float64)) / (k * k + 1.0) / 2
    votes = torch.zeros(b, classes, dtype=torch.float64).scatter_add_(1, label, weight.expand(b, k))
    return votes.argmax(1)


PROBES: dict[str, dict[ProbeName, Predict]] = {
    "regression": {"constant": mean, "linear": ridge, "knn": knn_regression},
    "classification": {"constant": majority, "linear": logistic, "knn": knn_classes},
}
