"""A source's rows become a catalogue: every row ends in observations.parquet or, with a reason, in rejected.parquet.

Two passes. The first judges each batch as it comes, keeps what is light (ids, positions, labels, hashes) in memory and puts
the rest into a spool file; then what only the whole set can tell is judged: repeated ids and images, classes, the share set
aside. The second takes the spool file to the catalogue. Only then is anything written, and none of it depends on how the rows
were cut into batches.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cspops.data import duplicates, labels
from cspops.data.catalogue import OPTIONAL, REJECTED_SCHEMA, SCHEMA
from cspops.data.dates import NOT_UNDERSTOOD, read_dates
from cspops.data.masks import at, is_given, is_true
from cspops.data.official_roles import OFFICIAL, UNKNOWN, read_roles
from cspops.data.positions import read_positions
from cspops.data.rows import CROP, ROWS, Account, Inspect, Source
from cspops.data.swapped import look_exchanged
from cspops.data.verdicts import Verdicts
from cspops.errors import DataError
from cspops.progress import Report

NO_ID = "obs_id is missing"
REPEATED_ID = "obs_id is used by an earlier row"
NO_IMAGE = "no image: neither bytes nor path"
WITHOUT_POSITION = "kept without its position: "
TOO_FEW = "its class has fewer than {} observations"

ROW_GROUP = 8192
ROW_GROUP_BYTES = 128 << 20
"""A row group ends at so many rows, or after so many bytes of images."""

SPOOLED = pa.schema([ROWS.field(name) for name in ("location_id", "image", "crop", "image_features")])
CHECK = "cspops data check"


def ingest(
    source: Source,
    out: Path,
    *,
    inspect: Inspect | None,
    scratch: Path,
    min_class_size: int,
    max_rejected: float | None,
    bad_position: Literal["set_aside", "without_position"],
    duplicate_images: Literal["set_aside", "keep"],
    merge_labels: bool,
    report: Report,
) -> Account:
    """Read ``source`` to its end and write its catalogue: observations and rejected rows, classes, images, files.

    Args:
        source: is used up.
        out: an existing folder; after an exception it is as it was.
        inspect: looks at the images, batch by batch; None trusts them.
        scratch: a folder for a temporary file as large as the image column.
        min_class_size: labelled rows of a class that has fewer are set aside.
        max_rejected: the largest share of the rows that may be set aside; None: all of them, and none may be left.
        bad_position: whether a row whose position is wrong is set aside or kept without it.
        duplicate_images: whether rows that repeat an image are set aside or noted.
        merge_labels: whether labels that differ in case only become one class.
        report: is told the counts, the notes and the warnings.

    Raises:
        DataError: more rows are set aside than may be, or no observation or no class is left.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    spool = scratch / "rows.arrow"
    try:
        rows = _read(source, spool, inspect=inspect, bad_position=bad_position)
        warnings = _judge_whole(
            rows, min_class_size=min_class_size, duplicate_images=duplicate_images, merge_labels=merge_labels
        )
        account = _account(rows, [*source.remarks, *warnings])
        if max_rejected is not None:
            _refuse(account, rows, max_rejected)
        _write(rows, source, spool, out)
    finally:
        spool.unlink(missing_ok=True)
    _tell(account, report)
    return account


# --- the first pass


@dataclass
class _Rows:
    """What is kept in memory of all rows, an item a row."""

    verdicts: Verdicts
    where: pa.Array
    obs_id: pa.Array
    lon: np.ndarray
    lat: np.ndarray
    label: np.ndarray
    """Index in `names`, -1 for none; after `_judge_whole` in the sorted names of the classes that are left."""
    names: list[str]
    when: pa.Array
    role: np.ndarray
    sha256: pa.Array
    identity: np.ndarray
    """A number for the bytes of each image (by hash, else by path), -1 where they are not known."""
    crop: np.ndarray
    has: dict[str, np.ndarray]
    """Which rows have a value in each of `OPTIONAL`."""
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
    """The same by batches."""

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


