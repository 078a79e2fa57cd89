"""The counts of labelled rows behind the priors without learning, as far as they are not 0."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array

from cspops.evaluation.pool import Neighbours, Places
from cspops.geo import EARTH_RADIUS_KM, blocks, unit_vectors
from cspops.shapes import Float, Int, Tensor

TOGETHER = 32
"""Positions whose kernels are summed together, from the labelled rows within reach of any; best where they are close."""

NEGLIGIBLE = 1e-12
"""Labelled rows may be left out of a kernel's sums where a P(y|x) changes by no more than this share of itself."""


class Entries(NamedTuple):
    """Counts of n judged rows that are not 0, each class once: entry i is that of a class of a row."""

    rows: int
    row: Int[Tensor, "e"]
    label: Int[Tensor, "e"]
    weight: Float[Tensor, "e"]

    def at(self, numbers: Tensor) -> Float[Tensor, "e"]:
        """Return each row's number, per count."""
        return numbers[self.row]

    def pick(self, table: Float[Tensor, "n q"]) -> Float[Tensor, "e"]:
        """Return the table's numbers of these rows and classes, per count."""
        return table[self.row, self.label]

    def sum(self, values: Float[Tensor, "e"]) -> Float[Tensor, "n"]:
        """Return the sum of each row's values, which are given per count."""
        return torch.zeros(self.rows, dtype=torch.float64).index_add_(0, self.row, values)

    def of_class(self, label: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Return the count of one class in each row; 0 where it is not listed."""
        return self.sum(self.weight * (self.label == label[self.row]))


class Sums(NamedTuple):
    """Counts of a few of n judged rows, that of every class in a list; the same methods as `Entries`."""

    rows: int
    row: slice
    label: Int[Tensor, "c"]
    """In order."""
    weight: Float[Tensor, "b c"]

    def at(self, numbers: Tensor) -> Float[Tensor, "b 1"]:
        return numbers[self.row, None]

    def pick(self, table: Float[Tensor, "n q"]) -> Float[Tensor, "b c"]:
        return table[self.row].index_select(1, self.label)

    def sum(self, values: Float[Tensor, "b c"]) -> Float[Tensor, "n"]:
        return self._in_place(values.sum(1))

    def of_class(self, label: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        wanted = label[self.row]
        at = torch.searchsorted(self.label, wanted).clamp_(max=len(self.label) - 1)
        return self._in_place(self.weight.gather(1, at[:, None])[:, 0].where(self.label[at] == wanted, 0))

    def _in_place(self, numbers: Float[Tensor, "b"]) -> Float[Tensor, "n"]:
        out = torch.zeros(self.rows, dtype=torch.float64)
        out[self.row] = numbers
        return out


def in_cells(known: Float[Tensor, "m 2"], label: Int[Tensor, "m"], *, degrees: float, classes: int) -> Any:
    """Count the labelled rows of each class in each ``degrees`` x ``degrees`` cell: a scipy csr array (cells, q)."""
    cell = blocks(known, degrees).numpy()
    shape = (math.ceil(360 / degrees) * math.ceil(180 / degrees), classes)
    return coo_array((np.ones(len(cell)), (cell, label.numpy())), shape=shape).tocsr()


def histogram_entries(table: Any, lonlat: Float[Tensor, "n 2"], *, degrees: float) -> Entries:
    """Count the labelled rows of each class in the same cell; ``table`` is that of `in_cells`."""
    return _entries(table[blocks(lonlat, degrees).numpy()])


def knn_entries(neighbours: Neighbours, *, k: int, classes: int, by_distance: bool = False) -> Entries:
    """Count the ``k`` nearest rows of each class, or add up their weights by distance; none where they are at km inf."""
    km, label = neighbours.km[:, :k], neighbours.label[:, :k]
    weight = ((km[:, :1] + 1) / (km + 1)).nan_to_num_(0) if by_distance else km.isfinite().double()
    row = torch.arange(len(km))[:, None].expand_as(label)
    table = coo_array((weight.flatten(), (row.flatten(), label.flatten())), shape=(len(km), classes)).tocsr()
    return _entries(table)


def _entries(table: Any) -> Entries:
    """Return those of a csr array, whose classes come once a row."""
    row = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    return Entries(table.shape[0], torch.from_numpy(row), torch.from_numpy(table.indices).long(), torch.from_numpy(table.data))


@dataclass(frozen=True)
class Sorted:
    """Labelled rows in the order of their classes."""

    vectors: Float[Tensor, "m 3"]
    label: Int[Tensor, "m"]

    @classmethod
    def of(cls, places: Places) -> "Sorted":
        """Sort by class."""
        order = places.label.argsort(stable=True)
        return cls(unit_vectors(places.lonlat[order].double()), places.label[order])

    def within(self, chord: float, positions: Float[Tensor, "b 3"]) -> "Sorted":
        """Return all rows within a chord's length of any of the positions, and perhaps some more."""
        centre = positions.mean(0)
        reach = chord + float((positions - centre).norm(dim=1).max())
        near = np.flatnonzero((self.vectors @ centre).numpy() >= (1 + float(centre @ centre) - reach**2) / 2 - 1e-12)
        return self if len(near) == len(self.label) else Sorted(self.vectors[near], self.label[near])


def kde_sums(known: Sorted, lonlat: Float[Tensor, "n 2"], *, bandwidth_km: float, pseudo_count: float) -> Iterator[Sums]:
    """Yield the kernels summed by class, some positions at a time.

    The cost is that of the rows within reach, whatever the number of classes. m rows beyond it, of a kernel below exp(-t) each,
    add at most m exp(-t) to a class's count + a P(y), and in all it is at least the share a / m of theirs.
    """
    concentration = (EARTH_RADIUS_KM / bandwidth_km) ** 2
    least = math.log(NEGLIGIBLE * pseudo_count / max(1, len(known.label)))
    reach = math.sqrt(max(0.0, -2 * least) / concentration)
    vectors = unit_vectors(lonlat.double())
    for first in range(0, len(vectors), TOGETHER):
        together = vectors[first : first + TOGETHER]
        near = known.within(reach, together)
        m = len(near.label)
        if m == 0:
            continue
        present, sizes = near.label.unique_consecutive(return_counts=True)
        ends = np.concatenate(([0], sizes.cumsum(0).numpy()))
        of_class = csr_array((np.ones(m), np.arange(m), ends), shape=(len(present), m))
        kernel = (near.vectors @ (concentration * together).T).sub_(concentration).exp_()
        sums = np.ascontiguousarray((of_class @ kernel.numpy()).T)
        yield Sums(len(vectors), slice(first, first + len(together)), present, torch.from_numpy(sums))
