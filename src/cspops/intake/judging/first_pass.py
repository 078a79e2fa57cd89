"""The first pass over a source: each batch is judged by itself, what is light stays in memory, the rest is spooled."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cspops.data.schemas import OPTIONAL, OVERHEAD
from cspops.errors import EnvironmentProblem, written_into
from cspops.intake.judging import labels
from cspops.intake.judging.footprints import judge_overhead, overhead_as_image
from cspops.intake.judging.labels import NO_MONTH, NOT_UNDERSTOOD, UNKNOWN, read_dates, read_roles
from cspops.intake.judging.positions import read_positions
from cspops.intake.judging.verdicts import Verdicts, at, is_given, is_true
from cspops.intake.overhead_rows import Looking
from cspops.intake.rows import ROWS, Inspect, Source
from cspops.pixels.reading import CROP

NO_ID = "obs_id is missing"
NO_IMAGE = "no image: neither bytes nor path"
WITHOUT_POSITION = "kept without its position: "
UNCERTAIN = "its position is less certain than dataset.max_uncertainty_m allows"
OBSCURED = "its position is obscured, and it is not said by how much (dataset.max_uncertainty_m)"

SPOOLED = pa.schema(
    [ROWS.field(name) for name in ("location_id", "image", "crop", "image_features")] + [OVERHEAD.field("overhead")]
)
PIECE = 8192
"""Rows of a batch of the spool file; the second pass holds one at a time."""


@dataclass
class Intake:
    """The columns of all rows that stay in memory, one item per row."""

    verdicts: Verdicts
    where: pa.Array
    obs_id: pa.Array
    lon: np.ndarray
    lat: np.ndarray
    label: np.ndarray
    """Index in `names`, -1 for none; after the classes are numbered, in the sorted names of the classes that are left."""
    names: list[str]
    when: pa.Array
    role: np.ndarray
    sha256: pa.Array
    identity: np.ndarray
    """A number for the bytes of each image (by hash, else by path), -1 where they are not known."""
    crop: np.ndarray
    uncertainty: np.ndarray
    """Of the position, metres; nan where it is not known."""
    bbox: np.ndarray
    """Of the overhead image, (n, 4) degrees, see `data.overhead.BBOX`; nan where there is none."""
    has: dict[str, np.ndarray]
    """Which rows have a value in each of `OPTIONAL` and `OVERHEAD`."""
    given_positions: int
    """How many rows give a position, right or wrong."""
    exchangeable: int
    """How many of those are wrong, but would be right with longitude and latitude exchanged."""
    labelled: int
    """How many rows have a label, set aside or not."""

    @property
    def located(self) -> np.ndarray:
        located: np.ndarray = ~np.isnan(self.lon)
        return located


@dataclass
class _Parts:
    """The columns of `Intake`, batch by batch."""

    sentences: dict[str, int] = field(default_factory=dict)
    verdicts: list[Verdicts] = field(default_factory=list)
    columns: dict[str, list[pa.Array]] = field(default_factory=dict)
    arrays: dict[str, list[np.ndarray]] = field(default_factory=dict)
    names: labels.Names = field(default_factory=labels.Names)

    def add(self, **columns: "pa.Array | np.ndarray") -> None:
        for name, column in columns.items():
            store = self.arrays if isinstance(column, np.ndarray) else self.columns
            store.setdefault(name, []).append(column)

    def column(self, name: str) -> pa.Array:
        parts = self.columns.pop(name, [])
        return pa.concat_arrays(parts) if parts else pa.array([], pa.string())

    def array(self, name: str) -> np.ndarray:
        parts = self.arrays.pop(name, [])
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)


class _Spool:
    """The spool file while it is written; EnvironmentProblem when it cannot be."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __enter__(self) -> "_Spool":
        with written_into(self.file.parent), ExitStack() as opening:
            opened = opening.enter_context(pa.OSFile(str(self.file), "wb"))
            self._writer = opening.enter_context(pa.ipc.new_file(opened, SPOOLED))
            self._open = opening.pop_all()
        return self

    def add(self, batch: pa.RecordBatch) -> None:
        heavy = _heavy(batch)
        with written_into(self.file.parent):
            for start in range(0, len(heavy), PIECE):
                self._writer.write_batch(heavy.slice(start, PIECE))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with written_into(self.file.parent):
                self._open.close()
        except EnvironmentProblem:
            if kind is None:  # else what was raised before says more
                raise


