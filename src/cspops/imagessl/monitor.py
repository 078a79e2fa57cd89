"""A look at the features while they are trained that needs no label: do images that look alike lie near one another?"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from cspops.geo import haversine
from cspops.imagessl.images import Facts, UnlabelledImages, as_floats
from cspops.losses.objectives import unit
from cspops.models.backbones import ImageNetwork
from cspops.seeds import torch_stream
from cspops.shapes import Float, Int, Tensor

MONITOR = "knn_km"
"""The column of the curve."""

SAMPLE, BLOCK = 2000, 250


@dataclass(frozen=True)
class NeighbourDistance:
    """The median distance, in kilometres, between an image and its nearest neighbour in features, of a fixed sample.

    The usual kNN monitor asks whether neighbours have the same label; pre-training must not see one, so this asks where
    they are. Empty where fewer than two images have a position.
    """

    network: ImageNetwork
    images: UnlabelledImages
    rows: Int[Tensor, "m"]

    @classmethod
    def of(cls, network: ImageNetwork, images: UnlabelledImages, *, seed: int) -> "NeighbourDistance":
        """Of at most `SAMPLE` of the images with a position."""
        rows = images.located.nonzero()[:, 0]
        order = torch.randperm(len(rows), generator=torch_stream(seed, "monitor"))
        return cls(network, images, rows[order[:SAMPLE]].sort().values)

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """`MONITOR` of the network as it is; it is left in the mode it was in."""
        if len(self.rows) < 2:
            return {}
        training, device = self.network.training, next(self.network.parameters()).device
        self.network.eval()
        pixels = self.images.pixels
        answers = [
            self.network.features(as_floats(pixels[rows.to(pixels.device)].to(device))) for rows in self.rows.split(BLOCK)
        ]
        self.network.train(training)
        return {MONITOR: median_distance(torch.cat(answers).cpu(), self.images.lonlat[self.rows])}

    def facts(self, before: Mapping[str, float]) -> Facts:
        """What it said ``before`` pre-training and says now."""
        said = {f"{MONITOR}_before": before, f"{MONITOR}_after": self()}
        return {name: round(found[MONITOR], 1) for name, found in said.items() if found}


def median_distance(features: Float[Tensor, "m k"], lonlat: Float[Tensor, "m 2"]) -> float:
    """Median great-circle distance (km) between each row and the other row of greatest cosine."""
    x = unit(features.float() - features.float().mean(0))
    nearest = []
    for start in range(0, len(x), BLOCK):
        scores = x[start : start + BLOCK] @ x.T
        own = torch.arange(len(scores))
        scores[own, own + start] = -torch.inf
        nearest.append(scores.argmax(1))
    return float(haversine(lonlat.double(), lonlat[torch.cat(nearest)].double()).median())
