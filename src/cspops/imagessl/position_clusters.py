"""The auxiliary task of Geo-SSL: from which cluster of positions is an image?"""

from typing import Literal

import torch
from sklearn.cluster import KMeans
from torch import nn
from torch.nn.functional import cross_entropy

from cspops.errors import DataError
from cspops.geo import unit_vectors
from cspops.seeds import derive, global_torch_stream
from cspops.shapes import Float, Int, Tensor

Space = Literal["sphere", "degrees"]

DECIMALS = 6
"""Decimals of points and centres: 6 m on the sphere. Rounding hides the order in which threads add up."""


class PositionClusters(nn.Module):
    """Centres of k-means, and a head that predicts an image's cluster from its projection: ReLU and a linear layer."""

    def __init__(self, dim: int, centres: Float[Tensor, "q p"], *, seed: int) -> None:
        super().__init__()
        self.register_buffer("centres", centres.float())
        self.centres: Tensor
        with global_torch_stream(seed, "geo head"):
            self.head = nn.Sequential(nn.ReLU(), nn.Linear(dim, len(centres)))

    def nearest(self, points: Float[Tensor, "n p"]) -> Int[Tensor, "n"]:
        """Return the centre nearest to each point; -1 for a row without position (nan)."""
        centre = (points[:, None] - self.centres).square().sum(-1).argmin(1)
        return centre.where(~points.isnan().any(1), -1)

    @staticmethod
    def located(points: Float[Tensor, "n p"]) -> Float[Tensor, ""]:
        """Return the number of rows with a position, or 1."""
        return (~points.isnan().any(1)).sum().clamp(min=1).float()

    def forward(
        self, projected: Float[Tensor, "n d"], points: Float[Tensor, "n p"], located: Float[Tensor, ""] | None = None
    ) -> Float[Tensor, ""]:
        """Return the mean cross-entropy of the clusters over the rows with a position; 0 where no row has one.

        Args:
            located: what to divide by, where the rows are not all of a batch.
        """
        total = cross_entropy(self.head(projected), self.nearest(points), ignore_index=-1, reduction="sum")
        return total / (self.located(points) if located is None else located)


def points_of(lonlat: Float[Tensor, "n 2"], space: Space) -> Float[Tensor, "n p"]:
    """Return positions for k-means: on the unit sphere, or in degrees as the authors have them, torn apart at 180 degrees."""
    return (unit_vectors(lonlat) if space == "sphere" else lonlat).double().round(decimals=DECIMALS)


def fit_centres(points: Float[Tensor, "n p"], clusters: int, *, seed: int) -> Float[Tensor, "q p"]:
    """Fit the centres of k-means, fewer where there are fewer distinct points.

    Raises:
        DataError: there are fewer than two.
    """
    known = points[~points.isnan().any(1)]
    distinct = len(known.unique(dim=0))
    if distinct < 2:
        raise DataError(
            f"geo_ssl: the training images have {distinct} distinct position{'s' if distinct != 1 else ''}, "
            "and clusters of positions need two",
            hint="set pretrain_img.methods.geo_ssl.geo: false in params.yaml",
        )
    means = KMeans(min(clusters, distinct), n_init=1, random_state=derive(seed, "geo clusters") % 2**32).fit(known.numpy())
    return torch.from_numpy(means.cluster_centers_).round(decimals=DECIMALS)
