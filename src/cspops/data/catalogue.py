"""The catalogue, read: the table of observations that every later stage starts from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from cspops.artefacts import json_as, read_columns
from cspops.data.dates import NO_DATE, share_of_year
from cspops.data.schemas import SCHEMA
from cspops.errors import DataError
from cspops.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class Observations:
    """The columns of the catalogue that the later stages compute with; row i of each belongs to observation i."""

    obs_id: list[str]
    lonlat: Float[Tensor, "n 2"]
    """Degrees, longitude first; nan where the position is missing."""
    label: Int[Tensor, "n"]
    """-1 where the label is missing."""
    official_split: list[str | None]
    classes: list[str]
    when: Float[Tensor, "n"]
    """Shares of the year, see `dates`; nan where the date is missing."""

    @property
    def located(self) -> Tensor:
        """Which rows have a position."""
        return ~self.lonlat.isnan().any(1)


CLASSES = "classes.json"
"""The names of the classes, in the order of their numbers."""
REMAKE = "dvc repro download"


def read_classes(file: Path, count: int | None = None, *, remake: str = REMAKE) -> tuple[str, ...]:
    """Read the names of the classes; DataError where the file holds something else, or not ``count`` of them."""
    names: list[str] = json_as(file, list[str], remake=remake)
    if count is not None and len(names) != count:
        raise DataError(f"{file} names {len(names):,} classes, and the model has {count:,}", hint=remake)
    return tuple(names)


def read_observations(folder: Path) -> Observations:
    """Read the catalogue without its images and check its invariants; DataError names what is broken."""
    file = folder / "observations.parquet"
    columns = pa.schema([SCHEMA.field(name) for name in ("obs_id", "lon", "lat", "label", "captured_at", "official_split")])
    table = read_columns(file, columns, remake=REMAKE)
    classes = list(read_classes(folder / CLASSES))
    obs_id: list[str] = table["obs_id"].to_pylist()
    lonlat = torch.from_numpy(np.stack((floats(table["lon"]), floats(table["lat"])), 1))
    label = torch.from_numpy(table["label"].fill_null(-1).to_numpy().astype(np.int64))
    lon, lat = lonlat.unbind(1)
    if len(set(obs_id)) != len(obs_id):
        raise DataError(f"{file}: obs_id is not unique", hint=REMAKE)
    if bool((lon.isnan() != lat.isnan()).any()) or bool(((lon < -180) | (lon >= 180) | (lat.abs() > 90)).any()):
        raise DataError(f"{file}: a position lies outside [-180, 180) x [-90, 90]", hint=REMAKE)
    if len(label) and int(label.max()) >= len(classes):
        raise DataError(f"{file}: label {int(label.max())} is not among the {len(classes)} of classes.json", hint=REMAKE)
    if len(label) and bool((table["label"].drop_null().to_numpy() < 0).any()):
        raise DataError(f"{file}: label {int(label.min())} is below 0", hint=REMAKE)
    when = share_of_year(milliseconds(table["captured_at"]))
    return Observations(obs_id, lonlat, label, table["official_split"].to_pylist(), classes, when)


def read_images(folder: Path, rows: range) -> pa.Table:
    """Read the columns image and, where the catalogue has them, crop and image_features of consecutive rows."""
    return read_rows(folder / "observations.parquet", ("image", "crop", "image_features"), rows)


def read_rows(file: Path, columns: Sequence[str], rows: range) -> pa.Table:
    """Read those of ``columns`` that a Parquet file has, of consecutive rows; other row groups are not read."""
    parquet = pq.ParquetFile(file)
    columns = [name for name in columns if name in parquet.schema_arrow.names]
    parts, start = [parquet.schema_arrow.empty_table().select(columns)], 0
    for group in range(parquet.num_row_groups):
        stop = start + parquet.metadata.row_group(group).num_rows
        if start < rows.stop and rows.start < stop:
            low, high = max(rows.start, start) - start, min(rows.stop, stop) - start
            parts.append(parquet.read_row_group(group, columns=columns).slice(low, high - low))
        start = stop
    return pa.concat_tables(parts).combine_chunks()


def floats(column: pa.ChunkedArray) -> np.ndarray:
    """Return numbers with nan for null."""
    numbers: np.ndarray = pc.cast(column, pa.float64()).fill_null(float("nan")).to_numpy().copy()
    return numbers


def milliseconds(captured_at: pa.ChunkedArray) -> Int[Tensor, "n"]:
    """Return dates as milliseconds since 1970 in UTC, with `NO_DATE` for null."""
    return torch.from_numpy(captured_at.cast(pa.int64()).fill_null(NO_DATE).to_numpy().astype(np.int64))


@dataclass(frozen=True)
class Captures:
    """Where and when images were captured; row i of each column belongs to observation i of the catalogue."""

    obs_id: list[str]
    lonlat: Float[Tensor, "n 2"]
    """Degrees, longitude first; nan where the position is missing."""
    place: Int[Tensor, "n"]
    """A number for each `location_id`, by its first row; -1 where it is missing."""
    captured_at: Int[Tensor, "n"]
    """Milliseconds since 1970 in UTC; `NO_DATE` where the date is missing."""


def read_captures(folder: Path) -> Captures:
    """Read these columns of the catalogue, and no other."""
    columns = pa.schema([SCHEMA.field(name) for name in ("obs_id", "lon", "lat", "location_id", "captured_at")])
    table = read_columns(folder / "observations.parquet", columns, remake=REMAKE)
    place = table["location_id"].combine_chunks().dictionary_encode().indices.fill_null(-1)
    return Captures(
        table["obs_id"].to_pylist(),
        torch.from_numpy(np.stack([floats(table[name]) for name in ("lon", "lat")], 1)),
        torch.from_numpy(place.to_numpy(zero_copy_only=False).astype(np.int64)),
        milliseconds(table["captured_at"]),
    )