def _read(source: Source, spool: Path, *, inspect: Inspect | None, bad_position: str) -> _Rows:
    parts = _Parts()
    given_positions = exchangeable = 0
    with pa.OSFile(str(spool), "wb") as opened, pa.ipc.new_file(opened, SPOOLED) as writer:
        for batch in source.batches:
            given, swappable = _read_batch(batch, parts, inspect=inspect, bad_position=bad_position)
            given_positions += given
            exchangeable += swappable
            heavy = batch.select(SPOOLED.names).cast(SPOOLED)
            for start in range(0, len(heavy), ROW_GROUP):  # pieces of which the second pass holds one at a time
                writer.write_batch(heavy.slice(start, ROW_GROUP))
    has = {name: parts.array(f"has_{name}").astype(bool) for name in OPTIONAL.names}
    label, crop = parts.array("label"), parts.array("crop").reshape(-1, 4)
    sha256, path = parts.column("sha256"), parts.column("path")
    by = pc.coalesce(sha256, pc.binary_join_element_wise("path:", path, ""))
    identity = pc.dictionary_encode(by).indices.fill_null(-1).to_numpy(zero_copy_only=False)
    del path, by
    return _Rows(
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
        has=has,
        given_positions=given_positions,
        exchangeable=exchangeable,
        labelled=int((label >= 0).sum()),
    )


def _read_batch(batch: pa.RecordBatch, parts: _Parts, *, inspect: Inspect | None, bad_position: str) -> tuple[int, int]:
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
            found = inspect(image if len(looked_at) == n else image.take(pa.array(looked_at)))
            sha256, reason, detail = (at(looked_at, one.cast(pa.string()), n) for one in found)
            verdicts.reject_each(reason, detail)

    dates = read_dates(column["captured_at"])
    verdicts.note(dates.not_understood, NOT_UNDERSTOOD)
    label, respelt = parts.names.codes(column["label"])
    verdicts.note(respelt, labels.RESPELT)
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
        # without bytes the path says which they are; a path beside bytes is but a name
        path=pc.if_else(pa.array(~has_bytes & _stands(path)), path, pa.scalar(None, pa.string())),
        crop=np.stack(sides, 1),
        has_image_sha256=is_given(sha256),
        has_crop=is_given(crop),
        has_image_features=features,
    )
    return int(positions.given.sum()), int(positions.exchangeable.sum())


def _stands(text: pa.Array) -> np.ndarray:
    """Which texts are neither null nor blank."""
    return is_true(pc.not_equal(pc.utf8_trim_whitespace(text), ""))


def _as_lists(texts: pa.Array) -> pa.ListArray:
    """Lists of one item, or of none for null."""
    given = is_given(texts)
    return pa.ListArray.from_arrays(pa.array(np.concatenate(([0], given.cumsum())), pa.int32()), texts.drop_null())


# --- what the whole set tells


def _judge_whole(rows: _Rows, *, min_class_size: int, duplicate_images: str, merge_labels: bool) -> list[str]:
    """Judge what takes all rows; returns the warnings."""
    verdicts, warnings = rows.verdicts, []
    _judge_ids(rows)
    exchanged = look_exchanged(
        rows.lon[rows.located], rows.lat[rows.located], given=rows.given_positions, exchangeable=rows.exchangeable
    )
    warnings += [exchanged] if exchanged else []
    warnings += _merge_labels(rows, merge=merge_labels)

    found = duplicates.find_duplicates(
        rows.identity, rows.crop, label=rows.label, role=rows.role, located=rows.located, candidate=verdicts.good
    )
    other = rows.where.take(pa.array(found.of, mask=found.of < 0))
    for which, reason in (
        (found.contradiction, duplicates.CONTRADICTION),
        (found.leakage, duplicates.LEAKAGE),
        (found.again, duplicates.AGAIN),
    ):
        if duplicate_images == "set_aside":
            verdicts.reject(which, reason, other)
        else:
            verdicts.note(which, reason)
    classes = _number_classes(rows, min_class_size)
    if not rows.labelled:
        warnings.append("no row has a label: nothing can be fine-tuned or evaluated")
    single = labels.about_singles(classes)
    return [*warnings, single] if single else warnings


def _judge_ids(rows: _Rows) -> None:
    codes = pc.dictionary_encode(rows.obs_id).indices.fill_null(-1).to_numpy(zero_copy_only=False)
    known, first = np.unique(codes, return_index=True)
    earlier = first[np.searchsorted(known, codes)]
    repeated = (earlier != np.arange(len(codes))) & (codes >= 0)
    if repeated.any():
        rows.verdicts.reject(repeated, REPEATED_ID, rows.where.take(pa.array(earlier)))


