"""GeoJSON, as one collection (streamed) or a feature a line. The columns of a table are the features' properties.

Positions come from the geometries: WGS84 by the standard, another system where a `crs` member, as older files have it,
names one. JSON lines that are no features, such as the `metadata.jsonl` of image folders, are taken as properties.
"""

import json
from collections.abc import Collection, Iterator
from io import BufferedIOBase
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cspops.errors import DataError
from cspops.intake.strict_json import StrictJson
from cspops.intake.tables.geometry import UNREADABLE, ToDegrees, centroid_remark, json_centre, to_degrees
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
    """A `records.Table`. DataError where the file is no GeoJSON, or its JSON breaks off."""

    def __init__(self, file: Path, *, lines: bool) -> None:
        self.file = file
        self.lines = lines
        self.remarks: list[str] = []
        self.crs = None if lines else _crs(file)
        first = [value for _, value in islice(self._features(self.file, []), NAMING) if isinstance(value, dict)]
        names: dict[str, None] = {}
        for value in first:
            names.update(dict.fromkeys(_properties(value)))
        self.names = list(names)
        self.has_geometry = any(value.get("geometry") is not None for value in first)

    def records(self, wanted: Collection[str]) -> Iterator[Records]:
        """Yield all features."""
        degrees = to_degrees(self.crs, self.file.name) if self.crs else None
        features = self._features(self.file, self.remarks)
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
        centroids = 0
        for i, (_, value) in enumerate(batch):
            geometry = value.get("geometry") if isinstance(value, dict) else None
            if geometry is None:
                continue
            try:
                if geometry["type"] == "Point":
                    if geometry["coordinates"]:
                        xs[i], ys[i] = geometry["coordinates"][:2]
                elif centre := json_centre(geometry, self.file.name):
                    (xs[i], ys[i]), centroids = centre, centroids + 1
                if isinstance(xs[i], list | dict | bool) or isinstance(ys[i], list | dict | bool):
                    raise ValueError
                if degrees and xs[i] is not None:
                    lon, lat = degrees(np.array([xs[i]], np.float64), np.array([ys[i]], np.float64))
                    xs[i], ys[i] = float(lon[0]), float(lat[0])
            except (KeyError, TypeError, ValueError):
                xs[i] = ys[i] = None
                reasons.setdefault(i, (UNREADABLE, shortened(json.dumps(geometry, ensure_ascii=False))))
        return (column(xs), column(ys)), centroids

    def _features(self, file: Path, remarks: list[str]) -> Iterator[Numbered]:
        return _of_lines(file, remarks) if self.lines else _of_collection(file)


class _Broken(str):
    """The text of a line that is not JSON."""


def _properties(feature: dict[str, Any]) -> dict[str, Any]:
    if feature.get("type") != "Feature" and "properties" not in feature:
        return feature
    properties = feature.get("properties") or {}
    if not isinstance(properties, dict):
        return {}
    return {"id": feature["id"]} | properties if "id" in feature else properties


def _of_lines(file: Path, remarks: list[str]) -> Iterator[Numbered]:
    number = 0
    for block in read_lines(file, remarks):
        for number, line in enumerate(block.text, number + 1):  # noqa: B020  (goes on where the last block ended)
            bare = line.strip("\x1e\r\n\t ")
            if bare:
                try:
                    yield number, json.loads(bare)
                except (ValueError, RecursionError):
                    yield number, _Broken(bare)


def _of_collection(file: Path) -> Iterator[Numbered]:
    import ijson

    prefix = _prefix(file)
    number = 0
    try:
        with _json_bytes(file) as stream:
            for number, feature in enumerate(ijson.items(StrictJson(stream), prefix, use_float=True), 1):
                yield number, feature
    except (ijson.JSONError, *DAMAGED) as error:
        raise DataError(_breaks_off(file, f"after feature {number}", error)) from None


def _prefix(file: Path) -> str:
    """Where the features are, for ijson: in a collection, or the file is one feature."""
    import ijson

    try:
        with _json_bytes(file) as stream:
            for where, event, value in ijson.parse(StrictJson(stream), use_float=True):
                if where == "features" and event == "start_array":
                    return "features.item"
                if where == "type" and value == "Feature":
                    return ""
    except (ijson.JSONError, *DAMAGED) as error:
        raise DataError(_breaks_off(file, "before its features", error)) from None
    raise DataError(f"{file.name} is JSON without features, no GeoJSON")


def _crs(file: Path) -> str | None:
    """The name in the collection's `crs` member; where the JSON is broken, reading the features says it."""
    import ijson

    try:
        with _json_bytes(file) as stream:
            if not _has(stream, b'"crs"'):
                return None
        with _json_bytes(file) as stream:
            for crs in ijson.items(StrictJson(stream), "crs"):
                return str(crs["properties"]["name"]) if crs is not None else None
    except (KeyError, TypeError):
        raise DataError(f"{file.name}: its crs member does not name a reference system") from None
    except (ijson.JSONError, *DAMAGED):
        pass
    return None


def _has(stream: BufferedIOBase, word: bytes) -> bool:
    tail = b""
    while chunk := stream.read(1 << 20):
        if word in tail + chunk:
            return True
        tail = chunk[1 - len(word) :]
    return False


def _json_bytes(file: Path) -> BufferedIOBase:
    stream = open_bytes(file)
    if stream.read(3) != b"\xef\xbb\xbf":
        stream.seek(0)
    return stream


def _breaks_off(file: Path, where: str, error: Exception) -> str:
    said = shortened(str(error.args[0]) if error.args else str(error), 100).removeprefix("b'")
    return f"{file.name}: the JSON is broken or cut off {where}: {said}"
