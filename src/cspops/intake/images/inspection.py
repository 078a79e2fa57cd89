"""Looking at image files while they are taken in."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Literal

import pyarrow as pa

from cspops.intake.rows import Inspected
from cspops.pixels.reading import Reading
from cspops.pixels.rgb import open_rgb
from cspops.pixels.unreadable import UnreadableImage, below, bytes_and_paths, file_size, read_file
from cspops.pixels.workers import Map


def inspect_images(
    images: pa.StructArray, *, root: Path, reading: Reading, how: Literal["decode", "exists"], map: Map = map
) -> Inspected:
    """Return what is wrong with the images of a batch, one item per row, by the sentences of `unreadable.REASONS`.

    Args:
        images: structs of `bytes` and `path` (with /, below ``root``); bytes go first.
        root: nothing outside is opened, see `unreadable.below`.
        reading: how they will be read.
        how: `decode` reads and decodes each to its end; `exists` sees whether it is there and not empty.
        map: of `decode`, such as `workers.Workers.map`.
    """
    look = partial(_inspect, root=root, reading=reading, how=how)
    rows = list(map(look, bytes_and_paths(images)))
    columns = zip(*rows, strict=True) if rows else [[], [], []]
    return Inspected(*(pa.array(column, pa.string()) for column in columns))


def _inspect(
    image: tuple[bytes | None, str | None], *, root: Path, reading: Reading, how: Literal["decode", "exists"]
) -> tuple[str | None, str | None, str | None]:
    """Return sha256, reason and detail of one image."""
    data, path = image
    sha256 = None
    try:
        if data is None:
            if path is None:
                return None, None, None
            file = below(root, path)
            if how == "exists":
                file_size(file)
                return None, None, None
            data = read_file(file)
        sha256 = hashlib.sha256(data).hexdigest()
        if how == "decode" or not data:
            open_rgb(data, reading=reading)
    except UnreadableImage as error:
        return sha256, error.reason, error.detail
    return sha256, None, None
