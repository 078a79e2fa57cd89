"""From the catalogue's image structs to pixels."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image, UnidentifiedImageError

from cspops.errors import DataError
from cspops.shapes import Tensor, UInt8

EIGHT_BIT = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "La", "CMYK", "YCbCr", "HSV", "LAB"}
"""Pillow's modes that become RGB without losing their range; it would clip the others (`I;16`, `I`, `F`) to white."""


def decode(images: pa.StructArray, *, px: int, root: Path) -> UInt8[Tensor, "n px px 3"]:
    """RGB pixels of ``px`` x ``px``: the centre square, resized where its side differs.

    Args:
        images: structs of `bytes` and `path`; a path is taken under ``root``.
        px: side in pixels.
        root: folder of images that the catalogue names by path.
    """
    out = np.empty((len(images), px, px, 3), dtype=np.uint8)
    for row, image in enumerate(images):
        data, path = image["bytes"].as_py(), image["path"].as_py()
        try:
            with Image.open(io.BytesIO(data) if data is not None else root / path) as opened:
                if opened.mode not in EIGHT_BIT:
                    raise ValueError(f"its mode {opened.mode} is not 8 bits a channel")
                rgb = opened.convert("RGB")
        except FileNotFoundError:
            raise DataError(
                f"image {root / path} is missing", hint="set CSPOPS_DATA_ROOT to the folder of the images"
            ) from None
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"image {path or f'in row {row}'} cannot be read: {error}") from None
        if rgb.size != (px, px):
            side = min(rgb.size)
            left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
            rgb = rgb.resize((px, px), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
        out[row] = np.asarray(rgb)
    return torch.from_numpy(out)
