"""GeoJSON, as one collection or one feature per line. The columns of a table are the features' properties.

Positions come from the geometries: WGS84 by the standard, another system where a `crs` member, as older files have it,
names one. JSON lines that are no features, such as the `metadata.jsonl` of image folders, are taken as properties.
"""

import json
import math
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cspops.errors import DataError
from cspops.intake.tables.geometry import UNREADABLE, ToDegrees, centroid_remark, json_shape, positions_of_shapes, to_degrees
from cspops.intake.tables.records import Records, column, shortened
from cspops.intake.tables.text_lines import DAMAGED, open_bytes, read_lines

BATCH = 20_000

NAMING = 1000
"""Features whose properties make up the columns."""

NO_JSON = "the line is not JSON"
NO_FEATURE = "the feature is not a JSON object"

Numbered = tuple[int, Any]
"""The number of a feature or line from 1, and its value, or the text of a line that is not JSON."""


class GeoJson:
    """A table, see `table_files.Table`. DataError where the file is no GeoJSON, or its JSON breaks off."""

    def __init__(self, file: Path, *, lines: bool) -> None:
        self.file = file
        self.remarks: list[str] = []
        self.crs: str | None = None
        self._collection: list[Any] | None = None
        if not lines:
            self._collection, self.crs = _read_collection(file)
        first = [value for _, value in islice(self._features([]), NAMING) if isinstance(value, dict)]
        names: dict[str, None] = {}
        for value in first:
            names.update(dict.fromkeys(_properties(value)))
        self.names = list(names)
        self.has_geometry = any(value.get("geometry") is not None for value in first)

    def records(self, wanted: Collection[str]) -> Iterator[Records]:
        """Yield all features."""
        degrees = to_degrees(self.crs, self.file.name) if self.crs else None
        features = self._features(self.remarks)
        centroids = 0
        while batch := list(islice(features, BATCH)):
            reasons: dict[int, tuple[str, str]] = {}
            for i, (_, value) in enumerate(batch):
                if not isinstance(value, dict):
                    broken = isinstance(value, _Broken)
                    reasons[i] = (NO_JSON if broken else NO_FEATURE, shortened(str(value)))
            rows = [_properties(value) if isinstance(value, dict) else {} for _, value in batch]
            columns = {name: column([row.get(name) for row in rows]) for name in wanted}
            lonlat = None
            if self.has_geometry:
                lonlat, more = self._positions(batch, degrees, reasons)
                centroids += more
            yield Records(pa.array([number for number, _ in batch], pa.int64()), columns, lonlat, reasons)
        if centroids:
            self.remarks.append(centroid_remark(self.file.name, centroids))

    def _positions(
        self, batch: list[Numbered], degrees: ToDegrees | None, reasons: dict[int, tuple[str, str]]
    ) -> tuple[tuple[pa.Array, pa.Array], int]:
        xs: list[Any] = [None] * len(batch)
        ys: list[Any] = [None] * len(batch)
        shapes = {}
        for i, (_, value) in enumerate(batch):
            geometry = value.get("geometry") if isinstance(value, dict) else None
            if geometry is None:
                continue
            try:
                if geometry["type"] != "Point":
                    shapes[i] = json_shape(geometry)
                elif geometry["coordinates"]:
                    x, y = geometry["coordinates"][:2]
                    if isinstance(x, list | dict | bool) or isinstance(y, list | dict | bool):
                        raise ValueError
                    xs[i], ys[i] = (x, y) if degrees is None or x is None or y is None else (float(x), float(y))
            except (KeyError, TypeError, ValueError, OverflowError):
                reasons.setdefault(i, (UNREADABLE, _text(geometry)))
        if degrees:
            points = [i for i, (x, y) in enumerate(zip(xs, ys, strict=True)) if x is not None and y is not None]
            lon, lat = degrees(np.array([xs[i] for i in points]), np.array([ys[i] for i in points]))
            for i, x, y in zip(points, lon.tolist(), lat.tolist(), strict=True):
                xs[i], ys[i] = x, y
        made = positions_of_shapes(list(shapes.values()), degrees)
        for at, (i, x, y) in enumerate(zip(shapes, made.lon.tolist(), made.lat.tolist(), strict=True)):
            if at in made.reasons:
                reasons.setdefault(i, (made.reasons[at], _text(batch[i][1]["geometry"])))
            elif not math.isnan(x):
                xs[i], ys[i] = x, y
        return (column(xs), column(ys)), made.centroids

    def _features(self, remarks: list[str]) -> Iterator[Numbered]:
        return _read_lines(self.file, remarks) if self._collection is None else enumerate(self._collection, 1)


class _Broken(str):
    """The text of a line that is not JSON."""


def _text(geometry: Any) -> str:
    return shortened(json.dumps(geometry, ensure_ascii=False))


def _properties(feature: dict[str, Any]) -> dict[str, Any]:
    if feature.get("type") != "Feature" and "properties" not in feature:
        return feature
    properties = feature.get("properties") or {}
    if not isinstance(properties, dict):
        return {}
    return {"id": feature["id"]} | properties if "id" in feature else properties


def _no_constant(word: str) -> None:
    """Read NaN and Infinity, which JSON has not, as null."""


def _read_lines(file: Path, remarks: list[str]) -> Iterator[Numbered]:
    number = 0
    for block in read_lines(file, remarks):
        for number, line in enumerate(block.text, number + 1):  # noqa: B020  (goes on where the last block ended)
            bare = line.strip("\x1e\r\n\t ")
            if bare:
                try:
                    yield number, json.loads(bare, parse_constant=_no_constant)
                except (ValueError, RecursionError):
                    yield number, _Broken(bare)


def _read_collection(file: Path) -> tuple[list[Any], str | None]:
    """Return the features of a collection, or of a file that is one feature, and the name in its `crs` member."""
    try:
        with open_bytes(file) as stream:
            content = json.load(stream, parse_constant=_no_constant)
    except (ValueError, RecursionError, *DAMAGED) as error:
        what = f"{file.name}: the JSON is broken or cut off: {shortened(str(error))}"
        raise DataError(what, hint="save it again, or as CSV") from None
    content = content if isinstance(content, dict) else {}
    features = [content] if content.get("type") == "Feature" else content.get("features")
    if not isinstance(features, list):
        raise DataError(f"{file.name} is JSON without features, not GeoJSON")
    crs = content.get("crs")
    try:
        return features, None if crs is None else str(crs["properties"]["name"])
    except (KeyError, TypeError):
        raise DataError(f"{file.name}: its crs member does not name a reference system") from None
