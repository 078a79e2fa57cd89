"""Places seen at several dates: a texture of the place, a colour of the season."""

import torch
from torch import nn
from unlabelled import unlabelled

from cspops.imagessl.images import UnlabelledImages
from cspops.losses.objectives import unit
from cspops.models.backbones import ImageNetwork
from cspops.seeds import global_torch_stream

DAY = 86_400_000


def small_network() -> ImageNetwork:
    """Two layers of convolutions with batch norm between, pooled: steps take milliseconds."""
    with global_torch_stream(0, "small network"):
        first, second = nn.Conv2d(3, 16, 3, stride=2), nn.Conv2d(16, 32, 3, stride=2)
    layers = nn.Sequential(first, nn.BatchNorm2d(16), nn.ReLU(), second, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return ImageNetwork({"model": "two layers", "px": 16, "mean": [0.5] * 3, "sd": [0.25] * 3}, layers)


def seasons(places: int = 20, dates: int = 3, *, side: int = 16) -> UnlabelledImages:
    """Row p * dates + d: checks of 2 pixels, whose contrast in each channel is the place's, around a colour of the date."""
    draws = torch.Generator().manual_seed(0)
    contrast = torch.rand(places, 1, 1, 1, 3, generator=draws) * 0.4
    colour = torch.rand(places, dates, 1, 1, 3, generator=draws) * 0.3 + 0.35
    block = torch.arange(side) // 2
    checks = ((block[:, None] + block) % 2 * 2 - 1)[:, :, None]
    pixels = (255 * (colour + contrast * checks).clamp(0, 1).flatten(0, 1)).byte()
    place = torch.arange(places).repeat_interleave(dates)
    lonlat = torch.stack((place * 360.0 / places - 180, (place * 7 % 11) * 10.0 - 50), 1)
    return unlabelled(pixels, lonlat=lonlat, place=place, captured_at=torch.arange(dates).repeat(places) * 90 * DAY)


@torch.no_grad()
def togetherness(network, images: UnlabelledImages) -> float:
    """Mean cosine of two images of one place less that of two of different places, of centred features."""
    x = network.eval()(images.pixels)
    cosine = unit(x - x.mean(0)) @ unit(x - x.mean(0)).T
    same = images.place[:, None] == images.place
    return float(cosine[same & ~torch.eye(len(x), dtype=torch.bool)].mean() - cosine[~same].mean())
