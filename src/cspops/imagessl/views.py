"""Random views of a batch of tiles, all rows at once on the device of the pixels."""

import math

import torch
from torch.nn.functional import affine_grid, grid_sample

from cspops.shapes import Float, Tensor


def random_views(
    pixels: Float[Tensor, "n 3 h w"], *, min_scale: float, colour_jitter: float, grey: float, generator: torch.Generator
) -> Float[Tensor, "n 3 h w"]:
    """A random crop, mirrored and turned by quarters (a satellite tile has no up), with shifted colours.

    Args:
        pixels: in [0, 1].
        min_scale: least share of the tile's area in the crop; the crop is a square, resized bilinearly.
        colour_jitter: brightness, contrast and each channel are scaled by factors within 1 +- this.
        grey: probability of losing the colour.
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        u = torch.rand(*shape, generator=generator, device=generator.device)
        return low + (high - low) * u

    n = len(pixels)
    side = uniform(min_scale, 1, n).sqrt()
    quarter = torch.randint(4, (n,), generator=generator, device=generator.device) * (math.pi / 2)
    mirror = torch.randint(2, (n,), generator=generator, device=generator.device) * 2 - 1
    shift = uniform(-1, 1, n, 2) * (1 - side)[:, None]
    cos, sin = quarter.cos(), quarter.sin()
    rows = (torch.stack((cos * mirror, -sin, shift[:, 0] / side), 1), torch.stack((sin * mirror, cos, shift[:, 1] / side), 1))
    theta = torch.stack(rows, 1) * side[:, None, None]
    grid = affine_grid(theta, list(pixels.shape), align_corners=False)
    out = grid_sample(pixels, grid, padding_mode="border", align_corners=False)

    mean = out.mean((1, 2, 3), keepdim=True)
    out = (out - mean) * uniform(1 - colour_jitter, 1 + colour_jitter, n, 1, 1, 1) + mean
    out = out * uniform(1 - colour_jitter, 1 + colour_jitter, n, 1, 1, 1)
    out = out * uniform(1 - colour_jitter / 2, 1 + colour_jitter / 2, n, 3, 1, 1)
    greyed = uniform(0, 1, n, 1, 1, 1) < grey
    out = torch.where(greyed, out.mean(1, keepdim=True), out)
    return out.clamp(0, 1)
