"""The codes of the embedded climate raster, read without torch."""

from importlib.resources import files

import numpy as np
from PIL import Image

from cspops.shapes import UInt8

SEA = 32
"""The code that is no climate zone."""
PER_DEGREE = 36
"""Pixels per degree: each has 100 arc seconds."""
HEIGHT, WIDTH = 180 * PER_DEGREE, 360 * PER_DEGREE

Pixels = tuple[int, int, int, int]
"""Left, top, right and bottom."""


def codes(pixels: Pixels | None = None) -> UInt8[np.ndarray, "h w"]:
    """Read the codes, north up, first pixel at 180 W 90 N; or those of a part.

    Takes a third of a second and, for the whole, 84 MB. Nothing keeps it here: callers take what they need and let it go.
    """
    with files("cspops").joinpath("sample/climate_zones.png").open("rb") as opened, Image.open(opened) as image:
        return np.array(image if pixels is None else image.crop(pixels))
