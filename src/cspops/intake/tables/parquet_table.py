"""Parquet and GeoParquet, in batches that bytes of images do not blow up."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cspops.errors import DataError
from cspops.intake.tables.geometry import ToDegrees, centroid_remark, positions_of_wkb, to_degrees, unknown_system_remark
from cspops.intake.tables.records import Records

BATCH = 50_000
BATCH_BYTES = 1 << 26

DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What reading a Parquet file that is broken or cut off raises."""


class ParquetTable:
    """A table, see `table_files.Table`. DataError where the file is no Parquet, damaged, or its geometry unknown."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.remarks: list[str] = []
        try:
            with pq.ParquetFile(file) as opened:
                self.names: list[str] = opened.schema_arrow.names
                geo = (opened.metadata.metadata or {}).get(b"geo")
        except DAMAGED as error:
            raise DataError(
                f"{file.name} is damaged or not Parquet: {str(error)[:120]}", hint="save it again, or as CSV"
            ) from None
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise DataError(f"{file.name} has the column {twice[0]!r} more than once", hint="rename one of them")
        self.geometry: str | None = None
        self.degrees: ToDegrees | None = None
        if geo is not None:
            self.geometry, self.degrees = self._read_geo(geo)
        self.has_geometry = self.geometry is not None

    def _read_geo(self, geo: bytes) -> tuple[str, ToDegrees | None]:
        """Return the column with the positions and the way from its reference system; x is always east or longitude."""
        try:
            about = json.loads(geo)
            name: str = about["primary_column"]
            column: dict[str, Any] = about["columns"][name]
            encoding: str = column["encoding"]
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{self.file.name}: its GeoParquet metadata is broken") from None
        if name not in self.names:
            raise DataError(f"{self.file.name}: its GeoParquet metadata names a column {name!r} that is not there")
        if encoding not in ("WKB", "point"):
            raise DataError(
                f"{self.file.name}: its geometry is encoded as {encoding!r}, which is not read",
                hint="write it with the encoding WKB",
            )
        crs = column.get("crs", "OGC:CRS84")
        if crs is None:
            self.remarks.append(unknown_system_remark(self.file.name))
            return name, None
        return name, to_degrees(crs, self.file.name)

    def records(self, wanted: Collection[str]) -> Iterator[Records]:
        """Yield all rows."""
        number, centroids = 1, 0
        needed = list(dict.fromkeys([*wanted, *([self.geometry] if self.geometry else [])]))
        try:
            with pq.ParquetFile(self.file, buffer_size=1 << 20) as opened:
                for rows in opened.iter_batches(_batch_rows(opened, needed), columns=needed):
                    rows.validate(full=True)  # text that is not UTF-8 would fail far from here
                    reasons: dict[int, tuple[str, str]] = {}
                    lonlat = None
                    if self.geometry:
                        lonlat, more = self._positions(rows.column(self.geometry), reasons)
                        centroids += more
                    numbers = pa.array(np.arange(number, number + len(rows)))
                    yield Records(numbers, {name: rows.column(name) for name in wanted}, lonlat, reasons)
                    number += len(rows)
        except DAMAGED as error:
            raise DataError(f"{self.file.name} is damaged after row {number - 1}: {str(error)[:120]}") from None
        if centroids:
            self.remarks.append(centroid_remark(self.file.name, centroids))

    def _positions(self, geometry: pa.Array, reasons: dict[int, tuple[str, str]]) -> tuple[tuple[pa.Array, pa.Array], int]:
        if not pa.types.is_struct(geometry.type):
            made = positions_of_wkb(geometry, self.degrees)
            reasons |= {i: (why, f"{len(geometry[i].as_py())} bytes") for i, why in made.reasons.items()}
            return _lonlat(made.lon, made.lat), made.centroids
        x, y = (part.cast(pa.float64()).to_numpy(zero_copy_only=False) for part in geometry.flatten()[:2])
        lon, lat = self.degrees(x, y) if self.degrees else (x, y)
        nowhere = np.isnan(x) | np.isnan(y)
        return _lonlat(np.where(nowhere, np.nan, lon), np.where(nowhere, np.nan, lat)), 0


def _lonlat(lon: np.ndarray, lat: np.ndarray) -> tuple[pa.Array, pa.Array]:
    """Return columns that are null where there is no position."""
    return pa.array(lon, mask=np.isnan(lon)), pa.array(lat, mask=np.isnan(lat))


def _batch_rows(opened: pq.ParquetFile, columns: list[str]) -> int:
    """Return so many rows that a batch holds some `BATCH_BYTES`, by the file's own account of its columns."""
    size = 0
    for group in range(opened.metadata.num_row_groups):
        about = opened.metadata.row_group(group)
        parts = (about.column(i) for i in range(about.num_columns))
        size += sum(part.total_uncompressed_size for part in parts if part.path_in_schema.split(".")[0] in columns)
    rows = max(opened.metadata.num_rows, 1)
    return int(min(BATCH, max(1, BATCH_BYTES * rows // max(size, 1))))
