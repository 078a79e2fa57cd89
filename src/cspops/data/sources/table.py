"""The source `table`: CSV, TSV, Parquet, GeoJSON or GeoParquet, a row an observation.

- Columns by their names in params.yaml, else by the usual ones (`column_names.USUAL`). Columns for label, position and
  the rest may be missing, the one for the image may not.
- Missing values are spelt as in `MISSING`, in text as much as in Parquet. A class that is really called `None` or `NA`
  would lose its labels: a remark counts them; spelt otherwise (`none`, `no tree`) it stays.
- Without a column for ids they are the file's name and the number of the line, row or feature (`photos:17`): the same
  as long as rows are only added at the end.
- Numbers that are labels or ids become text, 1.0 the same as 1. Times of Parquet become ISO 8601, in UTC where they have
  a zone.
"""

import gzip
import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from cspops.data.column_names import pick_columns, recognised
from cspops.data.delimited import DELIMITERS, Delimited
from cspops.data.geojson import GeoJson
from cspops.data.image_paths import normalise_paths
from cspops.data.parquet_table import ParquetTable
from cspops.data.records import Records, Table
from cspops.data.rows import IMAGE, Reading, Source, batch
from cspops.data.text_lines import open_bytes
from cspops.errors import DataError

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "nan", "NaN", "NAN", "null", "NULL", "Null", "None", "-")
"""How a missing value is spelt, in any column, with or without blanks around."""

MISSING_POSITION = ("", "na", "n/a", "#n/a", "nan", "null", "none", "-")
"""The same for longitude and latitude, in any case."""

TEXT = (".csv", ".tsv", ".tab")
PARQUET = (".parquet", ".pq", ".geoparquet")
JSON_LINES = (".geojsonl", ".geojsons", ".geojsonseq", ".ndjson", ".jsonl")
JSON = (".geojson", ".json")

Format = Literal["delimited", "parquet", "geojson", "geojson lines"]


def open_table(
    file: Path | None,
    *,
    root: Path,
    columns: Mapping[str, str | None],
    inspection: Literal["decode", "exists", "none"],
    reading: Reading,
) -> Source:
    """The rows of a table.

    Args:
        file: the table, itself or below ``root``; None: the only one directly in ``root``.
        root: the folder that ``reading`` describes. Images are named relative to the table's own folder; in the rows
            they are relative to ``root``.
        columns: names of the columns, by kind; null: recognised.
        inspection: handed on.
        reading: handed on.

    Raises:
        DataError: no table, no row, an unreadable file, a column that is missing or of two minds.
    """
    path = _only_table(root) if file is None else root / file
    table, kind = _open(path)
    picked = pick_columns(table.names, columns, table=path.name, key="dataset.table.columns", has_geometry=table.has_geometry)
    remarks = table.remarks
    if not (table.has_geometry or "lon" in picked):
        remarks.append(f"{path.name}: no column is known as longitude or latitude (dataset.table.columns)")
    if "label" not in picked:
        remarks.append(f"{path.name}: no column is known as label (dataset.table.columns.label)")
    try:
        below = path.parent.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        raise DataError(f"{path} is not below {root}", hint="set dataset.table.file to a path below it") from None
    reader = _Reader(path, table, picked, folder=below)
    files: dict[str, Mapping[str, Any]] = {}

    def rows() -> Iterator[pa.RecordBatch]:
        yield from reader.batches()
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        files[path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name] = {
            "size": path.stat().st_size,
            "sha256": sha256,
            "format": kind,
            "columns": picked,
        }

    return Source(_not_empty(rows(), path), reading, inspection, files, remarks)


