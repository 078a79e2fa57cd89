"""Where on Earth a location encoder's embeddings are alike: hierarchical clusters over a grid (paper, Figures 4 and 5)."""

import math

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import AgglomerativeClustering
from torch.nn.functional import normalize

from cspops.errors import DataError
from cspops.models.location_encoder import LocationEncoder
from cspops.shapes import Float, Int, LonLat, Tensor

MAX_LINKED = 6000
"""The most points that are linked to a tree: its memory and time grow with their square."""


def area_fair_grid(degrees: float) -> Float[Tensor, "n 2"]:
    """Positions on the globe, each standing for about ``degrees`` x ``degrees`` of the equator, south to north.

    Rows lie ``degrees`` apart, or a little less so that they fill the meridian; the number of points on a row is
    proportional to the cosine of its latitude.
    """
    rows = math.ceil(180 / degrees)
    parts = []
    for row in range(rows):
        lat = -90 + 180 * (row + 0.5) / rows
        count = max(1, round(360 * math.cos(math.radians(lat)) / degrees))
        lon = -180 + 360 * (torch.arange(count, dtype=torch.float64) + 0.5) / count
        parts.append(torch.stack((lon, torch.full_like(lon, lat)), 1))
    return torch.cat(parts)


@torch.inference_mode()
def directions(encoder: LocationEncoder, lonlat: LonLat, *, rows: int = 8192) -> Float[np.ndarray, "n d"]:
    """Embeddings of length 1, so that distance means cosine distance; ``rows`` positions at a time, without dropout.

    DataError when a number is not finite.
    """
    found = torch.cat([normalize(encoder.eval()(some).float(), dim=-1) for some in lonlat.split(rows)])
    if not found.isfinite().all():
        raise DataError("the location encoder's embeddings are not finite", hint="lower its learning rates in params.yaml")
    return found.numpy()


def hierarchical_clusters(embeddings: Float[np.ndarray, "n d"], clusters: int) -> Int[np.ndarray, "n"]:
    """A cluster from 0 to ``clusters`` - 1 for each row, by Ward's linkage; fewer clusters where there are fewer rows.

    Of more than ``MAX_LINKED`` rows every second, third ... is linked; each other one joins its nearest linked row.
    (Not the nearest centroid: Ward's clusters are no cells around their centroids, and the borders would fray.)
    """
    linked = embeddings[:: max(1, math.ceil(len(embeddings) / MAX_LINKED))]
    if len(linked) <= clusters:
        found = np.arange(len(linked))
    else:
        found = AgglomerativeClustering(clusters, linkage="ward").fit_predict(linked)
    if len(linked) == len(embeddings):
        return found
    half_square = (linked**2).sum(1) / 2
    nearest = [
        (half_square - some @ linked.T).argmin(1) for some in np.array_split(embeddings, math.ceil(len(embeddings) / 2048))
    ]
    labels: np.ndarray = found[np.concatenate(nearest)]
    return labels


def ordered_by(labels: Int[np.ndarray, "n"], value: Float[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """The same clusters, numbered by the mean ``value`` of their rows, least first."""
    names, rows = np.unique(labels, return_inverse=True)
    means = np.bincount(rows, value) / np.bincount(rows)
    rank = np.empty(len(names), dtype=int)
    rank[means.argsort(kind="stable")] = np.arange(len(names))
    return rank[rows]


def matched(labels: Int[np.ndarray, "n"], reference: Int[np.ndarray, "n"]) -> tuple[Int[np.ndarray, "n"], float]:
    """The same clusters, numbered so that most rows have the number they have in ``reference`` (Hungarian algorithm).

    Returns:
        the new numbers, and the share of the rows that have the reference's.
    """
    size = int(max(labels.max(), reference.max())) + 1
    overlap = np.zeros((size, size), dtype=int)
    np.add.at(overlap, (labels, reference), 1)
    _, number = linear_sum_assignment(overlap, maximize=True)
    renamed = number[labels]
    return renamed, float((renamed == reference).mean())
