"""MoCo-v2 (Chen et al. 2020): an image network learns to tell its own tile from a queue of others."""

import copy
from dataclasses import dataclass

import torch
from torch import nn

from cspops.data.batches import epoch_of_rows
from cspops.errors import DataError
from cspops.imagessl.views import random_views
from cspops.losses import objectives
from cspops.losses.pairs import unit
from cspops.models.backbones import ImageNetwork
from cspops.progress import Report, silent
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Float, Tensor, UInt8
from cspops.training.loop import Curve, run_epochs
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
    min_scale: float
    colour_jitter: float
    grey: float


class Keys(nn.Module):
    """The momentum network and the queue of its answers."""

    def __init__(self, network: nn.Module, *, queue: int, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.register_buffer("queue", unit(torch.randn(queue, dim, generator=generator)))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))
        self.queue: Tensor
        self.oldest: Tensor

    @torch.no_grad()
    def follow(self, network: nn.Module, momentum: float) -> None:
        """theta_k <- momentum theta_k + (1 - momentum) theta_q; batch-norm buffers follow their own data."""
        for mine, its in zip(self.network.parameters(), network.parameters(), strict=True):
            mine.lerp_(its, 1 - momentum)

    @torch.no_grad()
    def enqueue(self, keys: Float[Tensor, "n d"]) -> None:
        """Replace the oldest keys, around the end of the queue."""
        size = len(self.queue)
        newest = keys[-size:]
        first = self.oldest + len(keys) - len(newest)
        self.queue[(first + torch.arange(len(newest), device=keys.device)) % size] = newest
        self.oldest.copy_((self.oldest + len(keys)) % size)


def in_groups(network: nn.Module, x: Tensor, groups: int = 4) -> Tensor:
    """Run a network on parts of a batch, each with its own batch-norm statistics.

    With one batch for queries and keys, statistics would tell which key is whose; MoCo shuffles over devices
    against it, here queries go in order and keys in a random one.
    """
    return torch.cat([network(part) for part in x.tensor_split(max(1, min(groups, len(x) // 2)))])


def moco(
    network: ImageNetwork,
    pixels: UInt8[Tensor, "n h w 3"],
    settings: MocoSettings,
    *,
    seed: int,
    device: torch.device,
    resume: Resume | None = None,
    report: Report = silent,
) -> Curve:
    """Train ``network`` in place on unlabelled tiles; head, momentum network and queue are dropped afterwards.

    Tiles stay where they are, on a device or in a memory-mapped file; ``device`` gets a batch at a time.

    While a high temperature levels all scores, the loss is ln(1 + queue). It may rise in the first epoch, as the random
    queue fills with keys of real tiles.

    DataError for fewer than two tiles.
    """
    if len(pixels) < 2:
        raise DataError(
            f"{len(pixels)} training image is too few: MoCo tells images from one another",
            hint="pretrain_img.method: none in params.yaml, or more images",
        )
    network = network.to(device)
    with global_torch_stream(seed, "moco head"):
        head = nn.Sequential(
            nn.Flatten(), nn.Linear(network.dim, network.dim), nn.ReLU(), nn.Linear(network.dim, settings.dim)
        ).to(device)
    query = nn.Sequential(Features(network), head)
    queue = min(settings.queue, len(pixels) // 2)
    keys = Keys(query, queue=queue, dim=settings.dim, generator=torch_stream(seed, "moco queue")).to(device).train()

    def view(rows: Tensor, draws: torch.Generator) -> Tensor:
        batch = pixels[rows.to(pixels.device)].to(device)
        return random_views(
            batch.permute(0, 3, 1, 2).contiguous().float() / 255,
            min_scale=settings.min_scale,
            colour_jitter=settings.colour_jitter,
            grey=settings.grey,
            generator=draws,
        )

    def step(rows: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        q = unit(in_groups(query, view(rows, draws)))
        with torch.no_grad():
            keys.follow(query, settings.momentum)
            shuffle = torch.randperm(len(rows), generator=draws, device=device)
            k = torch.empty_like(q)
            k[shuffle] = unit(in_groups(keys.network, view(rows, draws)[shuffle]))
        total = objectives.mc((q * k).sum(1), q @ keys.queue.clone().T, temperature=settings.temperature)
        keys.enqueue(k)  # after the scores, so that no key of this batch is a negative in it
        return {"total": total}

    parameters = list(query.parameters())
    optimizer = torch.optim.SGD(
        parameters, lr=settings.learning_rate, momentum=0.9, weight_decay=settings.weight_decay, fused=True
    )
    curve = run_epochs(
        name="moco",
        modules={"query": query, "keys": keys},
        optimizer=optimizer,
        learning_rate=settings.learning_rate,
        epochs=settings.epochs,
        batches=lambda stream: epoch_of_rows(len(pixels), settings.batch_size, generator=stream),
        batches_per_epoch=-(-len(pixels) // settings.batch_size),
        loss=step,
        seed=seed,
        device=device,
        resume=resume,
        report=report,
    )
    network.eval()
    return curve


class Features(nn.Module):
    """An image network called on floats, channels first."""

    def __init__(self, network: ImageNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k"]:
        return self.network.features(pixels)