def _merge_labels(rows: _Rows, *, merge: bool) -> list[str]:
    counts = _counts(rows)
    replaced = labels.spellings(rows.names, counts)
    if not replaced:
        return []
    if merge:
        table = np.append(np.arange(len(rows.names)), -1)
        table[list(replaced)] = list(replaced.values())
        rows.verdicts.note((rows.label >= 0) & (table[rows.label] != rows.label), labels.MERGED)
        rows.label = table[rows.label]
    return [labels.about_case(rows.names, counts, replaced, merged=merge)]


def _number_classes(rows: _Rows, min_class_size: int) -> dict[str, int]:
    """Set the rows of small classes aside and number the others by their names; returns how many rows each has."""
    counts = _counts(rows)
    small = np.append(counts < min_class_size, False)
    in_small = small[rows.label]
    if in_small.any():
        names = pa.array([*rows.names, None], pa.string())
        rows.verdicts.reject(in_small, TOO_FEW.format(min_class_size), names.take(pa.array(rows.label % len(names))))
    left = sorted((name, code) for code, name in enumerate(rows.names) if counts[code] and not small[code])
    number = np.full(len(rows.names) + 1, -1, np.int32)
    number[[code for _, code in left]] = np.arange(len(left))
    rows.label = number[rows.label]
    rows.names = [name for name, _ in left]
    return {name: int(counts[code]) for name, code in left}


def _counts(rows: _Rows) -> np.ndarray:
    """Good rows of each name."""
    return np.bincount(rows.label[rows.verdicts.good & (rows.label >= 0)], minlength=len(rows.names))


# --- the account


def _account(rows: _Rows, warnings: list[str]) -> Account:
    good = rows.verdicts.good
    role = rows.role[good]
    roles = {name: int((role == code).sum()) for code, name in enumerate(OFFICIAL)} | {"none": int((role < 0).sum())}
    return Account(
        rows=len(good),
        observations=int(good.sum()),
        rejected=int((~good).sum()),
        reasons=rows.verdicts.reasons(),
        notes=rows.verdicts.notes(),
        warnings=warnings,
        without_position=int((good & ~rows.located).sum()),
        without_label=int((good & (rows.label < 0)).sum()),
        classes=dict(zip(rows.names, _counts(rows).tolist(), strict=True)),
        official_split={name: count for name, count in roles.items() if count},
    )


def _refuse(account: Account, rows: _Rows, max_rejected: float) -> None:
    """DataError when too little of the set is left."""
    if not account.rows:
        raise DataError("the source gives no row", hint=CHECK)
    set_aside = f"{account.rejected} of {account.rows} rows were set aside"
    if not account.observations or (rows.labelled and not account.classes):
        left = "class" if rows.labelled else "observation"
        most = next(iter(account.reasons))
        raise DataError(f"no {left} is left: {set_aside}, most because {most}{_commonest(account, rows)}", hint=CHECK)
    share = account.rejected / account.rows
    if share > max_rejected:
        raise DataError(
            f"{set_aside} ({share:.1%}), more than dataset.max_rejected allows ({max_rejected:.1%}){_commonest(account, rows)}",
            hint=CHECK,
        )


def _commonest(account: Account, rows: _Rows) -> str:
    """The ten commonest reasons, a line each, with the first row that has it."""
    details = rows.verdicts.details()
    lines = []
    for reason, count in list(account.reasons.items())[:10]:
        row = rows.verdicts.first_row(reason)
        detail = f": {details[row].as_py()}" if details[row].is_valid else ""
        lines.append(f"\n  {count}: {reason} (first {rows.where[row].as_py()}{detail})")
    more = len(account.reasons) - len(lines)
    return ":" + "".join(lines) + (f"\n  and {more} more reasons" if more > 0 else "")


def _tell(account: Account, report: Report) -> None:
    sizes = account.official_split
    report(f"{account.observations} observations of {len(account.classes)} classes: {sizes}")
    if account.without_position or account.without_label:
        report(f"{account.without_position} of them without a position, {account.without_label} without a label")
    report(f"{account.rejected} rows set aside" + "".join(f"; {count}: {why}" for why, count in account.reasons.items()))
    for note, count in account.notes.items():
        report(f"note on {count} rows: {note}")
    for warning in account.warnings:
        report(f"warning: {warning}")


