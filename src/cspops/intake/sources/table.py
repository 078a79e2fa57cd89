"""The source `table`: CSV, TSV, Parquet, GeoJSON or GeoParquet, one row per observation.

- Columns by their names in params.yaml, else by the usual ones (`columns.USUAL`). Columns for label, position and
  the rest may be missing, the one for the image may not.
- A position may also stand in one column, as well-known text or as a field form's geopoint: see `points`.
- Missing values are spelled as in `values.MISSING`, in text as much as in Parquet. A class that is really called
  `None` or `NA` would lose its labels: a remark counts them; spelled otherwise (`none`, `no tree`) it stays.
- Without a column for ids they are the file's name and the number of the line, row or feature (`photos:17`): the same
  as long as rows are only added at the end.
- Numbers that are labels or ids become text, 1.0 the same as 1. Times of Parquet become ISO 8601, in UTC where they have
  a zone.
- An overhead image beside the image is a column of its own; its footprint is one column of four numbers, or four columns:
  see `boxes`.
- What GBIF's and iNaturalist's exports say about the uncertainty of positions is read by its usual names alone.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cspops.errors import DataError
from cspops.intake.overhead_rows import with_overhead
from cspops.intake.rows import FileFacts, Source, batch, file_facts
from cspops.intake.sources.tree import printable
from cspops.intake.tables.boxes import read_box_texts, side_columns
from cspops.intake.tables.columns import AXES, pick_columns, uncertainty_columns
from cspops.intake.tables.features import Features, matrix_beside, open_features, recognised_features
from cspops.intake.tables.points import PositionReader, point_column
from cspops.intake.tables.records import Records, shortened
from cspops.intake.tables.table_files import Table, only_table, open_file, table_format
from cspops.intake.tables.uncertainty import UncertaintyReader
from cspops.intake.tables.values import MISSING, as_text, decoded, given, is_binary, is_text, trimmed
from cspops.pixels.reading import IMAGE

ADDRESS = "image is an address, not a file"
ABSOLUTE = "image path is absolute"
OUTSIDE = "image path leads out of its folder"
NUL = "image path holds NUL bytes"


def normalise_paths(paths: pa.Array, folder: str, *, inside: bool = True) -> tuple[pa.Array, dict[int, tuple[str, str]]]:
    r"""Return paths below the images' root, and why others are none: by row, a reason and the text at fault.

    Args:
        paths: relative to ``folder``; `\` counts as /.
        folder: below the images' root, with /; empty for the root itself.
        inside: give up paths that lead out of the root; else they begin with `../`.
    """
    text = pc.replace_substring(paths, "\\", "/")
    text = pc.replace_substring_regex(text, r"^(\./+)+", "")
    reasons: dict[int, tuple[str, str]] = {}
    for why, pattern in ((ADDRESS, r"^[A-Za-z][A-Za-z0-9+.-]+:/"), (ABSOLUTE, r"^(/|~/|[A-Za-z]:)"), (NUL, r"\x00")):
        for i in _rows(text, pattern):
            reasons.setdefault(i, (why, shortened(paths[i].as_py().replace("\0", ""))))
    if folder and folder != ".":
        text = pc.binary_join_element_wise(pa.scalar(folder), text, "/")
    roundabout = [i for i in _rows(text, r"(^|/)(\.{0,2})(/|$)") if i not in reasons]
    if roundabout or reasons:
        changed = text.to_pylist()
        for i in roundabout:
            changed[i] = posixpath.normpath(changed[i])
            if inside and (changed[i] == ".." or changed[i].startswith("../")):
                reasons[i] = (OUTSIDE, shortened(paths[i].as_py()))
        for i in reasons:
            changed[i] = None
        text = pa.array(changed, pa.string())
    return text, reasons


def _rows(text: pa.Array, pattern: str) -> list[int]:
    rows: list[int] = pc.indices_nonzero(pc.match_substring_regex(text, pattern)).to_pylist()
    return rows


__all__ = ["open_table", "read_sidecar", "table_format"]


def open_table(
    file: Path | None,
    *,
    root: Path,
    columns: Mapping[str, str | None],
    key: str | None = "dataset.table",
    overhead: bool = False,
    features: str | None = None,
    out: Path | None = None,
) -> Source:
    """Open a table, its rows still to be read.

    Args:
        file: the table, itself or below ``root``; None: the only one directly in ``root``.
        root: where paths start. Images are named relative to the table's own folder; in the rows
            they are relative to ``root``.
        columns: names of the columns, by kind; null: recognised.
        key: where params.yaml names the table and its columns; None for one that a command names.
        overhead: whether the images count as overhead images where no column names others.
        features: image features that come instead of images, see `tables.features`; None: recognised where there is no image.
        out: the catalogue's folder, where features in columns are written.

    Raises:
        DataError: no table, no row, an unreadable file, a column that is missing or fits twice.
    """
    path = only_table(root) if file is None else root / file
    beside = features or (matrix_beside(path, root) if key else None)
    reader, kind = _open(path, columns, key=key, file_key="file", overhead=overhead, features=beside or "recognised")
    table, picked = reader.table, reader.picked
    remarks = table.remarks
    if features is None and "image" not in picked:
        features = recognised_features(table.names) or beside
    if features is not None:
        picked.pop("image", None)
        reader.features = open_features(features, table.names, root=root, out=out, table=path.name)
    if not (table.has_geometry or "lon" in picked):
        remarks.append(f"{path.name}: no column is known as longitude or latitude" + (f" ({key}.columns)" if key else ""))
    if "label" not in picked:
        remarks.append(f"{path.name}: no column is known as label" + (f" ({key}.columns.label)" if key else ""))
    try:
        reader.folder = path.parent.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        raise DataError(f"{path} is not below {root}", hint="set dataset.table.file to a path below it") from None
    files: dict[str, FileFacts] = {}

    def rows() -> Iterator[pa.RecordBatch]:
        yield from reader.batches()
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        files[printable(name)] = {**file_facts(path), "format": kind, "columns": picked}
        if reader.features is not None:
            files[reader.features.file.name] = about = file_facts(reader.features.file)
            source.features_sha256 = str(about["sha256"])

    source = Source(_not_empty(rows(), path), files=files, remarks=remarks)
    if key:
        source.unplaced = f"name the columns of longitude and latitude in {key}.columns"
        source.columns = f"{key}.columns" if picked.get("lon") != picked.get("lat") else ""
    return source


def read_sidecar(
    file: Path, *, columns: Mapping[str, str | None], remarks: list[str], folder: str = "", overhead: bool = False
) -> Iterator[pa.RecordBatch]:
    """Yield `rows.ROWS` batches of a table beside the images it names.

    `image.path` is the text of the image's column with /, relative to the table's folder, maybe beginning with `../`;
    `obs_id` is null where the table has none. `overhead.path` is below the root, where the table lies in ``folder``. What
    is odd about the file goes to ``remarks`` by the end. ``overhead`` and DataError as in `open_table`.
    """
    reader, _ = _open(file, columns, key="dataset.folder", file_key="sidecar", overhead=overhead)
    reader.overhead_folder = folder
    yield from _not_empty(reader.batches(), file)
    remarks.extend(reader.table.remarks)


def _open(
    file: Path,
    columns: Mapping[str, str | None],
    *,
    key: str | None,
    file_key: str,
    overhead: bool,
    features: str | None = None,
) -> tuple["_Reader", str]:
    """Open a table, with its format; ``key`` and ``file_key`` say where params.yaml names it."""
    table, kind = open_file(file, key=f"{key}.{file_key}" if key else None)
    needs_image = features is None or (features == "recognised" and recognised_features(table.names) is None)
    picked = pick_columns(
        table.names,
        columns,
        table=file.name,
        key=f"{key}.columns" if key else None,
        has_geometry=table.has_geometry,
        remarks=table.remarks,
        needs_image=needs_image,
    )
    if "lon" not in picked and not table.has_geometry:
        left = [name for name in table.names if name not in picked.values()]
        if column := point_column(table, left, key=f"{key}.columns" if key else None):
            picked["lon"] = picked["lat"] = column
    positions = PositionReader(file.name, [picked[axis] for axis in AXES if axis in picked])
    uncertainty = UncertaintyReader(file.name, uncertainty_columns(table.names))
    reader = _Reader(file, table, picked, positions, uncertainty, in_params=key is not None, overhead=overhead)
    if "overhead_bbox" in picked:
        reader.boxes = (picked["overhead_bbox"],)
    elif overhead or "overhead" in picked:
        reader.boxes = side_columns(table.names)
    return reader, kind


def _not_empty(batches: Iterator[pa.RecordBatch], file: Path) -> Iterator[pa.RecordBatch]:
    """Return the same batches; the first is read now, so that what is wrong with the whole file is said at once."""
    first = next(batches, None)
    if first is None:
        raise DataError(f"{file.name} has no rows")

    def all_of_them() -> Iterator[pa.RecordBatch]:
        yield first
        yield from batches

    return all_of_them()


@dataclass
class _Reader:
    """Turns a table's records into batches of `rows.ROWS`."""

    file: Path
    table: Table
    picked: dict[str, str]
    positions: PositionReader
    uncertainty: UncertaintyReader
    in_params: bool
    overhead: bool
    """Whether the images count as overhead images where no column names others."""
    folder: str | None = None
    """The table's own below the images' root; None for a side-car."""
    overhead_folder: str = ""
    """Of a side-car: its own below the images' root."""
    boxes: tuple[str, ...] = ()
    """The columns of footprints: one, or west, south, east and north."""
    features: Features | None = None
    """Of each row, instead of images."""
    missing_labels: Counter[str] = field(default_factory=Counter)

    def batches(self) -> Iterator[pa.RecordBatch]:
        own = () if self.features is None else self.features.columns
        wanted = {*self.picked.values(), *self.uncertainty.columns.values(), *self.boxes, *own}
        for records in self.table.records(sorted(wanted)):
            yield self._batch(records)
        if self.features is not None:
            self.features.finish()
        self.table.remarks += [*self.positions.remarks(), *self.uncertainty.remarks(remedy=self.in_params)]
        if self.missing_labels:
            spellings = ", ".join(f"{spelling} ({count})" for spelling, count in self.missing_labels.most_common())
            self.table.remarks.append(f"{self.file.name}: labels that are read as missing: {spellings}")

    def _batch(self, records: Records) -> pa.RecordBatch:
        made: dict[str, pa.Array | list[Any]] = {}
        number = records.number.cast(pa.string())
        made["where"] = pc.binary_join_element_wise(pa.scalar(printable(self.file.name)), number, ":")
        reasons = dict(records.reasons)
        if lonlat := self.positions.read(records):
            made["lon"], made["lat"] = lonlat
            located = pc.and_(pc.is_valid(lonlat[0]), pc.is_valid(lonlat[1])).to_numpy(zero_copy_only=False)
            metres = self.uncertainty.read(records, located)
            made |= {} if metres is None else {"uncertainty_m": metres}
        for kind, name in self.picked.items():
            values = records.columns[name]
            if kind == "image":
                made["image"], odd = self._images(values, name, self.folder)
                reasons = odd | reasons
            elif kind == "label":
                made["label"] = self._labels(as_text(values, self._of(name)))
            elif kind in ("split", "captured_at"):
                made["official_split" if kind == "split" else kind] = given(as_text(values, self._of(name)))
            elif kind not in ("lon", "lat", "overhead", "overhead_bbox"):
                made[kind] = trimmed(as_text(values, self._of(name)))
        if self.features is not None:
            made["image_features"], faults = self.features.read(records)
            reasons = faults | reasons
        if "obs_id" not in self.picked and self.folder is not None:
            stem = re.sub(r"(\.gz)?$", "", printable(self.file.name), flags=re.IGNORECASE)
            made["obs_id"] = pc.binary_join_element_wise(pa.scalar(Path(stem).stem), number, ":")
        n = len(number)
        if reasons:
            made["reason"] = [reasons[i][0] if i in reasons else None for i in range(n)]
            made["detail"] = [reasons[i][1] if i in reasons else None for i in range(n)]
        if records.notes:
            made["notes"] = [[records.notes[i]] if i in records.notes else None for i in range(n)]
        column = self.picked.get("overhead")
        if not (self.overhead or self.boxes or column):
            return batch(made)
        boxes = read_box_texts(records, self.boxes, what=self.file.name) if self.boxes else None
        return with_overhead(batch(made), self._overhead(records.columns[column], column) if column else None, boxes)

    def _of(self, name: str) -> str:
        return f"{self.file.name}: column {name!r}"

    def _labels(self, text: pa.Array) -> pa.Array:
        missing = pc.is_in(pc.utf8_trim_whitespace(text), pa.array(MISSING))
        spelled = pc.value_counts(pc.utf8_trim_whitespace(text.filter(missing)))
        self.missing_labels.update({item["values"]: item["counts"] for item in spelled.to_pylist() if item["values"]})
        return pc.if_else(missing, pa.scalar(None, pa.string()), text)

    def _overhead(self, values: pa.Array, name: str) -> pa.StructArray:
        """Return overhead images; a path that is none stays as it is, so that whoever opens it says why."""
        images, odd = self._images(values, name, self.overhead_folder if self.folder is None else self.folder)
        if not odd:
            return images
        data, paths = images.flatten()
        return pa.StructArray.from_arrays(
            [data, pa.array([odd[i][1] if i in odd else path for i, path in enumerate(paths.to_pylist())], pa.string())],
            fields=list(IMAGE),
        )

    def _images(self, values: pa.Array, name: str, folder: str | None) -> tuple[pa.StructArray, dict[int, tuple[str, str]]]:
        """Return images of text, bytes, or the struct that Hugging Face datasets has; bytes go before paths.

        Paths are relative to ``folder`` and become such below the images' root; None leaves them relative to the table's.
        """
        values = decoded(values)
        n, kind = len(values), values.type
        data, path = pa.nulls(n, pa.binary()), pa.nulls(n, pa.string())
        if pa.types.is_struct(kind) and {"bytes", "path"} & {part.name for part in kind}:
            parts = dict(zip([part.name for part in kind], values.flatten(), strict=True))
            if "bytes" in parts:
                data = self._bytes(decoded(parts["bytes"]), name)
            if "path" in parts:
                path = as_text(parts["path"], self._of(name))
        elif is_binary(kind):
            data = self._bytes(values, name)
        elif is_text(kind) or pa.types.is_null(kind):
            path = values.cast(pa.string())
        else:
            raise self._no_images(kind, name)
        if folder is not None:
            path = pc.if_else(data.is_valid(), pa.scalar(None, pa.string()), path)
        path, reasons = normalise_paths(trimmed(path), folder or "", inside=folder is not None)
        return pa.StructArray.from_arrays([data, path], fields=list(IMAGE)), reasons

    def _bytes(self, values: pa.Array, name: str) -> pa.Array:
        if not (is_binary(values.type) or pa.types.is_null(values.type)):
            raise self._no_images(values.type, name)
        return values.cast(pa.binary())

    def _no_images(self, kind: pa.DataType, name: str) -> DataError:
        return DataError(f"{self._of(name)} holds {kind}, neither paths nor bytes of images")
