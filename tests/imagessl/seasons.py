"""Places seen at several dates: a texture of the place, a colour of the season."""

import torch
from unlabelled import unlabelled

from cspops.imagessl.images import UnlabelledImages
from cspops.losses.pairs import unit

DAY = 86_400_000


def seasons(places: int = 20, dates: int = 3, *, side: int = 16) -> UnlabelledImages:
    """Row p * dates + d: checks of 2 pixels, whose contrast in each channel is the place's, around a colour of the date."""
    draws = torch.Generator().manual_seed(0)
    contrast = torch.rand(places, 1, 1, 1, 3, generator=draws) * 0.25
    colour = torch.rand(places, dates, 1, 1, 3, generator=draws) * 0.5 + 0.25
    block = torch.arange(side) // 2
    checks = ((block[:, None] + block) % 2 * 2 - 1)[:, :, None]
    pixels = (255 * (colour + contrast * checks).flatten(0, 1)).byte()
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
