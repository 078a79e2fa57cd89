"""`pretrain_img.method: gair`: its rows, its encoders on disk, and its judgement on held-out blocks."""

import dataclasses
from typing import Any

import numpy as np
import torch

from cspops.data.catalogue import read_captures
from cspops.data.overhead import read_footprints
from cspops.data.splits import read_roles
from cspops.errors import DataError
from cspops.gair.alignment import Alignment
from cspops.gair.overhead import level
from cspops.gair.pretraining import Places, gair
from cspops.gair.retrieval import retrieval, within_image
from cspops.gair.score_maps import save_score_maps, score_maps
from cspops.gair.stored import save_gair
from cspops.imagessl.images import Pretrained
from cspops.models.backbones import ImageNetwork
from cspops.params.image_networks import Gair
from cspops.pipeline.pixels import OVERHEAD, PHOTOS, Column, Squares, decoded, on_device
from cspops.seeds import torch_stream
from cspops.shapes import Float, Tensor, UInt8
from cspops.site import Site
from cspops.training.loop import Run

HELD_OUT = ("spatial_val", "spatial_test")
BATCH = 512
PLACES = 64
"""Of an overhead image, among which its photo's own is looked for."""
NO_OVERHEAD = "name the columns overhead and overhead_bbox in dataset of params.yaml (docs/gair.md of cspops), then dvc repro"
Judged = dict[str, dict[str, Any]]


def pretrain_gair(network: ImageNetwork, settings: Gair, site: Site, run: Run) -> tuple[Pretrained, Judged]:
    """Train on training rows, without labels, and save what was trained.

    Returns:
        the curve with its facts; by role, how well photos and overhead places of held-out blocks find one another.
    """
    level(settings.overhead.model, settings.overhead.stride)
    captures, footprints = read_captures(site.inputs["download"]), read_footprints(site.inputs["download"])
    if footprints is None:
        raise DataError(
            "no row has an overhead image, which GAIR needs",
            hint=NO_OVERHEAD,
        )
    paired = bool(footprints.paired.any())
    if not paired and settings.features == "photo":
        raise DataError(
            "no row has a photo beside its overhead image: pretrain_img.methods.gair.features cannot be photo",
            hint="set it to overhead_at_place in params.yaml",
        )
    usable = (footprints.paired if paired else footprints.alone) & ~captures.lonlat.isnan().any(1)
    roles = {name: mask & usable for name, mask in read_roles(site.inputs["split"], captures.obs_id).items()}
    interpolation = network.config["interpolation"]
    photos = Squares(network.config["px"], interpolation=interpolation) if paired else None
    overhead = Squares(settings.overhead.px, crop=None, interpolation=interpolation)

    def places(role: str) -> Places:
        rows, mask = roles[role].numpy().nonzero()[0], roles[role]
        return Places(
            None if photos is None else _pixels(rows, photos, site, f"{role} photos"),
            _pixels(rows, overhead, site, f"{role} overhead images", column=OVERHEAD),
            footprints.bbox[mask],
            captures.lonlat[mask],
        )

    alignment, pretrained = gair(network, places("train"), settings, run)
    save_gair(site.out, alignment, network, features=settings.features)
    alignment.to(run.device)
    held_out = {role: places(role) for role in HELD_OUT if paired and roles[role].any()}
    if not run.processes.first:
        return pretrained, {}
    for of_role in [*held_out.values()][-1:]:
        save_score_maps(site.out / "gair", score_maps(alignment, of_role, run.device))
    return pretrained, {role: _judged(alignment, of_role, run) for role, of_role in held_out.items()}


def _pixels(rows: np.ndarray, square: Squares, site: Site, kind: str, *, column: Column = PHOTOS) -> UInt8[Tensor, "n px px 3"]:
    """Decode images into a file of their own of the stage's progress."""
    scratch = site.scratch / kind.replace(" ", "_")
    scratch.mkdir(parents=True, exist_ok=True)
    here = dataclasses.replace(site, scratch=scratch)
    pixels = decoded(rows, square, here, stage="pretrain-img", kind=kind, otherwise="pretrain_img.method: none", column=column)
    return on_device(pixels, site.host.torch_device())


@torch.no_grad()
def _judged(alignment: Alignment, places: Places, run: Run) -> dict[str, Any]:
    """Return how photos find their overhead places, among the rows of one role and within their own images."""
    assert alignment.photo is not None and alignment.projection is not None and places.photos is not None
    points = torch.cat((_anywhere(places.bbox, run.seed), places.lonlat[:, None]), 1)
    photo, overhead = [], []
    for rows in torch.arange(len(places)).split(BATCH):
        photo.append(alignment.projection(alignment.photo(places.photos[rows].to(run.device))).cpu())
        given = places.overhead[rows], places.bbox[rows], points[rows]
        overhead.append(alignment.overhead(*(one.to(run.device) for one in given)).cpu())
    o, r = torch.cat(photo), torch.cat(overhead)
    return {
        "rows": len(places),
        "photo_to_overhead": retrieval(o, r[:, -1], places.lonlat),
        "overhead_to_photo": retrieval(r[:, -1], o, places.lonlat),
        "within_image": within_image(o, r, points),
    }


def _anywhere(bbox: Float[Tensor, "n 4"], seed: int) -> Float[Tensor, "n m 2"]:
    """Draw places in each footprint, one fewer than `PLACES`."""
    draws = torch_stream(seed, "gair places")
    u = torch.rand(len(bbox), PLACES - 1, 2, generator=draws, dtype=torch.float64)
    return bbox[:, None, :2] + u * (bbox[:, None, 2:] - bbox[:, None, :2])
