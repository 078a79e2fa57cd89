"""What a source gives and what becomes of it: rows as they came, in batches, and the account of where each row ended.

A source (`intake/sources/*.py`) yields `ROWS` batches and judges as little as it can: positions may be text, labels are
names. `ingest` sorts the rows into observations and rejected rows. Nothing here needs torch.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

import pyarrow as pa

from cspops.files import sha256_of
from cspops.pixels.reading import CROP, GIVEN_FEATURES, IMAGE, Reading

ROWS = pa.schema(
    [
        pa.field("where", pa.string(), nullable=False),
        pa.field("obs_id", pa.string()),
        pa.field("lon", pa.string()),
        pa.field("lat", pa.string()),
        pa.field("uncertainty_m", pa.float64()),
        pa.field("label", pa.string()),
        pa.field("captured_at", pa.string()),
        pa.field("location_id", pa.string()),
        pa.field("official_split", pa.string()),
        pa.field("image", IMAGE),
        pa.field("crop", CROP),
        pa.field("image_features", GIVEN_FEATURES),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("notes", pa.list_(pa.string())),
    ]
)
"""One batch of a source, every column there. `where` is the place in the input as a person would look it up
(`photos.csv:17`, `trees/oak/a.jpg`). `lon` and `lat` are text (as it stands in the input) or float64 (degrees), a batch at
a time; `uncertainty_m` is that of the position in metres, inf where it is obscured and nothing says by how much. `reason`
says why the source itself rejects the row, with the value at fault in `detail`; `notes` says what was odd about a row that
is kept. Reasons and notes are few fixed sentences, so that they can be counted."""


class Inspected(NamedTuple):
    """What is wrong with the image files of a batch, one item per row; all null for a row without an image."""

    sha256: pa.Array
    """Of the bytes, hexadecimal; null where they were not read."""
    reason: pa.Array
    """Why the image cannot be used, a fixed sentence; null where it can."""
    detail: pa.Array


class FileFacts(TypedDict, total=False):
    """What is known about a file that was read or fetched, or of the many that a pattern names."""

    size: int | None
    """Bytes."""
    sha256: str | None
    """Hexadecimal."""
    url: str | None
    """Where it was fetched from; null where somebody has put it there."""
    licence: str
    format: str
    columns: Mapping[str, str]
    """Of a table: the names of its columns by kind."""
    files: int
    """How many a pattern names."""
    whole_scene_boxes: int
    objects: int
    """How many a listing names."""


Inspect = Callable[[pa.StructArray], Inspected]
"""Takes the `image` column of a batch."""


@dataclass
class Source:
    """An input that is about to be read, once."""

    batches: Iterator[pa.RecordBatch]
    """Of `ROWS` (with `lon` and `lat` as text or as float64), in an order that does not depend on the file system."""
    reading: Reading = field(default_factory=Reading)
    inspection: Literal["decode", "exists", "none"] = "decode"
    """Whether each image is decoded and hashed, only looked for, or trusted."""
    files: dict[str, FileFacts] = field(default_factory=dict)
    """Facts about the files that were read, by name: size, sha256, licence. Complete when `batches` has ended."""
    remarks: list[str] = field(default_factory=list)
    """What is odd about the input as a whole, one sentence each (`photos.csv: cp1252, not UTF-8, from line 3 on`)."""
    predictions: dict[str, Any] | None = None
    """Released P(y|I): see `sources/released.py`."""
    features_sha256: str = ""
    """Of the matrix of image features that came with a table, complete when `batches` has ended; it goes into the catalogue,
    so that stages see a change of it."""
    unplaced: str = ""
    """What to do where no row has a position, as the end of a sentence; empty where nothing can be done."""
    columns: str = ""
    """Where params.yaml names the columns that positions are read from; empty where they come from no table."""


@dataclass(frozen=True)
class Account:
    """Where the rows of a source ended: `artifacts/download/account.json`."""

    rows: int
    observations: int
    rejected: int
    reasons: dict[str, int]
    """Of rejected rows, commonest first."""
    notes: dict[str, int]
    """Of rows that were kept, commonest first."""
    warnings: list[str]
    """About the set: coordinates that look swapped, classes with one example, the source's remarks."""
    without_position: int
    without_label: int
    classes: dict[str, int]
    """Observations of each class, by its name, in the order of classes.json."""
    official_split: dict[str, int]
    """Observations of each official role, `none` for those without."""

    noted: dict[str, list[str]] = field(default_factory=dict, kw_only=True)
    """Where the first rows with each note stand; for people, not in account.json."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values for account.json."""
        return {name: value for name, value in asdict(self).items() if name != "noted"}

    def numbers(self) -> dict[str, int | float]:
        """Return its counts alone, which `dvc metrics` compares: reports/data.json."""
        return {
            "rows": self.rows,
            "observations": self.observations,
            "rejected": self.rejected,
            "rejected_share": round(self.rejected / max(self.rows, 1), 6),
            "without_position": self.without_position,
            "without_label": self.without_label,
            "classes": len(self.classes),
            "warnings": len(self.warnings),
        }


def batch(columns: Mapping[str, pa.Array | list[Any]]) -> pa.RecordBatch:
    """Return a `ROWS` batch of some of its columns, the others null. `lon` and `lat` may be float64."""
    if "where" not in columns:
        raise ValueError("every row says where it stands")
    n = len(columns["where"])
    arrays, fields = [], []
    for about in ROWS:
        given = columns.get(about.name)
        if given is None:
            given = pa.nulls(n, about.type)
        elif not isinstance(given, pa.Array):
            given = pa.array(given) if about.name in ("lon", "lat") else pa.array(given, about.type)
        if about.name in ("lon", "lat"):
            given = given.cast(pa.string() if pa.types.is_string(given.type) or pa.types.is_null(given.type) else pa.float64())
        else:
            given = given.cast(about.type)
        arrays.append(given)
        fields.append(pa.field(about.name, given.type))
    return pa.record_batch(arrays, schema=pa.schema(fields))


def file_facts(file: Path) -> FileFacts:
    """Return a file's size in bytes and its sha256."""
    return {"size": file.stat().st_size, "sha256": sha256_of(file)}
