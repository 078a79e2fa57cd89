"""Location priors without learning: P(y|x) from the labelled positions alone, the baselines of e(x) T.

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

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.spatial import cKDTree

from cspops.geo import EARTH_RADIUS_KM, blocks, unit_vectors
from cspops.kernels import row_blocks
from cspops.shapes import Bool, Float, Int, Tensor

Prior = Literal["frequency", "histogram", "knn", "distance_knn", "kde"]
PRIORS: tuple[Prior, ...] = get_args(Prior)
PRODUCTS = tuple(f"image_x_{name}" for name in PRIORS)
METRICS = ("top1", "top5", "mrr", "balanced_top1", "nll")
"""The metrics of each prior and product: fewer than of the learned models, which keeps metrics.json short."""

BLOCK = 500_000
"""Kernel values held at once."""

KEPT = 2**26
"""Bytes of kernel sums that are kept, for the next seed with the same labelled rows."""

LEAST_EXPONENT = -80.0
"""exp of it is 2e-35, next to nothing: below -87 the numbers are subnormal in float32, and ten times slower."""


@dataclass(frozen=True)
class Neighbours:
    """The nearest labelled rows of n positions, nearest first: at most k, or all where there are fewer."""

    km: Float[Tensor, "n k"]
    label: Int[Tensor, "n k"]


def log_frequency(label: Int[Tensor, "m"], *, classes: int) -> Float[Tensor, "q"]:
    """Return log P(y) = log (count + 1) / (m + q)."""
    counts = torch.bincount(label, minlength=classes).double() + 1
    return (counts / counts.sum()).log()


def smoothed(counts: Float[Tensor, "n q"], frequency: Float[Tensor, "q"], *, pseudo_count: float) -> Float[Tensor, "n q"]:
    """Return log of (counts + a P(y)) / (sum + a), given log P(y) and a."""
    total = counts.sum(1, keepdim=True) + pseudo_count
    return (counts + pseudo_count * frequency.exp()).log() - total.log()


def nearest(known: Float[Tensor, "m 2"], label: Int[Tensor, "m"], lonlat: Float[Tensor, "n 2"], *, k: int) -> Neighbours:
    """Return the ``k`` labelled rows nearest to each position: chords of a k-d tree order points as great circles do."""
    k = min(k, len(label))
    if k == 0:
        return Neighbours(torch.empty(len(lonlat), 0, dtype=torch.float64), torch.empty(len(lonlat), 0, dtype=torch.long))
    chord, row = cKDTree(unit_vectors(known.double()).numpy()).query(
        unit_vectors(lonlat.double()).numpy(), k=[*range(1, k + 1)]
    )
    km = 2 * EARTH_RADIUS_KM * np.arcsin(np.clip(chord / 2, 0, 1))
    return Neighbours(torch.from_numpy(km), label[torch.from_numpy(row)])


class Entries(NamedTuple):
    """Counts that are not 0, of some judged rows: entry i adds ``weight[i]`` to a class of a row."""

    row: Int[Tensor, "e"]
    label: Int[Tensor, "e"]
    weight: Float[Tensor, "e"]

    def dense(self, rows: int, classes: int) -> Float[Tensor, "n q"]:
        """Return the table of all counts, zeros included."""
        counts = torch.zeros(rows * classes, dtype=torch.float64)
        return counts.scatter_add_(0, self.row * classes + self.label, self.weight).view(rows, classes)


def in_cells(known: Float[Tensor, "m 2"], label: Int[Tensor, "m"], *, degrees: float, classes: int) -> Any:
    """Count the labelled rows of each class in each ``degrees`` x ``degrees`` cell: a scipy csr array (cells, q)."""
    cell = blocks(known, degrees).numpy()
    shape = (math.ceil(360 / degrees) * math.ceil(180 / degrees), classes)
    return coo_array((np.ones(len(cell)), (cell, label.numpy())), shape=shape).tocsr()


def histogram_entries(table: Any, lonlat: Float[Tensor, "n 2"], *, degrees: float) -> Entries:
    """Count the labelled rows of each class in the same cell; ``table`` is that of `in_cells`."""
    counts = table[blocks(lonlat, degrees).numpy()]
    row = np.repeat(np.arange(len(lonlat)), np.diff(counts.indptr))
    return Entries(torch.from_numpy(row), torch.from_numpy(counts.indices).long(), torch.from_numpy(counts.data))


def knn_entries(neighbours: Neighbours, *, k: int, by_distance: bool = False) -> Entries:
    """Count the ``k`` nearest rows of each class, or add up their weights by distance."""
    km, label = neighbours.km[:, :k], neighbours.label[:, :k]
    weight = (km[:, :1] + 1) / (km + 1) if by_distance else torch.ones_like(km)
    row = torch.arange(len(km))[:, None].expand_as(label)
    return Entries(row.flatten(), label.flatten(), weight.flatten())


@dataclass(frozen=True)
class Sorted:
    """Labelled rows in the order of their classes."""

    vectors: Float[Tensor, "m 3"]
    present: Int[Tensor, "c"]
    """The classes that occur."""
    starts: Int[np.ndarray, "c"]
    """The first row of each of them."""

    @classmethod
    def of(cls, known: Float[Tensor, "m 2"], label: Int[Tensor, "m"]) -> "Sorted":
        """Sort positions in degrees by ``label``."""
        order = label.argsort(stable=True)
        present, sizes = label.unique(return_counts=True)
        return cls(unit_vectors(known[order].double()), present, (sizes.cumsum(0) - sizes).numpy())


def kde_counts(known: Sorted, lonlat: Float[Tensor, "n 2"], *, bandwidth_km: float, classes: int) -> Float[Tensor, "n q"]:
    """Sum the kernels of each class, exactly and in blocks.

    The rows are sorted by class, so that one `reduceat` sums all classes: the cost is n m, whatever their number.
    """
    counts = torch.zeros(len(lonlat), classes, dtype=torch.float64)
    m = len(known.vectors)
    if m == 0:
        return counts
    concentration = (EARTH_RADIUS_KM / bandwidth_km) ** 2
    known_vectors = (concentration * known.vectors).T.contiguous()
    done = 0
    for part in unit_vectors(lonlat.double()).split(max(1, BLOCK // m)):
        kernel = (part @ known_vectors).sub_(concentration).float().clamp_(min=LEAST_EXPONENT).exp_()
        sums = np.add.reduceat(kernel.numpy(), known.starts, axis=1)
        counts[done : done + len(part), known.present] = torch.from_numpy(sums).double()
        done += len(part)
    return counts


class LocationPriors:
    """The priors of one set of labelled positions at one set of positions to judge, some rows at a time.

    It holds the neighbours, 16 bytes per judged row and neighbour, and at most ``KEPT`` bytes of kernel sums.
    """

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
            known: degrees, positions of the labelled rows, none missing.
            label: their classes.
            lonlat: degrees, the positions to judge; anything where ``located`` is false: there a prior is P(y).
            pseudo_count: weight of P(y), in labelled rows.
            most_neighbours: the greatest k that `log_p` will be called with.
        """
        self.known, self.label, self.classes, self.pseudo_count = known.double(), label, classes, pseudo_count
        self.lonlat, self.located = lonlat.double().where(located[:, None], 0), located
        self.frequency = log_frequency(label, classes=classes)
        self.neighbours = nearest(self.known, label, self.lonlat, k=max(1, most_neighbours))
        self._sorted = Sorted.of(self.known, label)
        self._in_cells: dict[float, Any] = {}
        self._kernel_sums: dict[tuple[float, bytes], Tensor] = {}

    @property
    def nearest_km(self) -> Float[Tensor, "n"]:
        """The distance to the nearest labelled row; nan without a position, inf where no row is labelled."""
        km = self.neighbours.km
        first = km[:, 0] if km.shape[1] else km.new_full((len(km),), torch.inf)
        return first.where(self.located, torch.nan)

    def log_p(self, name: Prior, setting: float, rows: Int[Tensor, "b"]) -> Float[Tensor, "b q"]:
        """Return log P(y|x) of the judged rows numbered ``rows``."""
        counts = self._counts(name, setting, rows)
        dense = counts.dense(len(rows), self.classes) if isinstance(counts, Entries) else counts
        log_p = smoothed(dense, self.frequency, pseudo_count=self.pseudo_count)
        return self.frequency.where(~self.located[rows, None], log_p)

    def choose(
        self,
        settings: Mapping[Prior, Sequence[float]],
        *,
        image: Callable[[Int[Tensor, "b"]], Tensor],
        label: Int[Tensor, "n"],
        chooser: Bool[Tensor, "n"],
    ) -> dict[Prior, float]:
        """Return the setting of each prior with the least NLL of P(y|I) P(y|x) on the located rows of ``chooser``.

        It is the first where a prior has one setting, or no row chooses. The NLL of a normalised product needs two
        numbers per row only (`_counts_under`), so that no table of P(y|I, x) is made per setting.

        Args:
            settings: the settings to choose from.
            image: row numbers to log P(y|I); zeros make it the NLL of P(y|x) alone.
            label: of every judged row.
            chooser: which judged rows choose.
        """
        tried = [(name, one) for name, some in settings.items() if len(some) > 1 for one in some]
        every = (chooser & self.located).nonzero()[:, 0]
        nll = {one: torch.zeros(len(every), dtype=torch.float64) for one in tried}
        for here in row_blocks(torch.arange(len(every)), self.classes) if tried else ():
            rows = every[here]
            log_image = image(rows)
            own, p_image = log_image.gather(1, label[rows, None])[:, 0], log_image.exp()
            background = p_image @ self.frequency.exp()
            for name, setting in tried:
                of_own, mean = self._counts_under(p_image, label[rows], self._counts(name, setting, rows))
                smooth = of_own + self.pseudo_count * self.frequency[label[rows]].exp()
                nll[name, setting][here] = (mean + self.pseudo_count * background).log() - smooth.log() - own
        chosen = {}
        for name, some in settings.items():
            means = [float(nll[name, one].mean()) for one in some] if len(some) > 1 and len(every) else [0.0]
            chosen[name] = some[int(np.argmin(means))]
        return chosen

    @staticmethod
    def _counts_under(
        p: Float[Tensor, "b q"], label: Int[Tensor, "b"], counts: Entries | Tensor
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
        """Return the count of each row's label, and the mean count under ``p``: all that a normalised product needs."""
        if not isinstance(counts, Entries):
            return counts.gather(1, label[:, None])[:, 0], (p * counts).sum(1)
        row, entry_label, weight = counts
        own, mean = torch.zeros(2, len(p), dtype=torch.float64)
        own.index_add_(0, row, weight * (entry_label == label[row]))
        return own, mean.index_add_(0, row, weight * p[row, entry_label])

    def _counts(self, name: Prior, setting: float, rows: Int[Tensor, "b"]) -> Entries | Tensor:
        """Return the weighted counts of each class at some judged rows: those that are not 0, or a table of kernel sums."""
        if name == "kde":
            return self._kernel(setting, rows)
        if name == "histogram":
            if setting not in self._in_cells:
                self._in_cells[setting] = in_cells(self.known, self.label, degrees=setting, classes=self.classes)
            return histogram_entries(self._in_cells[setting], self.lonlat[rows], degrees=setting)
        near = Neighbours(self.neighbours.km[rows], self.neighbours.label[rows])
        return knn_entries(near, k=0 if name == "frequency" else int(setting), by_distance=name == "distance_knn")

    def _kernel(self, setting: float, rows: Int[Tensor, "b"]) -> Float[Tensor, "b q"]:
        key = (setting, rows.numpy().tobytes())
        if key in self._kernel_sums:
            return self._kernel_sums[key]
        sums = kde_counts(self._sorted, self.lonlat[rows], bandwidth_km=setting, classes=self.classes)
        if sum(table.nbytes for table in self._kernel_sums.values()) + sums.nbytes <= KEPT:
            self._kernel_sums[key] = sums
        return sums
