"""Positions in one column of text: well-known text (`POINT (8.5 47.3)`), or the geopoints of field forms (`47.3 8.5 400 4`)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cspops.errors import DataError
from cspops.intake.tables.columns import listed_columns, usual_pair
from cspops.intake.tables.geometry import centroid_remark, positions_of_wkt
from cspops.intake.tables.records import Records
from cspops.intake.tables.table_files import Table
from cspops.intake.tables.values import as_text, decoded, degrees, given, is_text

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
GEOPOINT = rf"^(?P<lat>{NUMBER})\s+(?P<lon>{NUMBER})\s+{NUMBER}\s+{NUMBER}$"
"""Latitude, longitude, altitude and accuracy, as ODK and KoboToolbox export a question of the type geopoint."""
WKT = r"(?i)^(?:SRID\s*=\s*4326\s*;\s*)?"
POINT = rf"{WKT}POINT\s*(?:ZM|Z|M)?\s*\(\s*(?P<lon>{NUMBER})\s+(?P<lat>{NUMBER})(?:\s+{NUMBER}){{0,2}}\s*\)$"
GEOMETRY = rf"{WKT}(?:MULTI)?(?:POINT|LINESTRING|POLYGON|GEOMETRYCOLLECTION)\s*(?:ZM|Z|M)?\s*(?:\(|EMPTY)"
PREFIX = r"(?i)^SRID\s*=\s*4326\s*;\s*"

SAMPLE = 1000
"""Rows that tell whether a column holds points."""
MOST = 0.9


class Points(NamedTuple):
    """A column's points, one item per row."""

    lon: pa.Array
    """Degrees as text; null where there is none, and the whole text where it is no point."""
    lat: pa.Array
    centroids: int
    """How many are centroids of other geometries."""


def point_column(table: Table, names: Sequence[str], *, key: str | None) -> str | None:
    """Return which of these columns holds points, by its first rows, with a remark; DataError where several do.

    ``key`` as in `pick_columns`.
    """
    remarks = len(table.remarks)
    try:
        first = next(table.records(names), None) if names else None
    except DataError:  # of a damaged column, which is not read otherwise
        first = None
    del table.remarks[remarks:]  # which the reading proper repeats
    columns = {} if first is None else first.columns
    holding = [name for name, values in columns.items() if _holds_points(decoded(values[:SAMPLE]))]
    if len(holding) > 1:
        raise DataError(
            f"{table.file.name}: the columns {' and '.join(map(repr, holding))} both hold points",
            hint=f"name one for both axes in params.yaml: {key}.lon, {key}.lat" if key else "leave one of them out",
        )
    if not holding:
        return None
    table.remarks.append(f"{table.file.name}: positions are read from the column {holding[0]!r}")
    return holding[0]


def _holds_points(values: pa.Array) -> bool:
    if not is_text(values.type):
        return False
    text = given(values.cast(pa.string())).drop_null()
    if not len(text):
        return False
    if (pc.sum(pc.match_substring_regex(text, GEOMETRY)).as_py() or 0) >= MOST * len(text):
        return True
    parts = pc.extract_regex(text, GEOPOINT)
    found = parts.drop_null()
    if len(found) < MOST * len(text):
        return False
    lat, lon = (pc.struct_field(found, axis).cast(pa.float64()).to_numpy() for axis in ("lat", "lon"))
    fractions = np.mean(lat % 1 != 0) >= 0.5 and np.mean(lon % 1 != 0) >= 0.5  # boxes of pixels have four numbers as well
    shares = (np.abs(lat) <= 1).all() and (np.abs(lon) <= 1).all()  # and so have boxes in shares of an image
    return bool(fractions and not shares and (np.abs(lat) <= 90).all() and (np.abs(lon) <= 180).all())


def read_points(values: pa.Array, *, what: str) -> Points:
    """Read a column of well-known text (degrees WGS84, longitude first) or geopoints; ``what`` names it in errors."""
    text = given(as_text(values, what))
    forms = [pc.extract_regex(text, pattern) for pattern in (POINT, GEOPOINT)]
    lon, lat = (pc.coalesce(*(pc.struct_field(form, axis) for form in forms)) for axis in ("lon", "lat"))
    others = np.flatnonzero(pc.and_(pc.is_valid(text), pc.is_null(lon)).to_numpy(zero_copy_only=False))
    if not len(others):
        return Points(lon, lat, 0)
    texts = text.take(pa.array(others))
    x, y, unread, centroids = _centres(texts)
    read = [_replaced(axis, others, number, texts, unread) for axis, number in ((lon, x), (lat, y))]
    return Points(read[0], read[1], centroids)


def _centres(texts: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return longitudes and latitudes, nan for empty geometries, which texts are none, and how many are centroids."""
    found = positions_of_wkt(pc.replace_substring_regex(texts, PREFIX, ""))
    return found.lon, found.lat, np.isin(np.arange(len(texts)), list(found.reasons)), found.centroids


def _replaced(axis: pa.Array, rows: np.ndarray, numbers: np.ndarray, texts: pa.Array, unread: np.ndarray) -> pa.Array:
    """Return an axis with these numbers at these rows, null for nan, and the text where it could not be read."""
    new = pc.if_else(pa.array(unread), texts, pa.array(numbers, mask=np.isnan(numbers)).cast(pa.string()))
    mask = np.zeros(len(axis), bool)
    mask[rows] = True
    return pc.replace_with_mask(axis, pa.array(mask), new)


class PositionReader:
    """Reads the positions of a table's records, and counts what it remarks on."""

    def __init__(self, file_name: str, names: Sequence[str]) -> None:
        """Take the columns of longitude and latitude, one name twice for a column of points; empty: the geometries."""
        self.file_name, self.names = file_name, names
        self.centroids = 0

    def read(self, records: Records) -> tuple[pa.Array, pa.Array] | None:
        """Return both as `values.degrees` does; None where the table gives no positions."""
        if not self.names:
            return None if records.lonlat is None else degrees(*records.lonlat, what=self.file_name)
        lon, lat = self.names
        if lon != lat:
            what = f"{self.file_name}: the column {lon!r} or {lat!r}"
            return degrees(records.columns[lon], records.columns[lat], what=what)
        points = read_points(records.columns[lon], what=f"{self.file_name}: column {lon!r}")
        self.centroids += points.centroids
        return points.lon, points.lat

    def remarks(self) -> list[str]:
        """Return what is to be said after the last record."""
        return [centroid_remark(self.file_name, self.centroids)] if self.centroids else []


def position_columns(table: Table) -> tuple[str, ...]:
    """Return the columns of longitude and latitude of a table that is read for its positions alone, as `PositionReader` takes.

    DataError where it has none, or several fit.
    """
    if table.has_geometry:
        return ()
    name = table.file.name
    pair = usual_pair(table.names, table=name, remarks=table.remarks)
    if not pair and (column := point_column(table, table.names, key=None)):
        pair = column, column
    if not table.names:
        raise DataError(f"{name} has no row and no column", hint="name a table with columns for longitude and latitude")
    if not pair:
        raise DataError(
            f"{name}: no column is known as lon or lat, and none holds points",
            hint=f"rename two to lon and lat; {listed_columns(table.names)}",
        )
    return pair
