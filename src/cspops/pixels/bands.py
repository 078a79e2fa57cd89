"""Values of any number of bits, in any number of bands, as RGB; all of TIFF, and what Pillow does not read, by rasterio."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from cspops.pixels.gdal import gdal_alone, heard
from cspops.pixels.reading import Reading
from cspops.pixels.unreadable import (
    DECODED,
    ENDS_EARLY,
    KIND,
    NO_BANDS,
    NO_RANGE,
    NO_VALUES,
    TOO_FEW_BANDS,
    TOO_LARGE,
    UnreadableImage,
    refuse_bombs,
)

FORMATS = ("GTiff", "PNG", "PNM")
"""What GDAL may take a file for: it knows formats that name other files."""


PARTS = 2**20
"""Strips or tiles, which may be so many in a short file: GDAL takes the rows of a long strip for strips."""


def by_rasterio(content: bytes, reading: Reading, *, premultiplied: bool = False) -> Image.Image:
    """Read the bands of a TIFF, or of a file that Pillow cannot read with all its bits.

    Args:
        content: the file.
        reading: which bands become RGB, and from which values.
        premultiplied: the colours are already dark by their alpha, which GDAL does not say.
    """
    from rasterio.errors import RasterioIOError
    from rasterio.io import MemoryFile

    try:
        with gdal_alone(), MemoryFile(content, filename="image") as memory, memory.open(driver=FORMATS) as opened:
            _refuse_claims(opened, len(content))
            with heard() as messages:
                made = _read(opened, reading, premultiplied=premultiplied)
            _refuse_parts(messages)
            return made
    except RasterioIOError as error:
        raise OSError(str(error.__cause__ or error)) from None  # itself it says "See previous exception"


def _read(opened: Any, reading: Reading, *, premultiplied: bool) -> Image.Image:
    space = opened.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE", "")
    if "LAB" in space:  # GDAL makes colours of it under a light that the file does not name
        raise UnreadableImage(KIND, f"colours of {space}")
    if _meaning(opened)[0] == "palette":
        return _by_palette(opened, reading)
    bands = chosen_bands(reading, opened.count) if reading.bands is not None else _colours(opened)
    values = list(opened.read(list(bands)))
    kind = values[0].dtype.kind
    if kind not in "uif":
        raise UnreadableImage(KIND, f"values of type {values[0].dtype}")
    top = None if kind == "f" else top_of(max(_bits(opened, band) for band in bands), signed=kind == "i")
    made = scaled(values, reading, top, [opened.nodatavals[band - 1] for band in bands])
    return made if reading.bands is not None or premultiplied else _seen(opened, made)


def chosen_bands(reading: Reading, there: int) -> tuple[int, ...]:
    """Return ``reading.bands``, all of them there; the first where none are chosen."""
    bands = reading.bands or (1,)
    if max(bands) > there:
        raise UnreadableImage(TOO_FEW_BANDS, f"band {max(bands)} of {there}")
    return bands


def top_of(bits: int, *, signed: bool) -> float | None:
    return None if bits > 16 else 2 ** (bits - signed) - 1


def scaled(values: list[np.ndarray], reading: Reading, top: float | None, nodata: Sequence[float | None]) -> Image.Image:
    """Turn one band or three into RGB; black where a value is NaN and where all bands hold their nodata."""
    if all(band.dtype == np.uint8 for band in values):
        bands = values if top == 255 or top is None else [_stretched(band, 0.0, top) for band in values]
    else:
        white = reading.white if reading.white is not None else top
        if white is None:
            raise UnreadableImage(NO_RANGE, f"values of type {values[0].dtype}")
        if white <= reading.black:
            raise UnreadableImage(NO_VALUES, f"{reading.black:g} to {white:g}")
        bands = [_stretched(band, reading.black, white) for band in values]
    out = np.stack(bands if len(bands) == 3 else bands * 3, -1)
    if all(value is not None for value in nodata):
        out[np.logical_and.reduce([band == value for band, value in zip(values, nodata, strict=True)])] = 0
    return Image.fromarray(out)


def _refuse_claims(opened: Any, length: int) -> None:
    """Raise UnreadableImage for more pixels, longer parts or more of them than the file can mean, before any is read."""
    size = max((np.dtype(kind).itemsize for kind in opened.dtypes if "complex" not in kind), default=16)
    refuse_bombs(opened.width, opened.height, opened.count, size=size)
    rows, columns = opened.block_shapes[0]
    parts = -(-opened.height // rows) * -(-opened.width // columns)
    bands = opened.count if opened.interleaving is not None and opened.interleaving.name == "pixel" else 1
    if rows * columns * bands * size > DECODED:  # GDAL decodes a part whole, with all its bands
        raise UnreadableImage(TOO_LARGE, f"{opened.width} x {opened.height} in parts of {columns} x {rows}")
    if parts > max(length, PARTS):  # each has its place in the file, by some bytes, and costs GDAL some 100
        raise UnreadableImage(TOO_LARGE, f"{opened.width} x {opened.height} in {parts} parts")


def _refuse_parts(messages: list[str]) -> None:
    """Raise for pixels that are not there, though GDAL gave some."""
    for message in messages:
        if "premature end" in message.lower():
            raise UnreadableImage(ENDS_EARLY, message.partition(":")[2])
        if "signalled an error" in message:
            raise OSError(message.partition("msg=")[2].strip("'"))


def _meaning(opened: Any) -> list[str]:
    return [meaning.name for meaning in opened.colorinterp]


def _bits(opened: Any, band: int) -> int:
    bits = opened.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", 8 * np.dtype(opened.dtypes[band - 1]).itemsize)
    return int(bits)


def _colours(opened: Any) -> tuple[int, ...]:
    """Return the bands that a file calls red, green and blue, else its only three or its only one beside alpha."""
    meaning = _meaning(opened)
    if {"red", "green", "blue"} <= set(meaning):
        return tuple(meaning.index(colour) + 1 for colour in ("red", "green", "blue"))
    others = tuple(band for band, what in enumerate(meaning, 1) if what != "alpha")
    if len(others) not in (1, 3):
        raise UnreadableImage(NO_BANDS, f"{opened.count} bands")
    return others


def _by_palette(opened: Any, reading: Reading) -> Image.Image:
    """Look the colours up. GDAL gives 1-bit images, and grey ones from white to black, a palette too."""
    table = np.zeros((2 ** _bits(opened, 1), 3), np.uint8)
    for value, colour in opened.colormap(1).items():
        table[value] = colour[:3]
    index, nodata = opened.read(1), opened.nodatavals[0]
    colours = table[index]
    if nodata is not None:
        colours[index == nodata] = 0
    if reading.bands is not None:
        bands = chosen_bands(reading, 3)
        colours = colours[..., [band - 1 for band in (bands if len(bands) == 3 else bands * 3)]]
        return Image.fromarray(np.ascontiguousarray(colours))
    return _seen(opened, Image.fromarray(colours))


def _seen(opened: Any, made: Image.Image) -> Image.Image:
    """Return an image black where it is transparent, by the share that its alpha says."""
    meaning = _meaning(opened)
    if "alpha" not in meaning:
        return made
    alpha = opened.read(meaning.index("alpha") + 1)
    top = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1.0
    return Image.composite(made, Image.new("RGB", made.size), Image.fromarray(_stretched(alpha, 0.0, float(top))))


def _stretched(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Return 255 (v - black) / (white - black), rounded, in [0, 255]; 0 for NaN. Rows go in parts: float64 takes room."""
    out = np.empty(values.shape, np.uint8)
    step = max(1, 2**20 // max(1, values.shape[1]))
    for start in range(0, len(values), step):
        share = (values[start : start + step].astype(np.float64) - black) / (white - black)
        out[start : start + step] = np.rint(255 * np.nan_to_num(share, nan=0, posinf=1, neginf=0).clip(0, 1))
    return out
