"""MoCo-v2 (Chen et al. 2020): an image network learns to recognise another view of an image among a queue of others."""

from collections.abc import Callable

import torch
from torch import nn

from cspops.imagessl.images import Features, Pretrained, UnlabelledImages
from cspops.imagessl.momentum import Queue, follow, in_groups, momentum_copy, queue_size, shuffled
from cspops.imagessl.monitor import train_watched
from cspops.losses import objectives
from cspops.losses.objectives import unit
from cspops.models.backbones import ImageNetwork
from cspops.params.image_networks import Moco
from cspops.pixels.views import Augmentation, Views
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Float, Tensor
from cspops.training.loop import Run, Training


class MomentumContrast(nn.Module):
    """The query network with its head, its momentum copy and the queue of the copy's outputs."""

    def __init__(self, network: ImageNetwork, settings: Moco, *, images: int, seed: int) -> None:
        super().__init__()
        self.settings = settings
        with global_torch_stream(seed, "moco head"):
            head = mlp_head(network.dim, settings.dim)
        self.query = nn.Sequential(Features(network), head)
        self.key = momentum_copy(self.query)
        size = queue_size(settings.queue, images)
        self.queue = Queue.random(size, settings.dim, generator=torch_stream(seed, "moco queue"))

    def contrast(
        self, queries: Float[Tensor, "n 3 h w"], keys: Callable[[], Float[Tensor, "n 3 h w"]], draws: torch.Generator
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "n d"]]:
        """Return the loss of a batch of two views, and the queries' projections before they are brought to length 1."""
        settings, device = self.settings, queries.device
        projected = in_groups(self.query, queries, settings.norm_groups)
        q = unit(projected)
        with torch.no_grad():
            follow(self.key, self.query, settings.momentum)
            shuffle = torch.randperm(len(q), generator=draws, device=device)
            k = unit(shuffled(self.key, keys(), settings.norm_groups, order=shuffle))
        loss = objectives.mc((q * k).sum(1), q @ self.queue.keys.clone().T, temperature=settings.temperature)
        self.queue.enqueue(k)  # after the scores, so that no key of this batch is a negative in it
        return loss, projected


def mlp_head(dim_in: int, dim_out: int) -> nn.Sequential:
    """Make the two layers of MoCo-v2 on top of the pooled features; they are dropped after pre-training."""
    return nn.Sequential(nn.Flatten(), nn.Linear(dim_in, dim_in), nn.ReLU(), nn.Linear(dim_in, dim_out))


def moco(network: ImageNetwork, images: UnlabelledImages, settings: Moco, run: Run) -> Pretrained:
    """Train ``network`` in place on unlabelled images; head, momentum network and queue are dropped afterwards.

    While a high temperature levels all scores, the loss is ln(1 + queue). It may rise in the first epoch, as the random
    queue fills with keys of real images.

    Raises:
        DataError: fewer than two images.
    """
    images.require(2, "MoCo contrasts images with one another")
    network = network.to(run.device)
    contrast = MomentumContrast(network, settings, images=len(images), seed=run.seed).to(run.device).train()
    view = Views(images.pixels, run.device, Augmentation.of(settings))

    def step(rows: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        loss, _ = contrast.contrast(view(rows, draws), lambda: view(rows, draws), draws)
        return {"total": loss}

    training = Training("moco", {"contrast": contrast}, sgd(contrast.query, settings), step)
    return train_watched(network, images, training, settings, run, {})


def sgd(module: nn.Module, settings: Moco) -> torch.optim.SGD:
    """Make MoCo's optimiser: SGD with momentum 0.9."""
    return torch.optim.SGD(
        list(module.parameters()),
        lr=settings.learning_rate,
        momentum=0.9,
        weight_decay=settings.weight_decay,
        fused=True,
    )
