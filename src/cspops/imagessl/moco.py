"""MoCo-v2 (Chen et al. 2020): an image network learns to recognise another view of an image among a queue of others."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from cspops.imagessl.images import Features, Pretrained, UnlabelledImages
from cspops.imagessl.momentum import Queue, follow, in_groups, momentum_copy, own_groups, queue_size, shuffled
from cspops.imagessl.monitor import train_watched
from cspops.losses import objectives
from cspops.losses.objectives import unit
from cspops.models.backbones import ImageNetwork
from cspops.params.image_networks import Moco
from cspops.pixels.views import Augmentation, Views
from cspops.ranks import ALONE, Processes
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Float, Tensor
from cspops.training.loop import Run, Training


class MomentumContrast(nn.Module):
    """The query network with its head, its momentum copy and the queue of the copy's outputs."""

    def __init__(self, network: ImageNetwork, settings: Moco, *, images: int, seed: int, processes: Processes = ALONE) -> None:
        super().__init__()
        self.settings, self.processes = settings, replace(processes, parts=settings.norm_groups)
        with global_torch_stream(seed, "moco head"):
            head = mlp_head(network.dim, settings.dim)
        self.query = nn.Sequential(Features(network), head)
        self.key = momentum_copy(self.query)
        size = queue_size(settings.queue, images)
        self.queue = Queue.random(size, settings.dim, generator=torch_stream(seed, "moco queue"))

    def contrast(
        self,
        queries: Float[Tensor, "b 3 h w"],
        keys: Callable[[], Float[Tensor, "b 3 h w"]],
        draws: torch.Generator,
        n: int | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "b d"]]:
        """Return the loss of a batch of two views, and the queries' projections before they are brought to length 1.

        The keys of all processes are shuffled, and enter the queue.

        Args:
            n: rows of the batch of which this process has a share; None: as many as given.
        """
        settings, processes, n = self.settings, self.processes, len(queries) if n is None else n
        projected = in_groups(self.query, queries, own_groups(processes, n, settings.norm_groups))
        q = unit(projected)
        with torch.no_grad():
            follow(self.key, self.query, settings.momentum)
            shuffle = torch.randperm(n, generator=draws, device=queries.device)
            k = unit(shuffled(self.key, keys(), settings.norm_groups, order=shuffle, processes=processes))
        own = k[processes.share(n)]
        loss = objectives.mc((q * own).sum(1), q @ self.queue.keys.clone().T, temperature=settings.temperature)
        self.queue.enqueue(k)  # after the scores, so that no key of this batch is a negative in it
        return loss, projected


def mlp_head(dim_in: int, dim_out: int) -> nn.Sequential:
    """Make the two layers of MoCo-v2 on top of the pooled features; they are dropped after pre-training."""
    return nn.Sequential(nn.Flatten(), nn.Linear(dim_in, dim_in), nn.ReLU(), nn.Linear(dim_in, dim_out))


def moco(network: ImageNetwork, images: UnlabelledImages, settings: Moco, run: Run) -> Pretrained:
    """Train ``network`` in place on unlabelled images; head, momentum network and queue are dropped afterwards.

    While a high temperature levels all scores, the loss is ln(1 + queue). It may rise in the first epoch, as the random
    queue fills with keys of real images.

    Several processes have one queue, and share the `norm_groups`: they change no weight where these are a multiple of their
    number, and else each process's rows are a group. The running statistics of batch norm are the first process's.

    Raises:
        DataError: fewer than two images.
    """
    images.require(2, "MoCo contrasts images with one another")
    network = network.to(run.device)
    contrast = (
        MomentumContrast(network, settings, images=len(images), seed=run.seed, processes=run.processes).to(run.device).train()
    )
    view = Views(images.pixels, run.device, Augmentation.of(settings))

    def step(rows: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        n = len(rows)
        mine = contrast.processes.share(n)
        loss, _ = contrast.contrast(view(rows, draws, mine), lambda: view(rows, draws, mine), draws, n)
        return contrast.processes.weighted({"total": loss}, n)

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
