"""Tile2Vec (Jean et al. 2019): tiles that are near one another have near embeddings, distant ones distant embeddings."""

from collections.abc import Callable

import torch
from torch.nn.functional import interpolate

from cspops.imagessl.cut_tiles import CutTiles
from cspops.imagessl.images import Facts, Pretrained, UnlabelledImages
from cspops.imagessl.monitor import train_watched
from cspops.imagessl.near_and_far import NearAndFar
from cspops.losses.image import triplet
from cspops.models.backbones import ImageNetwork
from cspops.params.image_networks import Tile2Vec
from cspops.pixels.views import Augmentation, as_floats, random_views
from cspops.shapes import Float, Tensor, UInt8
from cspops.training.loop import Run, Training

Triplets = Callable[[Tensor, torch.Generator], Tensor]
"""From row numbers and a stream to anchors, neighbours and distant tiles, one after the other, in [0, 1]."""


def tile2vec(
    network: ImageNetwork,
    images: UnlabelledImages,
    settings: Tile2Vec,
    run: Run,
    *,
    raster: UInt8[Tensor, "h w 3"] | None = None,
) -> Pretrained:
    """Train ``network`` in place; its features are the embeddings, without a head.

    Args:
        raster: in mode `tiles`, the one image that tiles are cut from, as many triplets per epoch as there are images.

    Note: in the paper the learning rate is constant, here half a cosine; there each of the three has a forward pass of its
    own, here one for all, so that batch norm treats them alike. Of several processes each normalises its own rows, and the
    running statistics of batch norm are the first one's.

    Raises:
        DataError: fewer than two images, or images too small for the tiles.
    """
    images.require(2, "Tile2Vec contrasts an image with a distant one")
    network, processes = network.to(run.device), run.processes
    triplets, facts = _triplets(images, settings, raster, run, px=network.config["px"])
    turned = Augmentation(turns=settings.turns)

    def step(rows: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        tiles = random_views(triplets(rows, draws), turned, generator=draws)
        own = torch.cat([part[processes.share(n)] for part in tiles.chunk(3)]) if processes.shares(n := len(rows)) else tiles
        anchor, neighbour, distant = (processes.whole(part, n) for part in network.features(own).chunk(3))
        return triplet(anchor, neighbour, distant, margin=settings.margin, l2=settings.l2)

    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, betas=(0.5, 0.999), fused=True)
    training = Training("tile2vec", {"network": network}, optimizer, step)
    return train_watched(network, images, training, settings, run, facts)


def _triplets(
    images: UnlabelledImages,
    settings: Tile2Vec,
    raster: UInt8[Tensor, "h w 3"] | None,
    run: Run,
    *,
    px: int,
) -> tuple[Triplets, Facts]:
    """Return the function that draws the triplets of a batch, and facts about it."""
    if settings.mode == "tiles":
        pixels = images.pixels if raster is None else raster[None]
        same_image = settings.same_image or raster is not None
        tiles = CutTiles(pixels, settings.tile_px, settings.neighbourhood_px, same_image)

        def cut(rows: Tensor, draws: torch.Generator) -> Tensor:
            image = rows if raster is None else torch.zeros_like(rows)
            return _sized(as_floats(tiles.triplets(image, draws).flatten(0, 1)), px)

        return cut, {"tiles_from": "training images" if raster is None else "a raster, seen whole"}
    near = NearAndFar.of(
        images.lonlat.cpu(), neighbour_km=settings.neighbour_km, distant_km=settings.distant_km, seed=run.seed
    ).to(run.device)
    facts: Facts = {
        "neighbour_share": round(float((near.count > 0).double().mean()), 4),
        "neighbour_km": round(near.neighbour_km, 3),
        "distant_km": round(near.distant_km, 3),
    }
    cropped = Augmentation(min_scale=settings.min_scale, turns=False)

    def draw(rows: Tensor, draws: torch.Generator) -> Tensor:
        chosen = torch.cat((rows, near.neighbour(rows, draws), near.distant(rows, draws)))
        pixels = as_floats(images.pixels[chosen.to(images.pixels.device)].to(run.device))
        alone = (near.count[rows] == 0).nonzero()[:, 0]
        if len(alone):  # anchor and neighbour are two crops of one image
            both = torch.cat((alone, alone + len(rows)))
            pixels[both] = random_views(pixels[both], cropped, generator=draws)
        return pixels

    return draw, facts


def _sized(tiles: Float[Tensor, "n 3 t t"], px: int) -> Float[Tensor, "n 3 px px"]:
    """Resize tiles, by bilinear interpolation, to the side that the network takes."""
    if tiles.shape[-1] == px:
        return tiles
    return interpolate(tiles, size=(px, px), mode="bilinear", antialias=True, align_corners=False)
