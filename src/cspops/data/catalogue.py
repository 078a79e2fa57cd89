"""The catalogue: one table of observations that every later stage reads, and the rows that did not get in.

`observations.parquet` follows the Hugging Face datasets convention for images: a struct of `bytes` and `path`,
either of which may be null. Every row of a source ends in exactly one of the two tables: nothing is lost silently.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from cspops.data.rows import CROP, GIVEN_FEATURES, IMAGE
from cspops.errors import DataError
from cspops.shapes import Float, Int, Tensor

SCHEMA = pa.schema(
    [
        pa.field("obs_id", pa.string(), nullable=False),
        pa.field("lon", pa.float64()),
        pa.field("lat", pa.float64()),
        pa.field("label", pa.int32()),
        pa.field("captured_at", pa.timestamp("ms", tz="UTC")),
        pa.field("location_id", pa.string()),
        pa.field("official_split", pa.string()),
        pa.field("image", IMAGE),
    ]
)
"""Longitude in [-180, 180) and latitude in [-90, 90], degrees WGS84, or both null; label dense from 0, or null."""

OPTIONAL = pa.schema([("image_sha256", pa.string()), ("crop", CROP), ("image_features", GIVEN_FEATURES)])
"""Further columns of a catalogue, each there only when its source gives it; described in `rows`."""

REJECTED_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("where", pa.string()),
        ("obs_id", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)
"""`row` counts the source's rows from 0; `where`, `reason` and `detail` are described in `rows.ROWS`."""


@dataclass(frozen=True)
class Catalogue:
    """What `validate` makes of a source's rows."""

    observations: pa.Table
    rejected: pa.Table
    classes: list[str]

    def reasons(self) -> dict[str, int]:
        """How many rows were set aside for which reason, commonest first."""
        return dict(Counter(self.rejected["reason"].to_pylist()).most_common())


def validate(rows: pa.Table, *, min_class_size: int = 1) -> Catalogue:
    """Sort a source's rows into observations and rejected rows.

    Args:
        rows: columns of `SCHEMA` with two differences: `label` is the class's name, and a missing column counts as
            null. Longitudes in [-180, 360] are brought into [-180, 180).
        min_class_size: labelled rows of a class that has fewer are set aside.
    """
    n = len(rows)
    if "obs_id" not in rows.column_names:
        raise DataError("the source's rows have no column obs_id")
    full = pa.table({field.name: _column(rows, field.name) for field in SCHEMA})
    reason = np.full(n, None, dtype=object)

    def reject(where: np.ndarray, why: str) -> None:
        reason[where & (reason == None)] = why  # noqa: E711  (elementwise)

    ids = pc.cast(full["obs_id"], pa.string())
    reject(pc.is_null(ids).to_numpy(), "obs_id is missing")
    codes = pc.dictionary_encode(ids, null_encoding="encode").combine_chunks().indices.to_numpy()
    seen_before = np.ones(n, dtype=bool)
    seen_before[np.unique(codes, return_index=True)[1]] = False
    reject(seen_before, "obs_id is used by an earlier row")

    lon, lat = _floats(full["lon"]), _floats(full["lat"])
    no_lon, no_lat = pc.is_null(full["lon"]).to_numpy(), pc.is_null(full["lat"]).to_numpy()
    reject(no_lon != no_lat, "only one of longitude and latitude is given")
    given = ~no_lon & ~no_lat
    reject(given & ~(np.isfinite(lon) & np.isfinite(lat)), "position is not a finite number")
    reject(given & ((lat < -90) | (lat > 90)), "latitude is outside [-90, 90]")
    reject(given & ((lon < -180) | (lon > 360)), "longitude is outside [-180, 360]")
    lon = np.where(lon >= 180, lon - 360, lon)

    image = full["image"].combine_chunks()
    no_bytes = pc.is_null(pc.struct_field(image, "bytes")).to_numpy(zero_copy_only=False)
    no_path = pc.is_null(pc.struct_field(image, "path")).to_numpy(zero_copy_only=False)
    reject(no_bytes & no_path, "no image: neither bytes nor path")

    labels = pc.cast(full["label"], pa.string())
    good = pa.array(reason == None)  # noqa: E711
    sizes = {
        item["values"]: item["counts"]
        for item in pc.value_counts(labels.filter(good)).to_pylist()
        if item["values"] is not None
    }
    small = sorted(name for name, size in sizes.items() if size < min_class_size)
    if small:
        in_small = pc.is_in(labels, pa.array(small, pa.string())).to_numpy()
        reject(in_small, f"its class has fewer than {min_class_size} observations")
    classes = sorted(set(sizes) - set(small))

    keep = pa.array(reason == None)  # noqa: E711
    observations = (
        full.set_column(1, "lon", _nullable(lon, ~given))
        .set_column(2, "lat", _nullable(lat, ~given))
        .set_column(3, "label", pc.index_in(labels, pa.array(classes, pa.string())))
        .filter(keep)
        .cast(SCHEMA)
    )
    out = np.flatnonzero(reason != None)  # noqa: E711
    rejected = pa.table({"row": out, "obs_id": ids.take(out), "reason": reason[out]}, schema=REJECTED_SCHEMA)
    return Catalogue(observations, rejected, classes)


