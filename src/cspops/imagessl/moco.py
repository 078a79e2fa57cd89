"""MoCo-v2 (Chen et al. 2020): an image network learns to tell its own image from a queue of others."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from cspops.imagessl.images import Features, Pretrained, UnlabelledImages, Views
from cspops.imagessl.momentum import Queue, follow, in_groups, momentum_copy, queue_size, shuffled
from cspops.imagessl.watched import train_watched
from cspops.losses import objectives
from cspops.losses.objectives import unit
from cspops.models.backbones import ImageNetwork
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Float, Tensor
from cspops.training.resume import Resume


@dataclass(frozen=True)
class MocoSettings:
    """Hyper-parameters; see params.yaml."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    momentum: float
    temperature: float
    queue: int
    dim: int
    norm_groups: int
    min_scale: float
    colour_jitter: float
    grey: float
    blur: float
    turns: bool


class MomentumContrast(nn.Module):
    """The query network with its head, its momentum copy and the queue of the copy's answers."""

    def __init__(self, network: ImageNetwork, settings: MocoSettings, *, images: int, seed: int) -> None:
        super().__init__()
        self.settings = settings
        with global_torch_stream(seed, "moco head"):
            head = mlp_head(network.dim, settings.dim)
        self.query = nn.Sequential(Features(network), head)
        self.key = momentum_copy(self.query)
        size = queue_size(settings.queue, images)
        self.queue = Queue(size, settings.dim, generator=torch_stream(seed, "moco queue"))

    def contrast(
        self, queries: Float[Tensor, "n 3 h w"], keys: Callable[[], Float[Tensor, "n 3 h w"]], draws: torch.Generator
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "n d"]]:
        """The loss of a batch of two views, and the queries' projections before they are brought to length 1."""
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
    """The two layers of MoCo-v2 on top of the pooled features; dropped after pre-training."""
    return nn.Sequential(nn.Flatten(), nn.Linear(dim_in, dim_in), nn.ReLU(), nn.Linear(dim_in, dim_out))


def moco(
    network: ImageNetwork,
    images: UnlabelledImages,
    settings: MocoSettings,
    *,
    seed: int,
    device: torch.device,
    resume: Resume | None = None,
) -> Pretrained:
    """Train ``network`` in place on unlabelled images; head, momentum network and queue are dropped afterwards.

    While a high temperature levels all scores, the loss is ln(1 + queue). It may rise in the first epoch, as the random
    queue fills with keys of real images.

    DataError for fewer than two images.
    """
    images.require(2, "MoCo tells images from one another")
    network = network.to(device)
    contrast = MomentumContrast(network, settings, images=len(images), seed=seed).to(device).train()
    view = views_of(images, settings, device)

    def step(rows: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        loss, _ = contrast.contrast(view(rows, draws), lambda: view(rows, draws), draws)
        return {"total": loss}

    return train_watched(
        "moco",
        network,
        images,
        step,
        modules={"contrast": contrast},
        optimizer=sgd(contrast.query, settings),
        settings=settings,
        seed=seed,
        device=device,
        resume=resume,
    )


def views_of(images: UnlabelledImages, settings: MocoSettings, device: torch.device) -> Views:
    """The views that settings ask for."""
    return Views(
        images.pixels,
        device,
        min_scale=settings.min_scale,
        colour_jitter=settings.colour_jitter,
        grey=settings.grey,
        blur=settings.blur,
        turns=settings.turns,
    )


def sgd(module: nn.Module, settings: MocoSettings) -> torch.optim.SGD:
    """MoCo's optimiser: SGD with momentum 0.9."""
    return torch.optim.SGD(
        list(module.parameters()),
        lr=settings.learning_rate,
        momentum=0.9,
        weight_decay=settings.weight_decay,
        fused=True,
    )
