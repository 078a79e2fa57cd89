"""A folder tree of images: labels from sub-folders or a side-car table; positions from it, the GeoTIFF, EXIF GPS, XMP, or
the JSON that Google Takeout lays beside a photo.

An image is a file with the suffix of one, or whose first bytes are those of one. Rows stand in the order of their paths,
whatever order the file system has, and a row's obs_id is its path unless the side-car gives another.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from posixpath import dirname
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from cspops.errors import DataError, NoImages, ParamsError, listed, nearest
from cspops.intake.images.metadata import Metadata, Question, read_metadata
from cspops.intake.overhead_rows import with_overhead
from cspops.intake.rows import FileFacts, Source, batch, file_facts
from cspops.intake.sources.sidecar import BY_NAME, Joined, attach
from cspops.intake.sources.table import read_sidecar
from cspops.intake.sources.tree import Tree, printable, remarks, walk
from cspops.pixels.formats import READ
from cspops.pixels.unreadable import OTHER_FORMAT
from cspops.pixels.workers import Map

ROWS_PER_BATCH = 2000

ROLES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validate": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""Folders that are an official split, in any case."""

NAME_NOT_TEXT = "the name of the file is not UTF-8"
NOT_NAMED = "the side-car does not name the image"
COLUMNS = "dataset.folder.columns"
UNPLACED = (
    "photos carry one in EXIF where the camera had GPS, GeoTIFFs in their header; else name a table of positions in "
    "dataset.folder.sidecar, and its columns in dataset.folder.columns"
)


def open_folder(
    root: Path,
    *,
    pattern: str,
    label: Literal["folder", "column", "none"],
    sidecar: str | None,
    columns: Mapping[str, str | None],
    map: Map = map,
    overhead: bool = False,
) -> Source:
    """Open the images below a folder, as rows whose paths stand below it.

    Where all images lie below folders of the root named as roles (train and at least one more of val and test, or usual
    other spellings), these are the official split, unless the side-car gives one. An image directly in such a folder,
    or in the root, has no label of its own folder.

    Args:
        root: the folder.
        pattern: which files below it are looked at; ** is any number of folders, * and ? stay within a name.
        label: the name of the image's own folder, or the side-car's column, or none.
        sidecar: path of a table below the root that names images; None: there is none.
        columns: of the side-car, as in params.yaml.
        map: applies a function to items in order; a map over worker processes makes reading metadata quicker.
        overhead: whether the images count as overhead images where the side-car names no others.

    Raises:
        DataError: the folder or side-car is missing or unreadable, no image is there, or the side-car gives no labels
            though they should come from it. While rows are read: EnvironmentProblem, where a GeoTIFF needs a package.
        ParamsError: the pattern is none.
    """
    tree = walk(root, pattern, leave_out=sidecar)
    notes = remarks(tree, pattern)
    if not tree.images:
        raise NoImages(
            f"{root}: no image ({READ}) fits dataset.folder.pattern {pattern!r}",
            hint="; ".join(notes) or "the folder is empty: cspops data use PATH",
        )
    joined: Joined | None = None
    before = len(notes)
    files: dict[str, FileFacts] = {}
    if sidecar is not None:
        joined, files[sidecar] = _read_sidecar(root, sidecar, columns, tree, notes, overhead=overhead)
        if "overhead" in joined.rows.column_names:  # an image that is only named as such is no row of its own
            from_above = set(pc.struct_field(joined.rows["overhead"], "path").to_pylist()) - joined.of_image.keys()
            tree.images = [path for path in tree.images if path not in from_above]
        has_labels = joined.rows["label"].null_count < len(joined.rows)
        if label == "column" and not has_labels:
            raise DataError(
                f"{root / sidecar} gives no label, and dataset.folder.label is column",
                hint="name its column in dataset.folder.columns.label, or set dataset.folder.label to folder or none",
            )
        if label != "column" and has_labels:
            notes.append(f"the labels of {sidecar} are not used: dataset.folder.label is {label}")
    elif label == "column":
        raise ParamsError(
            "params.yaml: dataset.folder.label: column needs dataset.folder.sidecar, the table that has the column"
        )
    said: list[str] = []
    split = _official_split(tree.images, said)
    notes[before:before] = said
    rows = _Rows(root, tree, joined, label, split, overhead)
    return Source(rows.batches(map), files=files, remarks=notes, unplaced=UNPLACED, columns=COLUMNS if joined else "")


