"""Monitor pre-training without labels: are images whose features are alike near one another on the ground?"""

from dataclasses import dataclass, replace

import torch

from cspops.geo import haversine
from cspops.imagessl.images import Facts, Pretrained, UnlabelledImages
from cspops.losses.objectives import unit
from cspops.models.backbones import ImageNetwork
from cspops.params.image_networks import Geokr, Moco, Tile2Vec
from cspops.pixels.views import as_floats
from cspops.seeds import torch_stream
from cspops.shapes import Float, Int, Tensor
from cspops.training.loop import Run, Schedule, Training, run_epochs

MONITOR = "knn_km"
"""The column of the curve."""

SAMPLE, BLOCK = 2000, 250


@dataclass(frozen=True)
class NeighbourDistance:
    """The median distance in kilometres from an image of a fixed sample to its nearest neighbour in features.

    The usual kNN monitor checks whether neighbours share a label. Pre-training must not see labels, so this one checks
    where they are. Empty where fewer than two images have a position.
    """

    network: ImageNetwork
    images: UnlabelledImages
    rows: Int[Tensor, "m"]

    @classmethod
    def of(cls, network: ImageNetwork, images: UnlabelledImages, *, seed: int) -> "NeighbourDistance":
        """Sample at most `SAMPLE` of the images with a position."""
        rows = images.located.nonzero()[:, 0]
        order = torch.randperm(len(rows), generator=torch_stream(seed, "monitor"))
        return cls(network, images, rows[order[:SAMPLE]].sort().values)

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """Return `MONITOR` of the network as it is; the network keeps its mode."""
        if len(self.rows) < 2:
            return {}
        training, device = self.network.training, next(self.network.parameters()).device
        self.network.eval()
        pixels = self.images.pixels
        features = [
            self.network.features(as_floats(pixels[rows.to(pixels.device)].to(device))) for rows in self.rows.split(BLOCK)
        ]
        self.network.train(training)
        return {MONITOR: median_distance(torch.cat(features).cpu(), self.images.lonlat[self.rows])}


def median_distance(features: Float[Tensor, "m k"], lonlat: Float[Tensor, "m 2"]) -> float:
    """Return the median great-circle distance (km) between each row and the other row of greatest cosine."""
    x = unit(features.float() - features.float().mean(0))
    nearest = []
    for start in range(0, len(x), BLOCK):
        scores = x[start : start + BLOCK] @ x.T
        own = torch.arange(len(scores))
        scores[own, own + start] = -torch.inf
        nearest.append(scores.argmax(1))
    return float(haversine(lonlat.double(), lonlat[torch.cat(nearest)].double()).median())


def train_watched(
    network: ImageNetwork,
    images: UnlabelledImages,
    training: Training,
    settings: Moco | Tile2Vec | Geokr,
    run: Run,
    facts: Facts,
    *,
    rows: int | None = None,
) -> Pretrained:
    """Run the epochs of a method, with the monitor as a column of the curve and, before and after, among the ``facts``.

    Args:
        network: what is monitored, on the device of the run; in eval mode afterwards.
        images: what the monitor samples.
        training: its loss is of row numbers below ``rows``.
        settings: epochs, batch size and learning rate.
        facts: about the run.
        rows: rows per epoch; None for one per image.
    """
    monitor = NeighbourDistance.of(network, images, seed=run.seed) if run.processes.first else dict
    before = monitor()
    schedule = Schedule(len(images) if rows is None else rows, settings.epochs, settings.batch_size, settings.learning_rate)
    curve = run_epochs(replace(training, after_epoch=monitor), schedule, run)
    network.eval()
    distances = {f"{MONITOR}_before": before, f"{MONITOR}_after": monitor()}
    return Pretrained(curve, facts | {name: round(row[MONITOR], 1) for name, row in distances.items() if row})
