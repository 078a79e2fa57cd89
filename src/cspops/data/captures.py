"""Where and when the images of the catalogue were taken: what may be known of them before any label is looked at."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cspops.data.catalogue import floats
from cspops.shapes import Float, Int, Tensor

NO_DATE = -(2**62)


@dataclass(frozen=True)
class Captures:
    """Row i of each belongs to observation i of the catalogue."""

    obs_id: list[str]
    lonlat: Float[Tensor, "n 2"]
    """Degrees, longitude first; nan where the position is missing."""
    place: Int[Tensor, "n"]
    """A number for each `location_id`, by its first row; -1 where it is missing."""
    captured_at: Int[Tensor, "n"]
    """Milliseconds since 1970 in UTC; `NO_DATE` where the date is missing."""


def read_captures(folder: Path) -> Captures:
    """Read these columns of the catalogue, and no other."""
    table = pq.read_table(folder / "observations.parquet", columns=["obs_id", "lon", "lat", "location_id", "captured_at"])
    place = table["location_id"].combine_chunks().dictionary_encode().indices.fill_null(-1)
    captured = table["captured_at"].cast(pa.int64()).fill_null(NO_DATE)
    return Captures(
        table["obs_id"].to_pylist(),
        torch.from_numpy(np.stack([floats(table[name]) for name in ("lon", "lat")], 1)),
        torch.from_numpy(place.to_numpy(zero_copy_only=False).astype(np.int64)),
        torch.from_numpy(captured.to_numpy().astype(np.int64)),
    )
