"""TIFF, which GDAL reads, after a look at what its tags claim: GDAL keeps something for each part, and each part whole."""

from collections.abc import Mapping
from typing import Any

from PIL import Image

from cspops.pixels.bands import by_rasterio
from cspops.pixels.reading import Reading
from cspops.pixels.unreadable import DECODED, TOO_LARGE, UnreadableImage, refuse_bombs

WIDTH, HEIGHT, BITS, SAMPLES, ROWS, PLANAR, TILE_WIDTH, TILE_HEIGHT, EXTRA = 256, 257, 258, 277, 278, 284, 322, 323, 338
PREMULTIPLIED = 1


def open_tiff(content: bytes, reading: Reading, tags: Mapping[int, Any]) -> Image.Image:
    """Return the first image of a TIFF as 8-bit RGB, as it lies in the file; ``tags`` as `unreadable.tiff_tags` has them."""
    refuse_claims(content, tags)
    return by_rasterio(content, reading, premultiplied=PREMULTIPLIED in _numbers(tags, EXTRA))


def refuse_claims(content: bytes, tags: Mapping[int, Any]) -> None:
    """Raise UnreadableImage for more pixels, longer parts or more of them than the file can mean, before GDAL sees it."""
    width, height, samples = (max([default, *_numbers(tags, tag)]) for tag, default in ((WIDTH, 0), (HEIGHT, 0), (SAMPLES, 1)))
    size = -(-max([1, *_numbers(tags, BITS)]) // 8)
    refuse_bombs(width, height, samples, size=size)
    across, down = (max(_numbers(tags, tag), default=0) for tag in (TILE_WIDTH, TILE_HEIGHT))
    if not across or not down:
        across, down = width, min(max(_numbers(tags, ROWS), default=height), height)
    apart = 2 in _numbers(tags, PLANAR)
    part = across * down * size * (1 if apart else samples)
    parts = -(-width // max(across, 1)) * -(-height // max(down, 1)) * (samples if apart else 1)
    if part > DECODED or (parts > 1 and parts > len(content)):  # a part has its place in the file, 2 bytes or more
        raise UnreadableImage(TOO_LARGE, f"{width} x {height} in {parts} parts of {part} bytes")


def _numbers(tags: Mapping[int, Any], tag: int) -> list[int]:
    value = tags.get(tag)
    return [one for one in (value if isinstance(value, tuple) else (value,)) if isinstance(one, int)]
