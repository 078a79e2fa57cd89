"""The overhead image of an observation, beside its photo or instead of one, and the part of the Earth that it shows.

Both columns of observations.parquet are there only when the source gives them. A row has

- a photo and an overhead image, where `overhead` and `overhead_bbox` are given;
- an overhead image alone, where only `overhead_bbox` is: it is the row's `image`;
- neither, where `overhead_bbox` is null.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from cspops.artefacts import json_text_as, read_columns, require_file, whole_parquet
from cspops.data.catalogue import REMAKE, floats, read_rows
from cspops.data.schemas import OVERHEAD, READING
from cspops.errors import DataError
from cspops.pixels.reading import IMAGE, Reading, ReadingFacts
from cspops.pixels.tensors import read_reading
from cspops.shapes import Bool, Float, Tensor


@dataclass(frozen=True)
class Footprints:
    """Which part of the Earth the overhead images show; row i of each belongs to observation i."""

    bbox: Float[Tensor, "n 4"]
    """`BBOX`; nan where there is no overhead image."""
    paired: Bool[Tensor, "n"]
    """Rows with a photo and an overhead image."""
    alone: Bool[Tensor, "n"]
    """Rows whose only image is an overhead image."""


def read_footprints(download: Path) -> Footprints | None:
    """Read the footprints of a catalogue, None where it has none; DataError where one of them cannot be."""
    file = download / "observations.parquet"
    names = _names(file)
    if "overhead_bbox" not in names:
        return None
    table = read_columns(file, pa.schema([OVERHEAD.field("overhead_bbox")]), remake=REMAKE)
    sides = table["overhead_bbox"].combine_chunks()
    bbox = np.stack([floats(pa.chunked_array([one])) for one in sides.flatten()], 1)
    west, south, east, north = bbox.T
    covered = _is_valid(sides)
    wide = (west >= -180) & (west < east) & (west < 180) & (east - west <= 180 + 1e-9)
    high = (south >= -90) & (south < north) & (north <= 90)
    if not (wide & high)[covered].all():
        row = np.flatnonzero(covered & ~(wide & high))[0]
        raise DataError(f"{file}: the footprint of row {row} is none: {bbox[row].tolist()}", hint=REMAKE)
    photo = np.zeros_like(covered)
    if "overhead" in names:  # of the images only the leaf that is short: it says as well whether the struct is null
        photo = _is_valid(pq.ParquetFile(file).read(["overhead.path"])["overhead"])
    return Footprints(*map(torch.from_numpy, (bbox, covered & photo, covered & ~photo)))


def overhead_reading(download: Path) -> Reading:
    """Return how the overhead images of a catalogue are read: beside photos in a way of their own, where they have one.

    Raises:
        DataError: some lie beside photos and others alone, and both are read in different ways.
    """
    images, file = read_reading(download), download / "observations.parquet"
    require_file(file, remake=REMAKE)
    with whole_parquet(file, remake=REMAKE):
        text = (pq.read_metadata(file).metadata or {}).get(READING.encode())
    if text is None:
        return images
    overhead: ReadingFacts = json_text_as(text, ReadingFacts, name=f"{file}: {READING}", remake=REMAKE)
    footprints = read_footprints(download)
    if footprints is not None and footprints.alone.any() and overhead.reading() != images:
        raise DataError(
            f"{int(footprints.alone.sum()):,} overhead images have no photo beside them and would be read as photos are",
            hint="give the same bands, black and white to images and overhead_images in params.yaml",
        )
    return overhead.reading()


def read_overhead_images(download: Path, rows: range) -> pa.Table:
    """Read the overhead images of consecutive rows as a column `image`, null where a row has none.

    `decoding.squares` takes it as from `catalogue.read_images`, with `overhead_reading` and `crop=None`.
    """
    table = read_rows(download / "observations.parquet", ("image", *OVERHEAD.names), rows)
    nothing = pa.chunked_array([pa.nulls(len(table), IMAGE)])
    overhead, bbox = (table[name] if name in table.column_names else nothing for name in OVERHEAD.names)
    image = pc.if_else(pc.is_valid(bbox), table["image"], pa.scalar(None, IMAGE))
    return pa.table({"image": pc.coalesce(overhead, image)})


def _names(file: Path) -> list[str]:
    require_file(file, remake=REMAKE)
    with whole_parquet(file, remake=REMAKE):
        names: list[str] = pq.read_schema(file).names
    return names


def _is_valid(column: "pa.Array | pa.ChunkedArray") -> np.ndarray:
    """Return which items are not null."""
    valid: np.ndarray = np.asarray(column.is_valid())
    return valid