# --- the second pass


def _write(rows: _Rows, source: Source, spool: Path, out: Path) -> None:
    """Write the five files into ``out``, or none of them."""
    documents = {"classes.json": rows.names, "images.json": source.reading.as_json(), "files.json": source.files}
    files = [out / name for name in ("observations.parquet", "rejected.parquet", *documents)]
    try:
        good = rows.verdicts.good
        extra = [column for column in OPTIONAL if (rows.has[column.name] & good).any()]
        schema = pa.schema([*SCHEMA, *extra])
        with pq.ParquetWriter(files[0], schema, compression="zstd") as writer:
            for group in _row_groups(_observations(rows, spool, schema), schema):
                writer.write_table(group, row_group_size=ROW_GROUP)
        bad = np.flatnonzero(~good)
        columns = {
            "row": pa.array(bad),
            "where": rows.where.take(pa.array(bad)),
            "obs_id": rows.obs_id.take(pa.array(bad)),
            "reason": pa.array(list(rows.verdicts.sentences), pa.string()).take(pa.array(rows.verdicts.reason[bad])),
            "detail": rows.verdicts.details().take(pa.array(bad)),
        }
        pq.write_table(pa.table(columns, schema=REJECTED_SCHEMA), files[1], compression="zstd")
        for name, document in documents.items():
            text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=name == "files.json")
            (out / name).write_text(text + "\n", encoding="utf-8")
    except BaseException:
        for file in files:
            file.unlink(missing_ok=True)
        raise


def _observations(rows: _Rows, spool: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """The good rows of each batch of the spool file."""
    good, nowhere = rows.verdicts.good, ~rows.located
    role = pa.array([*OFFICIAL, None], pa.string())
    start = 0
    with pa.OSFile(str(spool), "rb") as opened, pa.ipc.open_file(opened) as reader:
        for index in range(reader.num_record_batches):
            heavy = reader.get_batch(index)
            here = slice(start, start + heavy.num_rows)
            place, start = pc.utf8_trim_whitespace(heavy["location_id"]), here.stop
            columns = {
                "obs_id": rows.obs_id[here],
                "lon": pa.array(rows.lon[here], mask=nowhere[here]),
                "lat": pa.array(rows.lat[here], mask=nowhere[here]),
                "label": pa.array(rows.label[here], mask=rows.label[here] < 0),
                "captured_at": rows.when[here],
                "location_id": pc.if_else(pc.equal(place, ""), pa.scalar(None, pa.string()), place),
                "official_split": role.take(pa.array(rows.role[here] % len(role))),
                "image": heavy["image"],
                "image_sha256": rows.sha256[here],
                "crop": heavy["crop"],
                "image_features": heavy["image_features"],
            }
            table = pa.table({name: columns[name] for name in schema.names}).cast(schema)
            yield table if good[here].all() else table.filter(pa.array(good[here]))


def _row_groups(tables: Iterator[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """The same rows in tables of `ROW_GROUP` rows, or fewer where their images have `ROW_GROUP_BYTES`; at least one."""
    waiting, rows, size, some = [schema.empty_table()], 0, 0, False
    for table in tables:
        lengths = pc.binary_length(pc.struct_field(table["image"], "bytes")).fill_null(0).to_numpy().astype(np.int64)
        start = 0
        while start < len(table):
            # the row after which the group has so many bytes is its last
            full = int(np.searchsorted(lengths[start:].cumsum(), ROW_GROUP_BYTES - size)) + 1
            stop = min(len(table), start + min(ROW_GROUP - rows, full))
            waiting.append(table.slice(start, stop - start))
            rows, size = rows + stop - start, size + int(lengths[start:stop].sum())
            if rows == ROW_GROUP or size >= ROW_GROUP_BYTES:
                yield pa.concat_tables(waiting).combine_chunks()
                waiting, rows, size, some = [schema.empty_table()], 0, 0, True
            start = stop
    if rows or not some:
        yield pa.concat_tables(waiting).combine_chunks()
