"""Images as files have them: encoded by Pillow, and GeoTIFFs as rasterio writes them."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def encoded(pixels: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    with io.BytesIO() as file:
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        image.save(file, kind, **options)
        return file.getvalue()


def geotiff(file: Path, values: np.ndarray, **about: Any) -> Path:
    """A GeoTIFF of values (bands, height, width) or (height, width), with what rasterio is told of it."""
    import rasterio

    values = values.reshape(-1, *values.shape[-2:])
    count, height, width = values.shape
    shape = {"count": count, "height": height, "width": width, "dtype": values.dtype.name}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(file, "w", driver="GTiff", **(shape | about)) as opened:
            opened.write(values)
    return file
