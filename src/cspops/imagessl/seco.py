"""Seasonal contrast (Manas et al. 2021): three embeddings, of which one ignores season and augmentation, one only the
season and one only the augmentation."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from cspops.errors import DataError
from cspops.imagessl.images import Facts, Features, Pretrained, UnlabelledImages
from cspops.imagessl.moco import mlp_head, sgd
from cspops.imagessl.momentum import Queue, follow, in_groups, momentum_copy, own_groups, queue_size, shuffled
from cspops.imagessl.monitor import train_watched
from cspops.imagessl.places import Places
from cspops.losses import objectives
from cspops.losses.objectives import unit
from cspops.models.backbones import ImageNetwork
from cspops.params.image_networks import Seco
from cspops.pixels.views import AS_IT_IS, Augmentation, Views
from cspops.ranks import ALONE, Processes
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Float, Tensor
from cspops.training.loop import Run, Training

SPACES = 3
"""0: whatever the season and the augmentation; 1: whatever the season; 2: whatever the augmentation."""


class SeasonalContrast(nn.Module):
    """The network with a head for each space, their momentum copies and a queue for each space."""

    def __init__(self, network: ImageNetwork, settings: Seco, *, places: int, seed: int, processes: Processes = ALONE) -> None:
        super().__init__()
        self.settings, self.processes = settings, replace(processes, parts=settings.norm_groups)
        with global_torch_stream(seed, "seco heads"):
            heads = nn.ModuleList(mlp_head(network.dim, settings.dim) for _ in range(SPACES))
        self.query = nn.ModuleList([Features(network), *heads])
        self.key = nn.ModuleList(momentum_copy(module) for module in self.query)
        size = queue_size(settings.queue, places)
        self.queues = nn.ModuleList(
            Queue.random(size, settings.dim, generator=torch_stream(seed, "seco queue", space)) for space in range(SPACES)
        )

    def contrast(
        self,
        queries: Float[Tensor, "b 3 h w"],
        keys: Sequence[Float[Tensor, "b 3 h w"]],
        draws: torch.Generator,
        n: int | None = None,
    ) -> list[Float[Tensor, ""]]:
        """Return the loss of each space, and put the keys of view i into the queue of space i.

        Args:
            queries: views of this process's share of a batch of ``n`` places; None: of these.
            keys: the three views of the same places: other season and augmented; other season; augmented.
            draws: shuffles the keys.
        """
        groups, processes, n = self.settings.norm_groups, self.processes, len(queries) if n is None else n
        (network, *heads), (key_network, *key_heads) = self.query, self.key
        features = in_groups(network, queries, own_groups(processes, n, groups))
        with torch.no_grad():
            follow(self.key, self.query, self.settings.momentum)
            orders = [torch.randperm(n, generator=draws, device=queries.device) for _ in keys]
            key_features = [
                shuffled(key_network, x, groups, order=o, processes=processes) for x, o in zip(keys, orders, strict=True)
            ]
        losses = []
        for space, queue in enumerate(self.queues):
            assert isinstance(queue, Queue)
            q = unit(heads[space](features))
            with torch.no_grad():
                k = torch.stack([unit(key_heads[space](features_of_view)) for features_of_view in key_features])
            first, temperature = processes.share(n).start, self.settings.temperature
            losses.append(space_loss(space, q, k, queue.keys.clone(), temperature=temperature, first=first))
            queue.enqueue(k[space])  # after the scores, so that no key of this batch is a negative in it
        return losses


def space_loss(
    space: int,
    q: Float[Tensor, "b d"],
    keys: Float[Tensor, "3 n d"],
    queue: Float[Tensor, "m d"],
    *,
    temperature: float,
    first: int = 0,
) -> Float[Tensor, ""]:
    """Return InfoNCE of unit vectors in a space, where the key of view ``space`` is the positive.

    Negatives are the queue and, in the spaces 1 and 2, the keys of the two other views of every row, its own included:
    in separating those, space 1 keeps the augmentation and space 2 the season.

    Args:
        q: rows of a batch, or of one process's share of it.
        keys: those of the batch.
        first: the number of the first of the rows in the batch.
    """
    others = [keys[view] for view in range(SPACES) if view != space] if space else []
    return objectives.mc(
        (q * keys[space, first : first + len(q)]).sum(1), q @ torch.cat([queue, *others]).T, temperature=temperature
    )


def seco(network: ImageNetwork, images: UnlabelledImages, settings: Seco, run: Run) -> Pretrained:
    """Train ``network`` in place: total = the sum of the losses of the three spaces.

    An epoch is of places, as the authors': t0, t1 and t2 are three of a place's dates, drawn with replacement anew at each
    step, P crops, A turns, mirrors and shifts colours. The query is P(t0), the keys are P(A(t1)), P(t2) and P(A(t0)).
    Places of one date are left out: there the space of season would have to separate an image from itself.

    Several processes share queues and `norm_groups` as in `moco`.

    Raises:
        DataError: fewer than ``least_share`` of the places, or fewer than two, have two dates.
    """
    places = Places.of(images, metres=settings.place_metres, device=run.device)
    usable = (places.dates.size > 1).nonzero()[:, 0]
    if len(usable) < max(2, settings.least_share * len(places)):
        raise DataError(
            f"{len(usable):,} of {len(places):,} places have two dates or more: too few for SeCo, which contrasts them",
            hint="give dataset columns captured_at and location_id, or choose another pretrain_img.method in params.yaml",
        )
    network = network.to(run.device)
    contrast = (
        SeasonalContrast(network, settings, places=len(usable), seed=run.seed, processes=run.processes).to(run.device).train()
    )
    augmented = Views(images.pixels, run.device, Augmentation.of(settings))
    cropped = replace(augmented, augmentation=replace(AS_IT_IS, min_scale=settings.min_scale))

    def step(numbers: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        processes, n = contrast.processes, len(numbers)
        mine = processes.share(n)
        t0, t1, t2 = (places.images(usable[numbers], draws) for _ in range(3))
        keys = [augmented(t1, draws, mine), cropped(t2, draws, mine), augmented(t0, draws, mine)]
        losses = contrast.contrast(cropped(t0, draws, mine), keys, draws, n)
        parts = {"total": torch.stack(losses).sum()} | {f"space_{space}": loss for space, loss in enumerate(losses)}
        return processes.weighted(parts, n)

    facts: Facts = {"places": len(usable), "places_of_one_date": len(places) - len(usable)}
    training = Training("seco", {"contrast": contrast}, sgd(contrast.query, settings), step)
    return train_watched(network, images, training, settings, run, facts, rows=len(usable))