def write_catalogue(catalogue: Catalogue, folder: Path) -> None:
    """Write observations.parquet, rejected.parquet and classes.json into ``folder``."""
    pq.write_table(catalogue.observations, folder / "observations.parquet", compression="zstd", row_group_size=8192)
    pq.write_table(catalogue.rejected, folder / "rejected.parquet", compression="zstd")
    (folder / "classes.json").write_text(json.dumps(catalogue.classes, indent=1, ensure_ascii=False) + "\n")


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

    @property
    def located(self) -> Tensor:
        """Which rows have a position."""
        return ~self.lonlat.isnan().any(1)


def read_observations(folder: Path) -> Observations:
    """Read the catalogue without its images and check its invariants; DataError names what is broken."""
    file = folder / "observations.parquet"
    table = pq.read_table(file, columns=["obs_id", "lon", "lat", "label", "official_split"])
    classes: list[str] = json.loads((folder / "classes.json").read_text())
    obs_id: list[str] = table["obs_id"].to_pylist()
    lonlat = torch.from_numpy(np.stack((_floats(table["lon"]), _floats(table["lat"])), 1))
    label = torch.from_numpy(table["label"].fill_null(-1).to_numpy().astype(np.int64))
    lon, lat = lonlat.unbind(1)
    remake = "dvc repro download"
    if len(set(obs_id)) != len(obs_id):
        raise DataError(f"{file}: obs_id is not unique", hint=remake)
    if bool((lon.isnan() != lat.isnan()).any()) or bool(((lon < -180) | (lon >= 180) | (lat.abs() > 90)).any()):
        raise DataError(f"{file}: a position lies outside [-180, 180) x [-90, 90]", hint=remake)
    if len(label) and int(label.max()) >= len(classes):
        raise DataError(f"{file}: label {int(label.max())} is not among the {len(classes)} of classes.json", hint=remake)
    if len(label) and bool((table["label"].drop_null().to_numpy() < 0).any()):
        raise DataError(f"{file}: label {int(label.min())} is below 0", hint=remake)
    return Observations(obs_id, lonlat, label, table["official_split"].to_pylist(), classes)


def read_images(folder: Path, rows: range) -> pa.Table:
    """Columns image and, where the catalogue has them, crop and image_features of consecutive rows."""
    file = pq.ParquetFile(folder / "observations.parquet")
    columns = [name for name in ("image", "crop", "image_features") if name in file.schema_arrow.names]
    parts, start = [], 0
    for group in range(file.num_row_groups):
        stop = start + file.metadata.row_group(group).num_rows
        if start < rows.stop and rows.start < stop:
            table = file.read_row_group(group, columns=columns)
            low, high = max(rows.start, start) - start, min(rows.stop, stop) - start
            parts.append(table.slice(low, high - low))
        start = stop
    empty = pa.table({name: pa.array([], file.schema_arrow.field(name).type) for name in columns})
    return pa.concat_tables([empty, *parts]).combine_chunks()


def _column(rows: pa.Table, name: str) -> pa.ChunkedArray:
    return rows[name] if name in rows.column_names else pa.chunked_array([pa.nulls(len(rows), SCHEMA.field(name).type)])


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers with nan for null."""
    numbers: np.ndarray = pc.cast(column, pa.float64()).fill_null(float("nan")).to_numpy().copy()
    return numbers


def _nullable(values: np.ndarray, null: np.ndarray) -> pa.Array:
    return pa.array(values, pa.float64(), mask=null)
