"""Random views of a batch of images, all rows at once on the device of the pixels."""

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import affine_grid, conv2d, grid_sample, pad

from cspops.kernels import sqrt
from cspops.params.image_networks import Full, Moco
from cspops.shapes import Float, Int, Tensor, UInt8


@dataclass(frozen=True)
class Augmentation:
    """How much a random view may differ from its image."""

    min_scale: float = 1.0
    """Least share of the tile's area in the crop; the crop is a square, resized bilinearly."""
    colour_jitter: float = 0.0
    """Brightness, contrast and each channel are scaled by factors within 1 +- this."""
    grey: float = 0.0
    """Probability of losing the colour."""
    blur: float = 0.0
    """Probability of a Gaussian blur with a deviation of 0.1 to 2 pixels of an image of 224, in proportion."""
    turns: bool = True
    """Whether views are turned by quarters, too."""
    mirror: bool = True
    """Whether views are mirrored left to right."""

    @classmethod
    def of(cls, settings: Moco | Full) -> "Augmentation":
        """Return what params.yaml asks for."""
        return cls(settings.min_scale, settings.colour_jitter, settings.grey, settings.blur, settings.turns)


AS_IT_IS = Augmentation(turns=False, mirror=False)


def random_views(
    pixels: Float[Tensor, "n 3 h w"],
    augmentation: Augmentation,
    *,
    generator: torch.Generator,
    batch: int | None = None,
    first: int = 0,
) -> Float[Tensor, "n 3 h w"]:
    """Crop at random, mirror and turn by quarters (a satellite tile has no up), and shift the colours.

    Args:
        pixels: in [0, 1].
        augmentation: how far views may go.
        batch: rows that are drawn for, where ``pixels`` are only some of a batch; they get what they would get in it.
        first: the number of the first of them in the batch.
    """
    jitter, blur = augmentation.colour_jitter, augmentation.blur

    def uniform(low: float, high: float, *shape: int, own: slice | None = None) -> Tensor:
        u = torch.rand(*shape, generator=generator, device=generator.device)[own or mine]
        return low + (high - low) * u

    n, mine = len(pixels) if batch is None else batch, slice(first, first + len(pixels))
    side = sqrt(uniform(augmentation.min_scale, 1, n))
    quarter = torch.randint(4 if augmentation.turns else 1, (n,), generator=generator, device=generator.device)[mine] * (
        math.pi / 2
    )
    sign = torch.randint(2, (n,), generator=generator, device=generator.device)[mine] * 2 - 1
    flip = sign if augmentation.mirror else sign.abs()
    shift = uniform(-1, 1, n, 2) * (1 - side)[:, None]
    cos, sin = quarter.cos(), quarter.sin()
    rows = (torch.stack((cos * flip, -sin, shift[:, 0] / side), 1), torch.stack((sin * flip, cos, shift[:, 1] / side), 1))
    theta = torch.stack(rows, 1) * side[:, None, None]
    grid = affine_grid(theta, list(pixels.shape), align_corners=False)
    out = grid_sample(pixels, grid, padding_mode="border", align_corners=False)

    mean = out.mean((1, 2, 3), keepdim=True)
    out = (out - mean) * uniform(1 - jitter, 1 + jitter, n, 1, 1, 1) + mean
    out = out * uniform(1 - jitter, 1 + jitter, n, 1, 1, 1)
    out = out * uniform(1 - jitter / 2, 1 + jitter / 2, n, 3, 1, 1)
    greyed = uniform(0, 1, n, 1, 1, 1) < augmentation.grey
    out = torch.where(greyed, out.mean(1, keepdim=True), out)
    if blur > 0:
        of_batch = uniform(0.1, 2.0, n, own=slice(None)) * (out.shape[-1] / 224)
        sigma, largest = of_batch[mine], float(of_batch.max())
        out = torch.where(uniform(0, 1, n, 1, 1, 1) < blur, gaussian_blur(out, sigma, largest), out)
    return out.clamp(0, 1)


def gaussian_blur(
    pixels: Float[Tensor, "n c h w"], sigma: Float[Tensor, "n"], largest: float | None = None
) -> Float[Tensor, "n c h w"]:
    """Convolve each image with a Gaussian of its own deviation in pixels, cut off at three of the largest; rims repeat.

    Args:
        largest: of the batch that the images are from; None: of these.
    """
    n, c, h, w = pixels.shape
    reach = min(max(1, math.ceil(3 * (float(sigma.max()) if largest is None else largest))), min(h, w) - 1)
    steps = torch.arange(-reach, reach + 1, device=pixels.device)
    kernel = torch.exp(-0.5 * (steps / sigma[:, None]).square())
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(c, 0)[:, None]
    out = pad(pixels, [reach] * 4, mode="replicate").reshape(1, n * c, h + 2 * reach, w + 2 * reach)
    out = conv2d(conv2d(out, kernel[..., None, :], groups=n * c), kernel[..., :, None], groups=n * c)
    return out.reshape(n, c, h, w)


@dataclass(frozen=True)
class Views:
    """Random views of the images of some rows; see `random_views`."""

    pixels: UInt8[Tensor, "n h w 3"]
    device: torch.device
    augmentation: Augmentation = AS_IT_IS

    def __call__(self, rows: Int[Tensor, "n"], draws: torch.Generator, mine: slice = slice(None)) -> Float[Tensor, "b 3 h w"]:
        """Return a view of each row, or of ``mine`` of them: the same as if all were made."""
        return random_views(
            self.plain(rows[mine]),
            self.augmentation,
            generator=draws,
            batch=len(rows),
            first=mine.indices(len(rows))[0],
        )

    def plain(self, rows: Int[Tensor, "b"]) -> Float[Tensor, "b 3 h w"]:
        """Return the images themselves, in [0, 1]."""
        return as_floats(self.pixels[rows.to(self.pixels.device)].to(self.device))


def as_floats(pixels: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 3 h w"]:
    """Turn bytes into [0, 1], channels first."""
    return pixels.permute(0, 3, 1, 2).contiguous().float() / 255
