"""GAIR's pre-training: all three encoders learn from unlabelled rows."""

from dataclasses import dataclass

import torch

from cspops.errors import DataError, ParamsError
from cspops.gair.alignment import Alignment, Batch
from cspops.gair.overhead import localized_overhead
from cspops.imagessl.images import Facts, Pretrained
from cspops.imagessl.momentum import queue_size
from cspops.models.backbones import ImageNetwork
from cspops.models.location_encoder import LocationEncoder
from cspops.params.image_networks import Gair
from cspops.pixels.views import Augmentation, Views
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Float, Tensor, UInt8
from cspops.training.loop import Run, Schedule, Training, run_epochs


@dataclass(frozen=True)
class Places:
    """Rows with a place and an overhead image that shows it. There is no field for a label, so that none can leak in."""

    photos: UInt8[Tensor, "n h w 3"] | None
    """None where rows have no photo."""
    overhead: UInt8[Tensor, "n h2 w2 3"]
    bbox: Float[Tensor, "n 4"]
    """Footprints in degrees: west, south, east, north."""
    lonlat: Float[Tensor, "n 2"]
    """Degrees, longitude first."""

    def __len__(self) -> int:
        return len(self.lonlat)


def gair(network: ImageNetwork, places: Places, settings: Gair, run: Run) -> tuple[Alignment, Pretrained]:
    """Train ``network`` on the photos, in place, with an overhead network and a location encoder of their own.

    While all cosines are alike the loss is (2 ln n + 2 ln(1 + k)) / 2, n rows a batch and a queue of k places.

    Several processes compare their rows with those of all, and have one queue. Networks with batch norm normalise each
    process's rows by themselves, and keep the first one's running statistics; others give the same weights as one process.

    Raises:
        DataError: fewer than two rows, or no photo for features that are to be a photo's.
        ParamsError: there is no such overhead network; no term is left where there are no photos.
    """
    if len(places) < 2:
        raise DataError(
            f"{len(places)} training rows with a place inside an overhead image: GAIR needs at least two",
            hint="set pretrain_img.method: none in params.yaml, or give overhead images (docs/gair.md)",
        )
    alignment = _start(network, places, settings, run)
    if not alignment.terms:
        raise ParamsError(
            "params.yaml: pretrain_img.methods.gair.terms: no term is left, as the rows have no photo", hint="overhead_to_place"
        )
    device = run.device
    changes = Augmentation(settings.min_scale, settings.colour_jitter, turns=False)
    photo = None if places.photos is None else Views(places.photos, device, changes)
    # cut, mirrored or turned overhead images would need their places moved along
    overhead = Views(places.overhead, device, Augmentation(colour_jitter=settings.colour_jitter, turns=False, mirror=False))
    bbox, lonlat = places.bbox.to(device), places.lonlat.double().to(device)

    def step(rows: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        mine = run.processes.share(len(rows))
        images, own = None if photo is None else photo(rows, draws, mine), rows[mine]
        batch = Batch(images, overhead(rows, draws, mine), bbox[own], lonlat[own])
        return alignment.loss(batch, lonlat[rows], run.processes)

    decayed = [p for p in alignment.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in alignment.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95), fused=True)
    training = Training("gair", {"alignment": alignment}, optimizer, step, after_step=alignment.after_step)
    rate, steps = settings.learning_rate, settings.epochs * -(-len(places) // settings.batch_size)
    schedule = Schedule(len(places), settings.epochs, settings.batch_size, rate, warm_up=round(settings.warm_up * steps))
    curve = run_epochs(training, schedule, run)
    facts: Facts = {"rows": len(places), "queue": len(alignment.queue), "terms": ", ".join(alignment.terms)}
    if places.photos is None:
        facts["note"] = "The rows have no photo: overhead images and places alone were aligned"
    return alignment.eval(), Pretrained(curve, facts)


def _start(network: ImageNetwork, places: Places, settings: Gair, run: Run) -> Alignment:
    about = settings.overhead
    config = {
        "map": {
            "model": about.model,
            "px": about.px,
            "stride": about.stride,
            "interpolation": network.config["interpolation"],
            "mean": network.config["mean"],
            "sd": network.config["sd"],
        },
        "decoder": settings.decoder,
        "dim": settings.location_encoder.dim,
    }
    overhead = localized_overhead(config, seed=run.seed, pretrained=about.weights == "pretrained")
    with global_torch_stream(run.seed, "gair location encoder"):
        location = LocationEncoder(settings.location_encoder.config())
    location.fit(places.lonlat, torch_stream(run.seed, "gair location encoder", "fit"))
    photo = None if places.photos is None else network
    size = queue_size(settings.queue, len(places))
    return Alignment(photo, overhead, location, settings, lonlat=places.lonlat, size=size, seed=run.seed).to(run.device)
