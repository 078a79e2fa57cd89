"""Tile2Vec (Jean et al. 2019): tiles that are near one another have near embeddings, distant ones distant embeddings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.functional import interpolate

from cspops.imagessl.cut_tiles import CutTiles
from cspops.imagessl.images import Facts, Pretrained, UnlabelledImages, as_floats
from cspops.imagessl.near_and_far import NearAndFar
from cspops.imagessl.watched import train_watched
from cspops.losses.image import triplet
from cspops.models.backbones import ImageNetwork
from cspops.pixels.views import random_views
from cspops.shapes import Float, Tensor, UInt8
from cspops.training.resume import Resume

Triplets = Callable[[Tensor, torch.Generator], Tensor]
"""From row numbers and a stream to anchors, neighbours and distant tiles, one after the other, in [0, 1]."""


@dataclass(frozen=True)
class Tile2VecSettings:
    """Hyper-parameters; see params.yaml."""

    epochs: int
    batch_size: int
    learning_rate: float
    margin: float
    l2: float
    mode: Literal["catalogue", "tiles"]
    neighbour_km: float | None
    distant_km: float | None
    min_scale: float
    tile_px: int
    neighbourhood_px: int
    same_image: bool
    raster: str | None
    turns: bool


def tile2vec(
    network: ImageNetwork,
    images: UnlabelledImages,
    settings: Tile2VecSettings,
    *,
    seed: int,
    device: torch.device,
    resume: Resume | None = None,
    raster: UInt8[Tensor, "h w 3"] | None = None,
) -> Pretrained:
    """Train ``network`` in place; its features are the embeddings, without a head.

    Args:
        raster: in mode `tiles`, the one image that tiles are cut from, as many triplets an epoch as there are images.

    Note: published is a constant learning rate, here half a cosine; and a forward pass for each of the three, here one for
    all, so that batch norm treats them alike.

    Raises:
        DataError: fewer than two images, or images too small for the tiles.
    """
    images.require(2, "Tile2Vec tells an image from a distant one")
    network = network.to(device)
    triplets, facts = _triplets(images, settings, raster, seed=seed, device=device, px=network.config["px"])

    def step(rows: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        tiles = random_views(
            triplets(rows, draws), min_scale=1.0, colour_jitter=0.0, grey=0.0, turns=settings.turns, generator=draws
        )
        anchor, neighbour, distant = network.features(tiles).chunk(3)
        return triplet(anchor, neighbour, distant, margin=settings.margin, l2=settings.l2)

    return train_watched(
        "tile2vec",
        network,
        images,
        step,
        modules={"network": network},
        optimizer=torch.optim.Adam(network.parameters(), lr=settings.learning_rate, betas=(0.5, 0.999), fused=True),
        settings=settings,
        facts=facts,
        seed=seed,
        device=device,
        resume=resume,
    )


def _triplets(
    images: UnlabelledImages,
    settings: Tile2VecSettings,
    raster: UInt8[Tensor, "h w 3"] | None,
    *,
    seed: int,
    device: torch.device,
    px: int,
) -> tuple[Triplets, Facts]:
    """What draws the triplets of a batch, and what is to be said of it."""
    if settings.mode == "tiles":
        pixels = images.pixels if raster is None else raster[None]
        same_image = settings.same_image or raster is not None
        tiles = CutTiles(pixels, settings.tile_px, settings.neighbourhood_px, same_image)

        def cut(rows: Tensor, draws: torch.Generator) -> Tensor:
            image = rows if raster is None else torch.zeros_like(rows)
            return _sized(as_floats(tiles.triplets(image, draws).flatten(0, 1)), px)

        return cut, {"tiles_from": "training images" if raster is None else "a raster, seen whole"}
    near = NearAndFar.of(images.lonlat.cpu(), neighbour_km=settings.neighbour_km, distant_km=settings.distant_km, seed=seed).to(
        device
    )
    facts: Facts = {
        "neighbour_share": round(float((near.count > 0).double().mean()), 4),
        "neighbour_km": round(near.neighbour_km, 3),
        "distant_km": round(near.distant_km, 3),
    }

    def draw(rows: Tensor, draws: torch.Generator) -> Tensor:
        chosen = torch.cat((rows, near.neighbour(rows, draws), near.distant(rows, draws)))
        pixels = as_floats(images.pixels[chosen.to(images.pixels.device)].to(device))
        alone = (near.count[rows] == 0).nonzero()[:, 0]
        if len(alone):  # anchor and neighbour are two crops of one image
            both = torch.cat((alone, alone + len(rows)))
            pixels[both] = random_views(
                pixels[both], min_scale=settings.min_scale, colour_jitter=0.0, grey=0.0, turns=False, generator=draws
            )
        return pixels

    return draw, facts


def _sized(tiles: Float[Tensor, "n 3 t t"], px: int) -> Float[Tensor, "n 3 px px"]:
    """Tiles of the side that the network takes, bilinear."""
    if tiles.shape[-1] == px:
        return tiles
    return interpolate(tiles, size=(px, px), mode="bilinear", antialias=True, align_corners=False)