def _heavy(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the columns of `SPOOLED`."""
    if "overhead" not in batch.schema.names:
        batch = batch.append_column("overhead", pa.nulls(len(batch), SPOOLED.field("overhead").type))
    return batch.select(SPOOLED.names).cast(SPOOLED)


def read_source(
    source: Source,
    spool: Path,
    *,
    inspect: Inspect | None,
    looking: Looking | None,
    bad_position: Literal["set_aside", "without_position"],
    max_uncertainty_m: float | None,
) -> Intake:
    """Read ``source`` to its end and write ``spool``, an Arrow file of `SPOOLED`; arguments as in `ingest`."""
    parts = _Parts()
    given_positions = exchangeable = 0
    with _Spool(spool) as written:
        for batch in source.batches:
            batch, alone = overhead_as_image(batch)
            given, swappable = _read_batch(
                batch, parts, inspect=inspect, bad_position=bad_position, max_uncertainty_m=max_uncertainty_m
            )
            _read_overhead(batch, parts, alone=alone, looking=looking)
            given_positions += given
            exchangeable += swappable
            written.add(batch)
    has = {name: parts.array(f"has_{name}").astype(bool) for name in (*OPTIONAL.names, *OVERHEAD.names)}
    label, crop = parts.array("label"), parts.array("crop").reshape(-1, 4)
    sha256, path = parts.column("sha256"), parts.column("path")
    by = pc.coalesce(sha256, pc.binary_join_element_wise("path:", path, ""))
    identity = pc.dictionary_encode(by).indices.fill_null(-1).to_numpy(zero_copy_only=False)
    del path, by
    return Intake(
        verdicts=Verdicts.joined(parts.verdicts, parts.sentences),
        where=parts.column("where"),
        obs_id=parts.column("obs_id"),
        lon=parts.array("lon").astype(float),
        lat=parts.array("lat").astype(float),
        label=label,
        names=parts.names.names,
        when=parts.column("when"),
        role=parts.array("role"),
        sha256=sha256,
        identity=identity,
        crop=crop,
        uncertainty=parts.array("uncertainty").astype(float),
        bbox=parts.array("bbox").astype(float).reshape(-1, 4),
        has=has,
        given_positions=given_positions,
        exchangeable=exchangeable,
        labelled=int((label >= 0).sum()),
    )


def _read_batch(
    batch: pa.RecordBatch,
    parts: _Parts,
    *,
    inspect: Inspect | None,
    bad_position: str,
    max_uncertainty_m: float | None,
) -> tuple[int, int]:
    """Judge a batch by itself; returns how many positions it gives, and how many are wrong, but right when exchanged."""
    n = batch.num_rows
    column = {name: batch.column(name) for name in ROWS.names}
    verdicts = Verdicts(n, parts.sentences)
    verdicts.reject_each(column["reason"], column["detail"])
    verdicts.note_each(column["notes"])
    verdicts.reject(~_stands(column["obs_id"]), NO_ID)

    positions = read_positions(column["lon"], column["lat"])
    for note, which in positions.notes.items():
        verdicts.note(which, note)
    if bad_position == "set_aside":
        verdicts.reject_each(positions.fault, positions.detail)
    else:
        verdicts.note_each(_as_lists(pc.binary_join_element_wise(WITHOUT_POSITION, positions.fault, "")))

    located = ~np.isnan(positions.lon)
    uncertainty = np.where(located, column["uncertainty_m"].fill_null(np.nan).to_numpy(zero_copy_only=False), np.nan)
    if max_uncertainty_m is not None:
        metres = pc.binary_join_element_wise(column["uncertainty_m"].cast(pa.string()), "m", " ")
        verdicts.reject(np.isinf(uncertainty), OBSCURED)
        verdicts.reject(uncertainty > max_uncertainty_m, UNCERTAIN, metres)

    image = column["image"]
    content, path = pc.struct_field(image, "bytes"), pc.struct_field(image, "path")
    features = is_given(pc.struct_field(column["image_features"], "path"))
    has_bytes = is_true(pc.greater(pc.binary_length(content), 0))
    verdicts.reject(~(has_bytes | _stands(path) | features), NO_IMAGE)

    role, unknown = read_roles(column["official_split"])
    verdicts.reject(unknown, UNKNOWN, column["official_split"])
    sha256 = pa.nulls(n, pa.string())
    if inspect is not None:
        looked_at = np.flatnonzero(verdicts.good)
        if len(looked_at):
            inspected = inspect(image if len(looked_at) == n else image.take(pa.array(looked_at)))
            sha256, reason, detail = (at(looked_at, one.cast(pa.string()), n) for one in inspected)
            verdicts.reject_each(reason, detail)

    dates = read_dates(column["captured_at"])
    verdicts.note(dates.not_understood, NOT_UNDERSTOOD)
    verdicts.note(dates.no_month, NO_MONTH)
    label, respelled = parts.names.codes(column["label"])
    verdicts.note(respelled, labels.RESPELLED)
    crop = column["crop"]
    sides = [pc.struct_field(crop, side.name).fill_null(-1).to_numpy(zero_copy_only=False) for side in CROP]
    parts.verdicts.append(verdicts)
    parts.add(
        where=column["where"],
        obs_id=column["obs_id"],
        lon=positions.lon,
        lat=positions.lat,
        label=label,
        when=dates.when,
        role=role,
        sha256=sha256,
        # without bytes the path says which they are; a path beside bytes is only a name
        path=pc.if_else(pa.array(~has_bytes & _stands(path)), path, pa.scalar(None, pa.string())),
        crop=np.stack(sides, 1),
        uncertainty=uncertainty,
        has_uncertainty_m=~np.isnan(uncertainty),
        has_image_sha256=is_given(sha256),
        has_crop=is_given(crop),
        has_image_features=features,
    )
    return int(positions.given.sum()), int(positions.exchangeable.sum())


def _read_overhead(batch: pa.RecordBatch, parts: _Parts, *, alone: np.ndarray, looking: Looking | None) -> None:
    """Judge the overhead images of the batch that was read last; arguments as in `judge_overhead`."""
    lonlat, verdicts = (parts.arrays["lon"][-1], parts.arrays["lat"][-1]), parts.verdicts[-1]
    overhead = judge_overhead(batch, lonlat, verdicts, alone=alone, looking=looking)
    parts.add(bbox=overhead.bbox, has_overhead=overhead.beside, has_overhead_bbox=~np.isnan(overhead.bbox[:, 0]))


def _stands(text: pa.Array) -> np.ndarray:
    """Return which texts are neither null nor blank."""
    return is_true(pc.not_equal(pc.utf8_trim_whitespace(text), ""))


def _as_lists(texts: pa.Array) -> pa.ListArray:
    """Return lists of one item, or of none for null."""
    given = is_given(texts)
    return pa.ListArray.from_arrays(pa.array(np.concatenate(([0], given.cumsum())), pa.int32()), texts.drop_null())