def _official_split(images: Sequence[str], notes: list[str]) -> dict[str, str]:
    """Return the role of each top folder, empty where they are no split; a remark says which it is."""
    tops = sorted({path.split("/")[0] if "/" in path else "." for path in images})
    roles = {top: ROLES[top.casefold()] for top in tops if top.casefold() in ROLES}
    if "train" not in roles.values() or len(set(roles.values())) < 2:
        return {}
    rest = [printable(top) for top in tops if top not in roles]
    if rest:
        notes.append(
            f"the folders {', '.join(roles)} are not an official split, since images lie in others too: {listed(rest, 5)}"
        )
        return {}
    notes.append(f"the folders {', '.join(roles)} are the official split")
    return roles


def _read_sidecar(
    root: Path, sidecar: str, columns: Mapping[str, str | None], tree: Tree, notes: list[str], *, overhead: bool
) -> tuple[Joined, FileFacts]:
    if PurePosixPath(sidecar).is_absolute() or ".." in PurePosixPath(sidecar).parts:
        raise ParamsError(f"params.yaml: dataset.folder.sidecar {sidecar!r} leads out of {root}")
    file = root / sidecar
    if not file.is_file():
        beside = sorted(entry.name for entry in file.parent.iterdir()) if file.parent.is_dir() else []
        near = nearest(file.name, beside)
        raise DataError(
            f"the side-car {file} is missing" + (f"; did you mean {near[0]}?" if near else ""),
            hint="dataset.folder.sidecar in params.yaml is a path below the folder",
        )
    about = file_facts(file)
    texts = [path for path in tree.images if path == printable(path)]
    joined = attach(
        read_sidecar(file, columns=columns, remarks=notes, folder=dirname(sidecar), overhead=overhead),
        texts,
        folder=dirname(sidecar),
        exists=lambda path: (root / path).is_file(),
    )
    return joined, about


