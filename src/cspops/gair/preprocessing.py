"""The published preprocessing of overhead images and photos, on tensors."""

import torch
from torch.nn import functional

from cspops.gair.shapes import shown
from cspops.shapes import Float, Tensor

OVERHEAD_MEAN = (1172.9397, 1378.0846, 1509.3327, 1750.0275, 2073.2758, 2207.3283, 2245.1629, 2284.6384, 2231.7283, 1899.1932)
OVERHEAD_SD = (706.625, 720.1862, 783.1424, 707.1962, 714.2782, 748.1827, 852.3585, 762.0849, 690.0165, 669.9036)
"""Of the ten bands that are kept, in digital numbers of Sentinel-2 (10,000 is reflectance 1)."""

PHOTO_MEAN = (135.47184384, 142.28621995, 145.12271992)
PHOTO_SD = (59.19978436, 59.35279219, 72.02295734)
"""Of red, green and blue from 0 to 255."""

KEPT = {10: (*range(10),), 12: (*range(1, 9), 10, 11), 13: (*range(1, 9), 11, 12)}
"""By the bands of a product, those that are kept: B2 to B8A, B11 and B12. Thirteen are all, twelve lack B10 (level 2A)."""
AS_RELEASED = KEPT | {13: KEPT[12]}

__all__ = ["overhead_pixels", "photo_pixels"]


def overhead_pixels(bands: Tensor, px: int = 96, *, as_released: bool = False) -> Float[Tensor, "n 10 px px"]:
    """Return Sentinel-2 bands as the overhead network takes them: ten, in [0, 1] but for the overshoot of resizing.

    Each band is (x - (mean - 2 sd)) / (4 sd), clipped to [0, 1] and rounded down to a multiple of 1 / 255; then all are
    resized bicubically, without antialiasing. What is no number becomes 0.

    Args:
        bands: (n, c, h, w) or (n, h, w, c), without n for one image, c of 10, 12 or 13; of any kind of number.
        px: side of the result.
        as_released: keep the same bands of 13 as of 12.

    Raises:
        ValueError: the shape does not fit.

    Note: of 13 bands the released inference code keeps B10 and B11, by the numbers for 12; its training and evaluation code
    drops B1, B9 and B10, as here.
    """
    image = _channels_first(bands, tuple(KEPT), "bands")
    image = image[:, list((AS_RELEASED if as_released else KEPT)[image.shape[1]])]
    mean, sd = (torch.tensor(one, dtype=image.dtype, device=image.device) for one in (OVERHEAD_MEAN, OVERHEAD_SD))
    low, high = (each[:, None, None] for each in (mean - 2 * sd, mean + 2 * sd))
    levels = ((image - low) / (high - low) * 255).clamp(0, 255).floor().nan_to_num(0.0)
    return _resized(levels / 255, px)


def photo_pixels(rgb: Tensor, px: int = 224) -> Float[Tensor, "n 3 px px"]:
    """Return photos as the photo network takes them: (x - mean) / sd, resized bicubically to a square, without antialiasing.

    Args:
        rgb: (n, h, w, 3) or (n, 3, h, w), without n for one photo; from 0 to 255, of any kind of number.
        px: side of the result.

    Raises:
        ValueError: the shape does not fit.
    """
    image = _channels_first(rgb, (3,), "rgb", last=True)
    mean, sd = (torch.tensor(one, dtype=image.dtype, device=image.device)[:, None, None] for one in (PHOTO_MEAN, PHOTO_SD))
    return _resized((image - mean) / sd, px)


def _channels_first(image: Tensor, counts: tuple[int, ...], name: str, *, last: bool = False) -> Float[Tensor, "n c h w"]:
    """Return images (n, c, h, w) in a floating type; ``last``: channels come last where both ends would do."""
    if image.ndim in (3, 4):
        batch = image if image.ndim == 4 else image[None]
        for axis in (-1, 1) if last else (1, -1):
            if batch.shape[axis] in counts:
                return (batch if batch.is_floating_point() else batch.float()).movedim(axis, 1)
    which = " or ".join(map(str, counts))
    raise ValueError(f"{name} has shape {shown(image)}: images with {which} channels, the first or the last axis, are needed")


def _resized(image: Float[Tensor, "n c h w"], px: int) -> Float[Tensor, "n c px px"]:
    return functional.interpolate(image, size=(px, px), mode="bicubic", align_corners=False)
