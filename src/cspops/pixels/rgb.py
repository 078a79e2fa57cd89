"""From the bytes of an image file to 8-bit RGB, upright. Nothing here needs torch: worker processes import it.

Whatever is given becomes RGB by one rule each:
- 1 and 8 bits per value: as they are; grey thrice, palettes by their colours, CMYK without a colour profile;
- more bits: from ``reading.black`` to ``reading.white`` in equal steps to 0 to 255, rounded, clipped. Where both are as
  they come (0, null), 16-bit colour of PNG, TIFF and PPM is cut to its high byte: within 1 of that;
- where there is nothing (transparent, NaN, the file's own nodata in all bands used) it is black; with ``reading.bands``
  those bands alone count, transparency does not;
- the orientation in EXIF (or XMP) is undone, then ``crop`` is taken; of several frames the first.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, WebPImagePlugin

from cspops.pixels.bands import by_rasterio, chosen_bands, scaled
from cspops.pixels.reading import Reading
from cspops.pixels.unreadable import (
    EMPTY,
    EMPTY_CROP,
    EXTRA_SAMPLES,
    KIND,
    ORIENTATION,
    UnreadableImage,
    is_tiff,
    read_file,
    reasons,
    refuse_bombs,
    tiff_tags,
)

FORMATS = ("JPEG", "PNG", "WEBP", "PPM", "BMP", "GIF")
"""What Pillow may take a file for (MPO counts as JPEG): it knows formats that run other programs. GDAL reads TIFF."""

PLUGINS = (WebPImagePlugin,)
"""Pillow looks for it among all that it has, unless it is imported."""

INTERPOLATIONS = {
    name: Image.Resampling[name.upper()] for name in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
}
"""By Pillow's names."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom of the upright image, right and bottom exclusive."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation of EXIF (tag 274)."""

_EIGHT_BIT = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"}


def open_rgb(data: bytes | Path, *, reading: Reading, crop: Box | None = None) -> Image.Image:
    """Open the image as 8-bit RGB, upright and cropped. ``crop`` is cut off at the image's borders.

    Raises:
        UnreadableImage: with one of `unreadable.REASONS`.
    """
    content = data if isinstance(data, bytes) else read_file(data)
    if not content:
        raise UnreadableImage(EMPTY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata
        image = _rgb(content, reading)
    if crop is None:
        return image
    left, top, right, bottom = crop
    box = (max(0, left), max(0, top), min(image.width, right), min(image.height, bottom))
    if box[0] >= box[2] or box[1] >= box[3]:
        raise UnreadableImage(EMPTY_CROP, f"{left}, {top}, {right}, {bottom} of {image.width} x {image.height} pixels")
    return image.crop(box)


def square(image: Image.Image, px: int, *, crop: float = 1.0, interpolation: str = "bicubic") -> np.ndarray:
    """Cut the centre square as uint8 (px, px, 3), resized where it is not of that size.

    Args:
        image: 8-bit RGB.
        px: side in pixels.
        crop: share of the image's shorter side that the square keeps, in (0, 1].
        interpolation: one of `INTERPOLATIONS`.
    """
    if image.size != (px, px) or crop != 1:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        cut, kept = side * (1 - crop) / 2, side * crop
        box = (left + cut, top + cut, left + cut + kept, top + cut + kept)
        image = image.resize((px, px), INTERPOLATIONS[interpolation], box=box)
    return np.asarray(image)


def _rgb(content: bytes, reading: Reading) -> Image.Image:
    tags = tiff_tags(content)
    with reasons(content, tags):
        if is_tiff(content):
            premultiplied = tags.get(EXTRA_SAMPLES) in (1, (1,))
            orientation, made = tags.get(ORIENTATION, 1), by_rasterio(content, reading, premultiplied=premultiplied)
        else:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            if _needs_rasterio(image, reading, content):
                orientation, made = _orientation(image), by_rasterio(content, reading)
            else:
                refuse_bombs(image.width, image.height, len(image.getbands()))
                image.load()
                orientation, made = _orientation(image), _by_pillow(image, reading)
        return made.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else made


def _needs_rasterio(image: Image.Image, reading: Reading, content: bytes) -> bool:
    """Return whether Pillow would cut colour of 16 bits to 8 where ``reading`` gives it a range of its own."""
    deep = (image.format == "PNG" and content[24] == 16) or (image.format == "PPM" and content.startswith(b"P6"))
    return len(image.getbands()) > 1 and deep and (reading.black != 0 or reading.white is not None)


def _by_pillow(image: Image.Image, reading: Reading) -> Image.Image:
    if image.mode not in _EIGHT_BIT:
        if not image.mode.startswith("I") and image.mode != "F":
            raise UnreadableImage(KIND, f"mode {image.mode}")
        chosen_bands(reading, 1)
        top = None if image.mode == "F" else 2**16 - 1  # of PNG, and of PPM, which Pillow stretches to 16 bits
        return scaled([np.asarray(image)], reading, top, [_number(image.info.get("transparency"))])
    if reading.bands is not None:
        if image.mode not in ("L", "LA", "RGB", "RGBA", "RGBX", "CMYK"):
            image = image.convert("L" if image.mode == "1" else "RGBA" if image.has_transparency_data else "RGB")
        bands = chosen_bands(reading, len(image.getbands()))
        channels = [image.getchannel(band - 1) for band in bands]
        return Image.merge("RGB", channels if len(channels) == 3 else channels * 3)
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    colours, made = image.convert("RGBA"), Image.new("RGB", image.size)
    made.paste(colours, mask=colours.getchannel("A"))
    return made


def _orientation(image: Image.Image) -> int:
    """Read the orientation of EXIF, 1 to 8; 1 where it cannot be read."""
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # broken EXIF is common, and no reason to lose the image
        return 1
    return orientation if isinstance(orientation, int) else 1


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
