"""The catalogue's images as squares of pixels, one after the other. Nothing here needs torch: worker processes import it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from cspops.errors import DataError
from cspops.pixels.reading import Reading
from cspops.pixels.rgb import INTERPOLATIONS, open_rgb, square
from cspops.pixels.unreadable import (
    EMPTY_CROP,
    NO_BANDS,
    NO_RANGE,
    NO_VALUES,
    NOT_THERE,
    TOO_FEW_BANDS,
    UnreadableImage,
    below,
    bytes_and_paths,
    read_file,
)
from cspops.pixels.workers import Map

Item = tuple[int, bytes | None, str | None, dict[str, Any] | None]
"""Row of the catalogue, bytes, path, crop."""


def squares(
    blocks: Iterable[tuple[Sequence[int], pa.Table]],
    *,
    px: int,
    root: Path,
    reading: Reading,
    crop: float | None = 1.0,
    interpolation: str = "bicubic",
    map: Map = map,
) -> Iterator[np.ndarray]:
    """Return the centre square of each image as uint8 (px, px, 3), decoded when it is taken or, by workers, before.

    Args:
        blocks: rows of the catalogue and their columns as `catalogue.read_images` gives them, taken as they are needed.
        px: side in pixels.
        root: the folder below which paths lie.
        reading: see `pixels`.
        crop: share of an image's shorter side that the square keeps, see `pixels.square`; None squeezes the whole image into
            it, as what has a footprint may not be cut.
        interpolation: one of `pixels.INTERPOLATIONS`.
        map: such as `workers.Workers.map`.

    Raises:
        DataError: an image cannot be used; it is named by its path, or by its row when its bytes are in the catalogue.
    """
    whole = partial(_whole, px=px, interpolation=interpolation)
    cut = whole if crop is None else partial(square, px=px, crop=crop, interpolation=interpolation)
    return map(partial(_square, cut=cut, root=root, reading=reading), _items(blocks))


def _whole(image: Image.Image, *, px: int, interpolation: str) -> np.ndarray:
    return np.asarray(image if image.size == (px, px) else image.resize((px, px), INTERPOLATIONS[interpolation]))


def _items(blocks: Iterable[tuple[Sequence[int], pa.Table]]) -> Iterator[Item]:
    for rows, table in blocks:
        crops = table["crop"] if "crop" in table.column_names else [pa.scalar(None)] * len(table)
        images = bytes_and_paths(table["image"].combine_chunks())
        for row, (data, path), crop in zip(rows, images, crops, strict=True):
            yield row, data, path, crop.as_py()


def _square(item: Item, *, cut: Callable[[Image.Image], np.ndarray], root: Path, reading: Reading) -> np.ndarray:
    row, data, path, crop = item
    if data is None and path is None:
        raise DataError(f"row {row} of the catalogue has no image", hint="dvc repro -f download")
    try:
        box = None if crop is None else (crop["left"], crop["top"], crop["right"], crop["bottom"])
        if box is not None and None in box:
            raise UnreadableImage(EMPTY_CROP, "a side of it is null")
        content = data if data is not None else read_file(below(root, path or ""))
        return cut(open_rgb(content, reading=reading, crop=box))
    except UnreadableImage as error:
        name = f"in row {row} of the catalogue" if data is not None else str(root / (path or ""))
        raise DataError(f"image {name} cannot be used: {_reason(error, name)}", hint=_way_out(error, reading)) from None


def _reason(error: UnreadableImage, name: str) -> str:
    return error.reason if error.detail == name else str(error)


def _way_out(error: UnreadableImage, reading: Reading) -> str:
    if error.reason == NOT_THERE:
        return (
            "set CSPOPS_DATA_ROOT to the folder of the images"
            if reading.root == "data_root"
            else "put it back below data/, or dvc repro -f download"
        )
    if error.reason in (NO_RANGE, NO_BANDS, NO_VALUES, TOO_FEW_BANDS):
        return "set images.bands, images.black and images.white of the data set in params.yaml"
    return "with inspection: decode of the data set in params.yaml, download sets such images aside"
