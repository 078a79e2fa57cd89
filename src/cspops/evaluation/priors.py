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

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch

from cspops.evaluation.metrics import Judgement
from cspops.evaluation.pool import Places
from cspops.evaluation.prior_counts import Entries, Sorted, Sums, histogram_entries, in_cells, kde_sums, knn_entries
from cspops.shapes import Bool, Float, Int, Tensor

Prior = Literal["frequency", "histogram", "knn", "distance_knn", "kde"]
PRIORS: tuple[Prior, ...] = get_args(Prior)
METRICS = ("top1", "top5", "mrr", "balanced_top1", "nll")
"""The metrics of each prior: fewer than of the learned models, which keeps scores.json short."""

KEPT = 2**26
"""Bytes of kernel sums that are kept, for the next seed with the same labelled rows."""


def log_frequency(label: Int[Tensor, "m"], *, classes: int) -> Float[Tensor, "q"]:
    """Return log P(y) = log (count + 1) / (m + q)."""
    counts = torch.bincount(label, minlength=classes).double() + 1
    return (counts / counts.sum()).log()


def smoothed(counts: Float[Tensor, "n q"], frequency: Float[Tensor, "q"], *, pseudo_count: float) -> Float[Tensor, "n q"]:
    """Return log of (counts + a P(y)) / (sum + a), given log P(y) and a."""
    total = counts.sum(1, keepdim=True) + pseudo_count
    return (counts + pseudo_count * frequency.exp()).log() - total.log()