def read_sidecar(
    file: Path, *, columns: Mapping[str, str | None], remarks: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield `rows.ROWS` batches of a table beside the images it names.

    `image.path` is the text of the image's column with /, relative to the table's folder, maybe beginning with `../`;
    `obs_id` is null where the table has none. What is odd about the file goes to ``remarks`` by the end. DataError as
    from `open_table`.
    """
    table, _ = _open(file)
    picked = pick_columns(table.names, columns, table=file.name, key="dataset.folder.columns", has_geometry=table.has_geometry)
    yield from _not_empty(_Reader(file, table, picked, folder=None).batches(), file)
    if remarks is not None:
        remarks.extend(table.remarks)


def table_format(file: Path) -> Format | None:
    """What kind of table a file is, by its suffix and first bytes; None where it is none.

    A `.txt` is one when its header has a usual column name and the next line as many fields; a `.json` when it is GeoJSON.
    """
    return _format(file, named=False)


# --- files -------------------------------------------------------------------------------------------------------


def _open(file: Path) -> tuple[Table, Format]:
    if not file.exists():
        raise DataError(f"the table {file} is missing", hint="set dataset.table.file, or dvc repro data.dvc")
    kind = _format(file, named=True)
    if kind is None:
        raise DataError(f"{file.name} is no table that can be read", hint="save it as CSV, Parquet or GeoJSON")
    if kind == "parquet":
        return ParquetTable(file), kind
    if kind == "delimited":
        return Delimited(file), kind
    return GeoJson(file, lines=kind == "geojson lines"), kind


def _only_table(root: Path) -> Path:
    if not root.is_dir():
        raise DataError(f"the folder {root} is missing", hint="dvc repro data.dvc, or set CSPOPS_DATA_ROOT")
    tables = sorted(file for file in root.iterdir() if table_format(file))
    if not tables:
        raise DataError(f"{root} has no table", hint="set dataset.table.file in params.yaml to one further down")
    if len(tables) > 1:
        names = ", ".join(file.name for file in tables[:10]) + (" ..." if len(tables) > 10 else "")
        raise DataError(f"{root} has {len(tables)} tables: {names}", hint="set dataset.table.file in params.yaml to one")
    return tables[0]


def _format(file: Path, *, named: bool) -> Format | None:
    """``named``: the user said that this file is a table."""
    if not file.is_file() or (file.name.startswith(".") and not named):
        return None
    try:
        with open_bytes(file) as stream:
            head = stream.read(1 << 16)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        head = b""
    suffix = Path(file.name.lower().removesuffix(".gz")).suffix
    if head.startswith(b"PAR1") or (suffix in PARQUET):
        return "parquet"
    if head.startswith((b"PK\x03\x04", b"%PDF", b"\xd0\xcf\x11\xe0", b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*")):
        return None
    if suffix in JSON + JSON_LINES:
        return _json_format(head, suffix)
    if suffix in TEXT or (suffix == ".txt" and (named or _looks_like_table(file))):
        return "delimited"
    return None


def _json_format(head: bytes, suffix: str) -> Format | None:
    text = head.decode("utf-8-sig", errors="replace").lstrip("\x1e \t\r\n")
    if re.search(r'"FeatureCollection"|"features"\s*:', text):
        return "geojson"
    if suffix in JSON_LINES:
        return "geojson lines"
    if re.search(r'"type"\s*:\s*"Feature"', text):
        first, _, rest = text.partition("\n")
        try:
            json.loads(first)
        except ValueError:
            return "geojson"
        return "geojson lines" if rest.strip() else "geojson"
    return "geojson" if suffix == ".geojson" else None


def _looks_like_table(file: Path) -> bool:
    try:
        table = Delimited(file)
        lines = next(table.records(table.names[:1]))
    except (DataError, StopIteration):
        return False
    return table.delimiter in DELIMITERS and len(table.names) > 1 and recognised(table.names) and 0 not in lines.reasons


def _not_empty(batches: Iterator[pa.RecordBatch], file: Path) -> Iterator[pa.RecordBatch]:
    """The same batches; the first is read now, so that what is wrong with the whole file is said at once."""
    first = next(batches, None)
    if first is None:
        raise DataError(f"{file.name} has no rows")

    def all_of_them() -> Iterator[pa.RecordBatch]:
        yield first
        yield from batches

    return all_of_them()


# --- rows --------------------------------------------------------------------------------------------------------


@dataclass
class _Reader:
    """From a table's records to `rows.ROWS`."""

    file: Path
    table: Table
    picked: dict[str, str]
    folder: str | None
    """The table's own below the images' root; None for a side-car."""
    missing_labels: Counter[str] = field(default_factory=Counter)

    def batches(self) -> Iterator[pa.RecordBatch]:
        for records in self.table.records(sorted(set(self.picked.values()))):
            yield self._batch(records)
        if self.missing_labels:
            spellings = ", ".join(f"{spelling} ({count})" for spelling, count in self.missing_labels.most_common())
            self.table.remarks.append(f"{self.file.name}: labels that are read as missing: {spellings}")

    def _batch(self, records: Records) -> pa.RecordBatch:
        made: dict[str, pa.Array | list[Any]] = {}
        number = records.number.cast(pa.string())
        made["where"] = pc.binary_join_element_wise(pa.scalar(self.file.name), number, ":")
        reasons = dict(records.reasons)
        for kind, name in self.picked.items():
            values = records.columns[name]
            if kind == "image":
                made["image"], odd = self._images(values)
                reasons = odd | reasons
            elif kind in ("lon", "lat"):
                made[kind] = _degrees(values, self._of(name))
            elif kind == "label":
                made["label"] = self._labels(_as_text(values, self._of(name)))
            else:
                made["official_split" if kind == "split" else kind] = _trimmed(_as_text(values, self._of(name)))
        if records.lonlat is not None and "lon" not in made:
            made["lon"], made["lat"] = (_degrees(part, self._of("geometry")) for part in records.lonlat)
        if "lon" in made and pa.types.is_floating(made["lon"].type) != pa.types.is_floating(made["lat"].type):
            made["lon"], made["lat"] = made["lon"].cast(pa.string()), made["lat"].cast(pa.string())
        if "obs_id" not in self.picked and self.folder is not None:
            stem = re.sub(r"(\.gz)?$", "", self.file.name, flags=re.IGNORECASE)
            made["obs_id"] = pc.binary_join_element_wise(pa.scalar(Path(stem).stem), number, ":")
        n = len(number)
        if reasons:
            made["reason"] = [reasons[i][0] if i in reasons else None for i in range(n)]
            made["detail"] = [reasons[i][1] if i in reasons else None for i in range(n)]
        if records.notes:
            made["notes"] = [[records.notes[i]] if i in records.notes else None for i in range(n)]
        return batch(made)

    def _of(self, name: str) -> str:
        return f"{self.file.name}: column {name!r}"

    def _labels(self, text: pa.Array) -> pa.Array:
        missing = pc.is_in(pc.utf8_trim_whitespace(text), pa.array(MISSING))
        spelt = pc.value_counts(pc.utf8_trim_whitespace(text.filter(missing)))
        self.missing_labels.update({item["values"]: item["counts"] for item in spelt.to_pylist() if item["values"]})
        return pc.if_else(missing, pa.scalar(None, pa.string()), text)

    def _images(self, values: pa.Array) -> tuple[pa.StructArray, dict[int, tuple[str, str]]]:
        """`rows.IMAGE` of text, bytes, or the struct that Hugging Face datasets has; bytes go before paths."""
        values = _decoded(values)
        n, kind = len(values), values.type
        data, path = pa.nulls(n, pa.binary()), pa.nulls(n, pa.string())
        if pa.types.is_struct(kind) and {"bytes", "path"} & {part.name for part in kind}:
            parts = dict(zip([part.name for part in kind], values.flatten(), strict=True))
            if "bytes" in parts:
                data = parts["bytes"].cast(pa.binary())
            if "path" in parts:
                path = _as_text(parts["path"], self._of(self.picked["image"]))
        elif _is_binary(kind):
            data = values.cast(pa.binary())
        elif _is_text(kind) or pa.types.is_null(kind):
            path = values.cast(pa.string())
        else:
            raise DataError(f"{self._of(self.picked['image'])} holds {kind}, neither paths nor bytes of images")
        if self.folder is not None:
            path = pc.if_else(data.is_valid(), pa.scalar(None, pa.string()), path)
        path, reasons = normalise_paths(_trimmed(path), self.folder or "", inside=self.folder is not None)
        return pa.StructArray.from_arrays([data, path], fields=list(IMAGE)), reasons


def _degrees(values: pa.Array, what: str) -> pa.Array:
    """Numbers as float64, text as it stands; null where they are missing."""
    values = _decoded(values)
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = values.cast(pa.float64())
        return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    text = _as_text(values, what)
    missing = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(text)), pa.array(MISSING_POSITION))
    return pc.if_else(missing, pa.scalar(None, pa.string()), text)


def _trimmed(text: pa.Array) -> pa.Array:
    text = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.is_in(text, pa.array(MISSING)), pa.scalar(None, pa.string()), text)


def _as_text(values: pa.Array, what: str) -> pa.Array:
    values = _decoded(values)
    kind = values.type
    if pa.types.is_floating(kind):
        whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), 2**53))
        number = pc.if_else(whole, values, pa.scalar(None, kind)).cast(pa.int64()).cast(pa.string())
        text = pc.coalesce(number, values.cast(pa.string()))
        return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.string()), text)
    if pa.types.is_timestamp(kind):
        text = pc.strftime(values.cast(pa.timestamp(kind.unit)), "%Y-%m-%dT%H:%M:%S")
        return pc.binary_join_element_wise(text, "Z", "") if kind.tz else text
    if pa.types.is_nested(kind):
        raise DataError(f"{what} holds {kind}, no text")
    try:
        return values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"{what} holds {kind}, no text") from None


def _decoded(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )
