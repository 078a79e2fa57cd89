"""Values of any number of bits, in any number of bands, as RGB; what Pillow does not read, by rasterio."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from cspops.errors import needed
from cspops.pixels.reading import Reading
from cspops.pixels.unreadable import KIND, NO_BANDS, NO_RANGE, NO_VALUES, TOO_FEW_BANDS, UnreadableImage, refuse_bombs


def by_rasterio(content: bytes, reading: Reading) -> Image.Image:
    """Read the bands of a file that Pillow cannot read, or not with all its bits."""
    rasterio = needed("rasterio", "an image of several bands, or of more than 8 bits per band,")
    from rasterio.enums import ColorInterp
    from rasterio.io import MemoryFile

    # no file beside the image is looked for, and no format that names other files
    with (
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"),
        MemoryFile(content) as memory,
        memory.open(driver=["GTiff", "PNG", "PNM"]) as opened,
    ):
        sizes = [np.dtype(kind).itemsize for kind in opened.dtypes if "complex" not in kind]
        refuse_bombs(opened.width, opened.height, opened.count, size=max(sizes, default=16))
        meaning = list(opened.colorinterp)
        colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
        alpha = None
        if reading.bands is not None:
            bands = chosen_bands(reading, opened.count)
        else:
            if ColorInterp.alpha in meaning:
                alpha = opened.read(meaning.index(ColorInterp.alpha) + 1)
            others = opened.count - (alpha is not None)
            if all(colour in meaning for colour in colours):
                bands = tuple(meaning.index(colour) + 1 for colour in colours)
            elif others in (1, 3):
                bands = tuple(band + 1 for band, what in enumerate(meaning) if what != ColorInterp.alpha)
            else:
                raise UnreadableImage(NO_BANDS, f"{opened.count} bands")
        values = [opened.read(band) for band in bands]
        nodata = [opened.nodatavals[band - 1] for band in bands]
        kinds = {value.dtype.kind for value in values}
        if not kinds <= set("uif"):
            raise UnreadableImage(KIND, f"values of type {values[0].dtype}")
        bits = {int(opened.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", 8 * values[0].itemsize)) for band in bands}
        top = None if "f" in kinds else top_of(max(bits), signed="i" in kinds)
    made = scaled(values, reading, top, nodata)
    if alpha is not None:
        top = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1.0
        seen = Image.fromarray(_stretched(alpha, 0.0, float(top)))
        made = Image.composite(made, Image.new("RGB", made.size), seen)
    return made


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
        bands = values
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


def _stretched(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Return 255 (v - black) / (white - black), rounded, in [0, 255]; 0 for NaN. Rows go in parts: float64 takes room."""
    out = np.empty(values.shape, np.uint8)
    step = max(1, 2**20 // max(1, values.shape[1]))
    for start in range(0, len(values), step):
        share = (values[start : start + step].astype(np.float64) - black) / (white - black)
        out[start : start + step] = np.rint(255 * np.nan_to_num(share, nan=0, posinf=1, neginf=0).clip(0, 1))
    return out
