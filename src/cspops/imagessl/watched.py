"""Training that is watched by the monitor, as every method is."""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from cspops.data.batches import epoch_of_rows
from cspops.imagessl.images import Facts, Pretrained, UnlabelledImages
from cspops.imagessl.monitor import NeighbourDistance
from cspops.models.backbones import ImageNetwork
from cspops.shapes import Tensor
from cspops.training.loop import run_epochs
from cspops.training.resume import Resume


@runtime_checkable
class Schedule(Protocol):
    """The settings that every method has."""

    @property
    def epochs(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def learning_rate(self) -> float: ...


def train_watched(
    name: str,
    network: ImageNetwork,
    images: UnlabelledImages,
    step: Callable[[Tensor, torch.Generator], Mapping[str, Tensor]],
    *,
    rows: int | None = None,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    settings: Schedule,
    after_step: Callable[[], None] = lambda: None,
    facts: Facts | None = None,
    seed: int,
    device: torch.device,
    resume: Resume | None,
) -> Pretrained:
    """`loop.run_epochs` over row numbers, the monitor's answer a column of the curve and among the ``facts``.

    Args:
        network: what is watched, on ``device``; in eval mode afterwards.
        step: the loss of a batch of row numbers below ``rows``, and of the stream "draws".
        rows: how many there are; None: the images.
    """
    n = len(images) if rows is None else rows
    monitor = NeighbourDistance.of(network, images, seed=seed)
    before = monitor()
    curve = run_epochs(
        name=name,
        modules=modules,
        optimizer=optimizer,
        learning_rate=settings.learning_rate,
        epochs=settings.epochs,
        batches=lambda stream: epoch_of_rows(n, settings.batch_size, generator=stream),
        batches_per_epoch=-(-n // settings.batch_size),
        loss=step,
        after_step=after_step,
        after_epoch=monitor,
        seed=seed,
        device=device,
        resume=resume,
    )
    network.eval()
    return Pretrained(curve, (facts or {}) | monitor.facts(before))