class LocationPriors:
    """The priors of one set of labelled places at one set of positions to judge, some rows at a time.

    It holds the neighbours, 16 bytes per judged row and neighbour, and at most ``KEPT`` bytes of kernel sums.
    """

    def __init__(
        self,
        places: Places,
        lonlat: Float[Tensor, "n 2"],
        when: Float[Tensor, "n"] | None = None,
        *,
        classes: int,
        pseudo_count: float,
        most_neighbours: int,
    ) -> None:
        """Find the neighbours.

        Args:
            places: the labelled rows.
            lonlat: degrees, the positions to judge; where they are nan a prior is P(y).
            when: their dates, as `Places.near` takes them; no prior depends on them.
            classes: the number of classes.
            pseudo_count: weight of P(y), in labelled rows.
            most_neighbours: the greatest k that will be asked for.
        """
        self.places, self.classes, self.pseudo_count = places, classes, pseudo_count
        self.located = ~lonlat.isnan().any(1)
        self.lonlat = lonlat.double().nan_to_num()
        self.frequency = log_frequency(places.label, classes=classes)
        self.neighbours = places.near(lonlat, when, k=most_neighbours)
        self.base = pseudo_count * self.frequency.exp()
        self._sorted_base = self.base.sort().values
        self._sorted = Sorted.of(places)
        self._in_cells: dict[float, Any] = {}
        self._kernel_sums: dict[tuple[float, bytes], list[Sums]] = {}

    @property
    def nearest_km(self) -> Float[Tensor, "n"]:
        """The distance to the nearest labelled row; nan without a position, inf where no row is labelled."""
        return self.neighbours.nearest_km.where(self.located, torch.nan)

    def log_p(self, name: Prior, setting: float, rows: Int[Tensor, "b"]) -> Float[Tensor, "b q"]:
        """Return log P(y|x) of the judged rows numbered ``rows``."""
        table = torch.zeros(len(rows), self.classes, dtype=torch.float64)
        for counts in self._counts(name, setting, rows):
            table[counts.row, counts.label] = counts.weight
        return smoothed(table, self.frequency, pseudo_count=self.pseudo_count)

    def judge(self, name: Prior, setting: float, rows: Int[Tensor, "b"], label: Int[Tensor, "b"]) -> Judgement:
        """Return what `metrics.judge` finds in `log_p`, but for the confidence, without the table.

        A class is ranked by its count + a P(y). The rank among all a P(y) is looked up; then what each count changes is added.
        """
        some = self._counts(name, setting, rows)
        own = self.base[label]
        for counts in some:
            own = own + counts.of_class(label)
        total = torch.full_like(own, self.pseudo_count)
        higher = self.classes - torch.searchsorted(self._sorted_base, own, right=True)
        lead = (higher - torch.searchsorted(self._sorted_base, own)).double()  # classes above minus classes below
        for counts in some:
            without = self.base[counts.label] - counts.at(own)
            lead += counts.sum(torch.sign(self.base[counts.label] + counts.weight - counts.at(own)).sub_(without.sign_()))
            total += counts.sum(counts.weight)
        return Judgement(((self.classes + 1 + lead) / 2).float(), own.log() - total.log(), torch.zeros_like(own))

    def counts_under(
        self, name: Prior, setting: float, rows: Int[Tensor, "b"], label: Int[Tensor, "b"], p: Float[Tensor, "b q"]
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
        """Return the count of a class of each row, and the mean count under ``p``: all that a normalised product needs."""
        own, mean = torch.zeros(2, len(rows), dtype=torch.float64)
        for counts in self._counts(name, setting, rows):
            own += counts.of_class(label)
            mean += counts.sum(counts.pick(p).mul_(counts.weight))
        return own, mean

    def _counts(self, name: Prior, setting: float, rows: Int[Tensor, "b"]) -> Sequence[Entries | Sums]:
        """Return the weighted counts of each class at some judged rows, as far as they are not 0; none without a position."""
        if name == "kde":
            return self._kernel(setting, rows)
        if name == "histogram":
            if setting not in self._in_cells:
                lonlat, label = self.places.lonlat, self.places.label
                self._in_cells[setting] = in_cells(lonlat, label, degrees=setting, classes=self.classes)
            entries = histogram_entries(self._in_cells[setting], self.lonlat[rows], degrees=setting)
            there = self.located[rows][entries.row]
            return [Entries(entries.rows, *(column[there] for column in entries[1:]))]
        k = 0 if name == "frequency" else int(setting)
        return [knn_entries(self.neighbours.of(rows), k=k, classes=self.classes, by_distance=name == "distance_knn")]

    def _kernel(self, setting: float, rows: Int[Tensor, "b"]) -> list[Sums]:
        key = (setting, rows.numpy().tobytes())
        if key in self._kernel_sums:
            return self._kernel_sums[key]
        some = list(kde_sums(self._sorted, self.lonlat[rows], bandwidth_km=setting, pseudo_count=self.pseudo_count))
        for sums in some:
            sums.weight.mul_(self.located[rows[sums.row], None])
        kept = sum(sums.weight.nbytes for every in (*self._kernel_sums.values(), some) for sums in every)
        if kept <= KEPT:
            self._kernel_sums[key] = some
        return some


class Choice:
    """The setting of each prior with the least NLL of P(y|I) P(y|x), from some rows at a time.

    The NLL of a normalised product needs two numbers per row only, so that no table of P(y|I, x) is made per setting.
    """

    def __init__(
        self,
        priors: LocationPriors,
        settings: Mapping[Prior, Sequence[float]],
        *,
        label: Int[Tensor, "n"],
        chooser: Bool[Tensor, "n"],
    ) -> None:
        """Begin.

        Args:
            priors: those to choose for.
            settings: the settings to choose from.
            label: of every judged row.
            chooser: which judged rows choose, as far as they have a position.
        """
        self.priors, self.settings, self.label = priors, settings, label
        self.chooser = chooser & priors.located
        tried = [(name, one) for name, some in settings.items() if len(some) > 1 for one in some]
        self._nll = {one: torch.zeros(len(label), dtype=torch.float64) for one in tried}

    def add(self, rows: Int[Tensor, "b"], log_image: Float[Tensor, "b q"]) -> None:
        """Take log P(y|I) of the judged rows numbered ``rows``; zeros make it the NLL of P(y|x) alone."""
        choose = self.chooser[rows]
        if not self._nll or not choose.any():
            return
        if not choose.all():
            rows, log_image = rows[choose], log_image[choose]
        label, base = self.label[rows], self.priors.base
        own, p = log_image.gather(1, label[:, None])[:, 0], log_image.exp()
        background = p @ base
        for (name, setting), nll in self._nll.items():
            of_own, mean = self.priors.counts_under(name, setting, rows, label, p)
            nll[rows] = (mean + background).log() - (of_own + base[label]).log() - own

    def chosen(self) -> dict[Prior, float]:
        """Return each setting: the first where a prior has one setting, or no row chose."""
        out = {}
        for name, some in self.settings.items():
            several = len(some) > 1 and bool(self.chooser.any())
            means = [float(self._nll[name, one][self.chooser].mean()) for one in some] if several else [0.0]
            out[name] = some[int(np.argmin(means))]
        return out
