"""Location priors without learning: what the labelled positions alone say about P(y|x). The baselines of e(x) T.

Each is a weighted count of labelled rows, smoothed towards the class frequency P(y):

    P(y|x) = (sum_i w_i(x) [y_i = y] + a P(y)) / (sum_i w_i(x) + a),    P(y) = (count of y + 1) / (m + q)

with w_i at most 1 and the pseudo-count a > 0, so that it is finite everywhere and P(y) far from every label.

| name         | w_i(x)                                                            | its setting         |
|--------------|-------------------------------------------------------------------|---------------------|
| frequency    | 0                                                                 | none                |
| histogram    | 1 in the longitude-latitude cell of x                             | side, degrees       |
| knn          | 1 for the k nearest                                               | k                   |
| distance_knn | (d_1 + 1 km) / (d_i + 1 km) for the k nearest, d_1 the least of d | k                   |
| kde          | exp(-(1 - cos angle(x, x_i)) / h^2), von Mises-Fisher             | h on the ground, km |

Mac Aodha et al. 2019 compare their learned prior with baselines like these. Distances are along great circles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.spatial import cKDTree

from cspops.evaluation.combine import combined_log_p
from cspops.geo import EARTH_RADIUS_KM, blocks, unit_vectors
from cspops.shapes import Bool, Float, Int, Tensor

Prior = Literal["frequency", "histogram", "knn", "distance_knn", "kde"]
PRIORS: tuple[Prior, ...] = get_args(Prior)
PRODUCTS = tuple(f"image_x_{name}" for name in PRIORS)
METRICS = ("top1", "top5", "mrr", "balanced_top1", "nll")
"""Of each prior and product: fewer than of the learned models, for the sake of metrics.json."""

BLOCK = 500_000
"""Kernel values held at once."""

LEAST_EXPONENT = -80.0
"""exp of it is 2e-35, next to nothing: below -87 the numbers are subnormal in float32, and ten times slower."""


@dataclass(frozen=True)
class Neighbours:
    """The nearest labelled rows of n positions, nearest first: at most k, or all where there are fewer."""

    km: Float[Tensor, "n k"]
    label: Int[Tensor, "n k"]


def log_frequency(label: Int[Tensor, "m"], *, classes: int) -> Float[Tensor, "q"]:
    """log P(y) = log (count + 1) / (m + q)."""
    counts = torch.bincount(label, minlength=classes).double() + 1
    return (counts / counts.sum()).log()


def smoothed(counts: Float[Tensor, "n q"], frequency: Float[Tensor, "q"], *, pseudo_count: float) -> Float[Tensor, "n q"]:
    """log of (counts + a P(y)) / (sum + a), given log P(y) and a."""
    total = counts.sum(1, keepdim=True) + pseudo_count
    return (counts + pseudo_count * frequency.exp()).log() - total.log()


def nearest(known: Float[Tensor, "m 2"], label: Int[Tensor, "m"], lonlat: Float[Tensor, "n 2"], *, k: int) -> Neighbours:
    """The ``k`` labelled rows nearest to each position: chords of a k-d tree order points as great circles do."""
    k = min(k, len(label))
    if k == 0:
        return Neighbours(torch.empty(len(lonlat), 0, dtype=torch.float64), torch.empty(len(lonlat), 0, dtype=torch.long))
    chord, row = cKDTree(unit_vectors(known.double()).numpy()).query(
        unit_vectors(lonlat.double()).numpy(), k=[*range(1, k + 1)]
    )
    km = 2 * EARTH_RADIUS_KM * np.arcsin(np.clip(chord / 2, 0, 1))
    return Neighbours(torch.from_numpy(km), label[torch.from_numpy(row)])


def histogram_counts(
    known: Float[Tensor, "m 2"], label: Int[Tensor, "m"], lonlat: Float[Tensor, "n 2"], *, degrees: float, classes: int
) -> Float[Tensor, "n q"]:
    """How many labelled rows of each class share the ``degrees`` x ``degrees`` cell."""
    cell, own = blocks(known, degrees).numpy(), blocks(lonlat, degrees).numpy()
    shape = (1 + max(cell.max(initial=0), own.max(initial=0)), classes)
    table = coo_array((np.ones(len(cell)), (cell, label.numpy())), shape=shape).tocsr()
    return torch.from_numpy(table[own].toarray())


def knn_counts(neighbours: Neighbours, *, k: int, classes: int, by_distance: bool = False) -> Float[Tensor, "n q"]:
    """How many of the ``k`` nearest are of each class, or the sum of their weights by distance."""
    km, label = neighbours.km[:, :k], neighbours.label[:, :k]
    weight = (km[:, :1] + 1) / (km + 1) if by_distance else torch.ones_like(km)
    return torch.zeros(len(km), classes, dtype=torch.float64).scatter_add_(1, label, weight)


def kde_counts(
    known: Float[Tensor, "m 2"], label: Int[Tensor, "m"], lonlat: Float[Tensor, "n 2"], *, bandwidth_km: float, classes: int
) -> Float[Tensor, "n q"]:
    """The sum of kernels of each class; exact, in blocks, at a cost of n m whatever the number of classes."""
    counts = torch.zeros(len(lonlat), classes, dtype=torch.float64)
    if len(label) == 0:
        return counts
    order = label.argsort(stable=True)
    present, sizes = label.unique(return_counts=True)
    starts = (sizes.cumsum(0) - sizes).numpy()  # of each class in rows sorted by class
    concentration = (EARTH_RADIUS_KM / bandwidth_km) ** 2
    known_vectors = (concentration * unit_vectors(known[order].double())).T.contiguous()
    done = 0
    for part in unit_vectors(lonlat.double()).split(max(1, BLOCK // len(label))):
        kernel = (part @ known_vectors).sub_(concentration).float().clamp_(min=LEAST_EXPONENT).exp_()
        sums = np.add.reduceat(kernel.numpy(), starts, axis=1)
        counts[done : done + len(part), present] = torch.from_numpy(sums).double()
        done += len(part)
    return counts


class LocationPriors:
    """The priors of one set of labelled positions, at one set of positions to judge; each is computed once."""

    def __init__(
        self,
        known: Float[Tensor, "m 2"],
        label: Int[Tensor, "m"],
        lonlat: Float[Tensor, "n 2"],
        located: Bool[Tensor, "n"],
        *,
        classes: int,
        pseudo_count: float,
        most_neighbours: int,
    ) -> None:
        """Find the neighbours.

        Args:
            known: degrees, positions of the labelled rows, all there.
            label: their classes.
            lonlat: degrees, the positions to judge; anything where ``located`` is false: there a prior is P(y).
            pseudo_count: weight of P(y), in labelled rows.
            most_neighbours: the greatest k that will be asked for.
        """
        self.known, self.label, self.classes, self.pseudo_count = known.double(), label, classes, pseudo_count
        self.lonlat, self.located = lonlat.double().where(located[:, None], 0), located
        self.frequency = log_frequency(label, classes=classes)
        self.neighbours = nearest(self.known, label, self.lonlat, k=max(1, most_neighbours))
        self._made: dict[tuple[Prior, float], Tensor] = {}
        self._tried: dict[tuple[Prior, float], Tensor] = {}

    @property
    def nearest_km(self) -> Float[Tensor, "n"]:
        """Distance to the nearest labelled row; nan without a position, inf where no row is labelled."""
        km = self.neighbours.km
        first = km[:, 0] if km.shape[1] else km.new_full((len(km),), torch.inf)
        return first.where(self.located, torch.nan)

    def log_p(self, name: Prior, setting: float) -> Float[Tensor, "n q"]:
        """log P(y|x) of every judged row."""
        if (name, setting) not in self._made:
            log_p = self._log_p(name, setting, torch.ones_like(self.located))
            self._made[name, setting] = self.frequency.where(~self.located[:, None], log_p)
        return self._made[name, setting]

    def choose(
        self,
        name: Prior,
        settings: Sequence[float],
        *,
        image: Float[Tensor, "n q"],
        label: Int[Tensor, "n"],
        chooser: Bool[Tensor, "n"],
    ) -> float:
        """The setting of least NLL of P(y|I) P(y|x) on the located rows of ``chooser``; the first one if there are none."""
        rows = chooser & self.located
        if len(settings) == 1 or not rows.any():
            return settings[0]
        nll = []
        for setting in settings:
            if (name, setting) not in self._tried:
                self._tried[name, setting] = self._log_p(name, setting, rows)
            product = combined_log_p(image[rows], self._tried[name, setting], rows[rows])
            nll.append(float(-product.gather(1, label[rows, None]).mean()))
        return settings[int(np.argmin(nll))]

    def _log_p(self, name: Prior, setting: float, rows: Bool[Tensor, "n"]) -> Float[Tensor, "m q"]:
        at, classes = self.lonlat[rows], self.classes
        near = Neighbours(self.neighbours.km[rows], self.neighbours.label[rows])
        if name == "frequency":
            counts = torch.zeros(len(at), classes, dtype=torch.float64)
        elif name == "histogram":
            counts = histogram_counts(self.known, self.label, at, degrees=setting, classes=classes)
        elif name == "kde":
            counts = kde_counts(self.known, self.label, at, bandwidth_km=setting, classes=classes)
        else:
            counts = knn_counts(near, k=int(setting), classes=classes, by_distance=name == "distance_knn")
        return smoothed(counts, self.frequency, pseudo_count=self.pseudo_count)
