"""The images of some rows of the catalogue, decoded once into a file of a stage's progress."""

import logging
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from cspops.data import arrays
from cspops.data.catalogue import read_images
from cspops.data.overhead import overhead_reading, read_overhead_images
from cspops.errors import EnvironmentProblem
from cspops.pipeline.pieces import Shards
from cspops.pixels.decoding import squares
from cspops.pixels.reading import Reading, image_root
from cspops.pixels.tensors import by_path, read_reading
from cspops.pixels.workers import Workers
from cspops.shapes import Tensor, UInt8
from cspops.site import Site

log = logging.getLogger(__name__)

SHARD = 4096
ON_DEVICE = 2**30
"""Most bytes of pixels that are kept on the network's device."""


@dataclass(frozen=True)
class Column:
    """Which images of the catalogue are meant, and how they become RGB."""

    read: Callable[[Path, range], pa.Table]
    """From the folder of stage download and consecutive rows to a table as `catalogue.read_images` returns it."""
    reading: Callable[[Path], Reading]


PHOTOS = Column(read_images, read_reading)
OVERHEAD = Column(read_overhead_images, overhead_reading)


@dataclass(frozen=True)
class Squares:
    """How images become squares."""

    px: int
    crop: float | None = 1.0
    """Share of an image's shorter side that the square keeps, see `decoding.squares`."""
    interpolation: str = "bicubic"
    """How squares are resized."""


def decoded(
    rows: np.ndarray,
    square: Squares,
    site: Site,
    *,
    stage: str,
    kind: str,
    otherwise: str,
    column: Column = PHOTOS,
) -> UInt8[Tensor, "n px px 3"]:
    """Return the centre squares of increasing ``rows``, memory-mapped, as they may exceed the memory.

    Of several processes the first one of each machine makes them.

    Args:
        stage: its name in lines of progress.
        kind: what the images are, for example `training images`.
        otherwise: a setting of params.yaml that needs no room on the disk.
        column: which images; other ones need another scratch folder.

    Raises:
        EnvironmentProblem: the disk has no room for them.
    """
    with site.processes.first_of_each_node():
        return _decoded(rows, square, site, stage, kind, otherwise, column)


def _decoded(
    rows: np.ndarray, square: Squares, site: Site, stage: str, kind: str, otherwise: str, column: Column
) -> UInt8[Tensor, "n px px 3"]:
    download = site.inputs["download"]
    file, shape = site.scratch / "pixels.npy", (len(rows), square.px, square.px, 3)
    shards = Shards(site.scratch, len(rows), SHARD)
    out = arrays.begun(file, shape, "uint8")
    if out is None:
        need, free = math.prod(shape), shutil.disk_usage(site.scratch).free
        if need > free:
            raise EnvironmentProblem(
                f"{len(rows)} {kind} of {square.px} px take {need} bytes, and {site.scratch} has {free} free",
                hint=f"make room there, or set a smaller image_encoder.px or {otherwise} in params.yaml",
            )
        shards.forget()
        out = arrays.new(file, shape, "uint8")
    reading = column.reading(download)
    root = image_root(reading, raw=site.raw, data_root=site.host.data_root)
    blocks = (_block(download, rows[shard.start : shard.stop], column) for shard in shards.left())
    with Workers(site.host.decoders(by_path=by_path(download))) as workers:
        pixels = squares(blocks, root=root, reading=reading, map=workers.map, **asdict(square))
        for shard in shards.left():
            for row in shard:
                out[row] = next(pixels)
            out.flush()
            shards.finish(shard)
            log.info(f"{stage}: {shard.stop} of {len(rows)} images decoded")
    return torch.from_numpy(out)


def on_device(pixels: UInt8[Tensor, "n px px 3"], device: torch.device) -> UInt8[Tensor, "n px px 3"]:
    """Return the pixels, on ``device`` where they are few."""
    return pixels.to(device) if pixels.nbytes <= ON_DEVICE else pixels


def _block(download: Path, rows: np.ndarray, column: Column) -> tuple[list[int], pa.Table]:
    """Return increasing rows of the catalogue and their images."""
    return rows.tolist(), column.read(download, range(rows[0], rows[-1] + 1)).take(rows - rows[0])
