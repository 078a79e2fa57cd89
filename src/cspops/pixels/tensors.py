"""From the catalogue's images to pixels for a network."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import ConfigDict

from cspops.artefacts import json_as
from cspops.pixels.decoding import squares
from cspops.pixels.reading import Reading, ReadingFacts
from cspops.pixels.workers import Map
from cspops.shapes import Tensor, UInt8


class _ReadingOfCatalogue(ReadingFacts):
    """All fields of a `Reading`, and no other."""

    model_config = ConfigDict(extra="forbid")
    root: Literal["data", "data_root"]
    folder: str


def read_reading(folder: Path) -> Reading:
    """Read from images.json how the images of the catalogue in ``folder`` are read."""
    facts: ReadingFacts = json_as(folder / "images.json", _ReadingOfCatalogue, remake="dvc repro -f download")
    return facts.reading()


def by_path(folder: Path) -> bool:
    """Return whether the catalogue in ``folder`` names its images by path and holds no bytes."""
    about = pq.read_metadata(folder / "observations.parquet")
    place = next(i for i in range(about.num_columns) if about.schema.column(i).path == "image.bytes")
    columns = [about.row_group(group).column(place) for group in range(about.num_row_groups)]
    return all(one.statistics is not None and one.statistics.num_values == 0 for one in columns)


def decode(images: pa.Table, *, px: int, root: Path, reading: Reading, map: Map = map) -> UInt8[Tensor, "n px px 3"]:
    """Decode the centre square of every image, see `decoding.squares`; rows are counted from 0."""
    return stacked(squares([(range(len(images)), images)], px=px, root=root, reading=reading, map=map), len(images), px)


def stacked(pixels: Iterator[np.ndarray], n: int, px: int) -> UInt8[Tensor, "n px px 3"]:
    """Stack the next ``n`` squares into one tensor."""
    out = np.empty((n, px, px, 3), np.uint8)
    for row, image in enumerate(islice(pixels, n)):
        out[row] = image
    return torch.from_numpy(out)
