"""The footprints of the images of a batch, from their files."""

from functools import partial
from pathlib import Path

import pyarrow as pa

from cspops.intake.images.georeference import Footprint, footprint
from cspops.pixels.unreadable import UnreadableImage, below, bytes_and_paths, file_size
from cspops.pixels.workers import Map


def footprints(images: pa.StructArray, *, root: Path, map: Map = map) -> list[Footprint | str]:
    """Return what `footprint` says of each image of a batch; ``root`` and ``map`` as in `inspection.inspect_images`."""
    return list(map(partial(_footprint_of, root=root), bytes_and_paths(images)))


def _footprint_of(image: tuple[bytes | None, str | None], *, root: Path) -> Footprint | str:
    data, path = image
    try:
        if data is None:
            file_size(file := below(root, path or ""))
        return footprint(data if data is not None else file)
    except UnreadableImage as error:
        return error.reason
