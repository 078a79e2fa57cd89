"""Whole images as squares of pixels, squeezed where they are longer one way: what has a footprint may not be cut."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from cspops.pixels.decoding import Item, _items, _square
from cspops.pixels.reading import Reading
from cspops.pixels.rgb import INTERPOLATIONS
from cspops.pixels.workers import Map


def squeezed(
    blocks: Iterable[tuple[Sequence[int], pa.Table]],
    *,
    px: int,
    root: Path,
    readings: tuple[Reading, Reading],
    interpolation: str = "bicubic",
    map: Map = map,
) -> Iterator[np.ndarray]:
    """Return each whole image as uint8 (px, px, 3); of square images the same as `decoding.squares`, which cuts others.

    Arguments and errors are those of `decoding.squares`; tables are such as `data.overhead.read_overhead_images` gives them,
    and readings such as `data.overhead.read_readings`.
    """
    whole = partial(_whole, px=px, interpolation=interpolation)
    return map(partial(_read, cut=whole, root=root, readings=readings), _items_and_whose(blocks))


def _items_and_whose(blocks: Iterable[tuple[Sequence[int], pa.Table]]) -> Iterator[tuple[Item, bool]]:
    for rows, table in blocks:
        yield from zip(_items([(rows, table)]), table["beside"].to_pylist(), strict=True)


def _read(one: tuple[Item, bool], *, readings: tuple[Reading, Reading], **arguments: Any) -> np.ndarray:
    item, beside = one
    return _square(item, reading=readings[beside], **arguments)


def _whole(image: Image.Image, *, px: int, interpolation: str) -> np.ndarray:
    return np.asarray(image if image.size == (px, px) else image.resize((px, px), INTERPOLATIONS[interpolation]))
