"""Small training sets for the pre-training methods."""

import torch

from cspops.data.dates import NO_DATE
from cspops.imagessl.images import UnlabelledImages
from cspops.models.backbones import ImageNetwork, build_image_network

CPU = torch.device("cpu")


def backbone(model: str = "timm:test_resnet") -> ImageNetwork:
    return build_image_network(model, pretrained=False, px=32, seed=0)


def tiles(n: int = 32) -> torch.Tensor:
    """Random checks of 8 x 8 pixels, so that tiles are easy to tell apart."""
    blocks = torch.randint(256, (n, 4, 4, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)


def unlabelled(pixels: torch.Tensor | int = 32, *, lonlat=None, place=None, captured_at=None) -> UnlabelledImages:
    """Images without positions, places and dates, unless they are given."""
    pixels = tiles(pixels) if isinstance(pixels, int) else pixels
    n = len(pixels)
    return UnlabelledImages(
        pixels,
        torch.full((n, 2), torch.nan, dtype=torch.float64) if lonlat is None else torch.as_tensor(lonlat, dtype=torch.float64),
        torch.full((n,), -1) if place is None else torch.as_tensor(place),
        torch.full((n,), NO_DATE) if captured_at is None else torch.as_tensor(captured_at),
    )