@dataclass(frozen=True)
class _Rows:
    root: Path
    tree: Tree
    joined: Joined | None
    label: Literal["folder", "column", "none"]
    split: dict[str, str]
    overhead: bool

    def batches(self, map: Map) -> Iterator[pa.RecordBatch]:
        # Two iterators over the same plan: one asks, a step ahead as the map likes, the other takes the metadata.
        metadata = iter(map(read_metadata, (question for *_, question in self._plan() if question)))
        plan = self._plan()
        while part := list(islice(plan, ROWS_PER_BATCH)):
            yield self._batch(part, [next(metadata) if question else None for *_, question in part])
        if self.joined is not None and self.joined.lost:
            yield from self._lost(self.joined)

    def _plan(self) -> Iterator[tuple[str, int | None, Question | None]]:
        """Yield the path, the row of the side-car, and what to ask the file, for each row."""
        if self.joined is not None:
            rows = self.joined.rows
            positioned = pc.or_(pc.is_valid(rows["lon"]), pc.is_valid(rows["lat"])).to_pylist()
            dated, given_up = pc.is_valid(rows["captured_at"]).to_pylist(), pc.is_valid(rows["reason"]).to_pylist()
        for path in self.tree.images:
            askable = path not in self.tree.unread and path == printable(path)
            rows_of = self.joined.of_image.get(path, [None]) if self.joined is not None else [None]
            for row in rows_of:
                known = row is not None and (given_up[row] or (positioned[row] and dated[row]))
                position = row is None or not positioned[row]
                beside = self.tree.takeout.get(path)
                question = Question(self.root / path, position, self.root / beside if beside else None)
                yield path, row, question if askable and not known else None

    def _batch(self, part: list[tuple[str, int | None, Question | None]], metadata: list[Metadata | None]) -> pa.RecordBatch:
        paths, texts = [path for path, *_ in part], [printable(path) for path, *_ in part]
        texts_ok = [path == text for path, text in zip(paths, texts, strict=True)]
        path_column = pa.array(texts)
        lonlat = [about.lonlat or (None, None) if about else (None, None) for about in metadata]
        columns: dict[str, pa.Array | list[Any]] = {
            "where": path_column,
            "obs_id": path_column,
            "lon": pa.array([lon for lon, _ in lonlat], pa.float64()),
            "lat": pa.array([lat for _, lat in lonlat], pa.float64()),
            "captured_at": pa.array([about.captured_at if about else None for about in metadata], pa.string()),
            "official_split": pa.array([self.split.get(path.split("/")[0]) for path in paths], pa.string()),
            "image": [{"bytes": None, "path": text} if ok else None for text, ok in zip(texts, texts_ok, strict=True)],
            "reason": pa.array(
                [
                    NAME_NOT_TEXT if not ok else OTHER_FORMAT if path in self.tree.unread else None
                    for path, ok in zip(paths, texts_ok, strict=True)
                ],
                pa.string(),
            ),
            "detail": pa.array([self.tree.unread.get(path) or text for path, text in zip(paths, texts, strict=True)]),
        }
        if self.label == "folder":
            columns["label"] = [self._own_folder(path) for path in texts]
        notes = [list(about.notes) if about else [] for about in metadata]
        if self.joined is not None:
            self._fill_in(columns, notes, [row for _, row, _ in part], self.joined)
        columns["detail"] = pc.if_else(pc.is_valid(columns["reason"]), columns["detail"], None)
        made = batch(columns | {"notes": [row_notes or None for row_notes in notes]})
        more = self.joined.rows if self.joined is not None else None
        if more is not None and "overhead_bbox" in more.column_names:
            more = more.take(pa.array([row for _, row, _ in part], pa.int64())).combine_chunks()
            overhead = more["overhead"].combine_chunks() if "overhead" in more.column_names else None
            return with_overhead(made, overhead, more["overhead_bbox"].combine_chunks())
        return with_overhead(made, None, None) if self.overhead else made

    def _own_folder(self, path: str) -> str | None:
        folder = dirname(path)
        return None if folder in self.split else folder.rpartition("/")[2] or None

    def _fill_in(self, columns: dict[str, Any], notes: list[list[str]], rows: list[int | None], joined: Joined) -> None:
        """Put the side-car's values before the files' own."""
        given = joined.rows.take(pa.array(rows, pa.int64())).combine_chunks()
        given = {name: given[name].combine_chunks() for name in given.column_names}
        kind = given["lon"].type
        unplaced = pc.and_(pc.is_null(given["lon"]), pc.is_null(given["lat"]))
        for axis in ("lon", "lat"):
            columns[axis] = pc.if_else(unplaced, pc.cast(columns[axis], kind), given[axis])
        for name in ("obs_id", "captured_at", "official_split", "reason", "detail"):
            columns[name] = pc.coalesce(given[name], columns[name])
        columns["location_id"] = given["location_id"]
        columns["uncertainty_m"] = pc.if_else(unplaced, pa.scalar(None, pa.float64()), given["uncertainty_m"])
        if self.label == "column":
            columns["label"] = given["label"]
        at = pc.binary_join_element_wise(columns["where"], pa.scalar(" ("), given["where"], pa.scalar(")"), "")
        columns["where"] = pc.coalesce(at, columns["where"])
        for row_notes, row, more in zip(notes, rows, given["notes"].to_pylist(), strict=True):
            row_notes[:0] = more or []
            if row is None:
                row_notes.append(NOT_NAMED)
            elif row in joined.by_name:
                row_notes.append(BY_NAME)

    def _lost(self, joined: Joined) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the side-car that belong to no image, in its order."""
        order = sorted(joined.lost)
        for start in range(0, len(order), ROWS_PER_BATCH):
            part = order[start : start + ROWS_PER_BATCH]
            given = joined.rows.take(pa.array(part, pa.int64()))
            given = {name: given[name].combine_chunks() for name in ("where", "obs_id", "image", "reason", "detail")}
            named = pc.struct_field(given["image"], "path")
            reason = pa.array([joined.lost[row] for row in part], pa.string())
            detail = pc.if_else(pc.is_valid(given["reason"]), given["detail"], named)
            yield batch(
                {
                    "where": given["where"],
                    "obs_id": pc.coalesce(given["obs_id"], named),
                    "reason": pc.coalesce(given["reason"], reason),
                    "detail": detail,
                }
            )
