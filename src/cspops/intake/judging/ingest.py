"""A source's rows become a catalogue: every row ends in observations.parquet or, with a reason, in rejected.parquet.

Two passes. The first (`first_pass`) judges each batch as it comes, keeps what is light (ids, positions, labels, hashes) in
memory and puts the rest into a spool file; then what only the whole set shows is judged here: repeated ids and images,
classes, the share set aside. The second (`second_pass`) takes the spool file to the catalogue. Only then is anything written,
and none of it depends on how the rows were cut into batches.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cspops.errors import DataError, written_into
from cspops.intake.judging import labels, whole_set
from cspops.intake.judging.first_pass import Intake, read_source
from cspops.intake.judging.footprints import AS_A_PHOTO, WITHOUT
from cspops.intake.judging.labels import OFFICIAL
from cspops.intake.judging.second_pass import write_catalogue
from cspops.intake.judging.whole_set import look_exchanged
from cspops.intake.overhead_rows import Looking, OverheadAccount
from cspops.intake.rows import Account, Inspect, Source

log = logging.getLogger(__name__)

REPEATED_ID = "obs_id is used by an earlier row"
TOO_FEW = "its class has fewer than {} observations"
NO_POSITION = "no row has a position: stage pretrain will stop"
CHECK = "cspops data check"
EXAMPLES = 3
"""Rows that are named for each reason and note."""


@dataclass(frozen=True)
class Rules:
    """The rules by which rows are set aside or kept."""

    min_class_size: int
    """Labelled rows of a class that has fewer are set aside."""
    max_rejected: float | None
    """The largest share of the rows that may be set aside; None: all of them, and none may be left."""
    bad_position: Literal["set_aside", "without_position"]
    """Whether a row whose position is wrong is set aside or kept without it."""
    duplicate_images: Literal["set_aside", "keep"]
    """Whether rows that repeat an image are set aside or noted."""
    merge_labels: bool
    """Whether labels that differ in case only become one class."""
    max_uncertainty_m: float | None = None
    """Rows whose position is less certain are set aside; None: none are."""


def ingest(
    source: Source,
    out: Path,
    rules: Rules,
    *,
    inspect: Inspect | None,
    scratch: Path,
    looking: Looking | None = None,
) -> Account:
    """Read ``source`` to its end and write its catalogue: observations and rejected rows, classes, images, files.

    Args:
        source: is used up.
        out: an existing folder; after an exception it is as it was.
        inspect: looks at the images, batch by batch; None trusts them.
        scratch: a folder for a temporary file as large as the image column.
        looking: at overhead images; None trusts them, and that their files give no footprints.

    Raises:
        DataError: more rows are set aside than may be, or no observation or no class is left.
        EnvironmentProblem: ``out`` or ``scratch`` cannot be written, as on a disk that is full.
    """
    with written_into(scratch):
        scratch.mkdir(parents=True, exist_ok=True)
    spool = scratch / "rows.arrow"
    try:
        rows = read_source(
            source,
            spool,
            inspect=inspect,
            looking=looking,
            bad_position=rules.bad_position,
            max_uncertainty_m=rules.max_uncertainty_m,
        )
        warnings = _judge_whole(rows, rules, source)
        account = _account(rows, [*source.remarks, *warnings])
        if rules.max_rejected is not None:
            _refuse(account, rows, rules.max_rejected)
        with written_into(out):
            write_catalogue(rows, source, spool, out, overhead=source.reading if looking is None else looking.reading)
    finally:
        spool.unlink(missing_ok=True)
    _log(account)
    return account


# --- what only the whole set shows


def _judge_whole(rows: Intake, rules: Rules, source: Source) -> list[str]:
    """Judge what takes all rows of ``source``, which has been read; returns the warnings."""
    verdicts, warnings = rows.verdicts, []
    _judge_ids(rows)
    exchanged = look_exchanged(
        rows.lon[rows.located],
        rows.lat[rows.located],
        given=rows.given_positions,
        exchangeable=rows.exchangeable,
        columns=source.columns,
    )
    warnings += [exchanged] if exchanged else []
    warnings += _merge_labels(rows, merge=rules.merge_labels)

    repeats = whole_set.find_duplicates(
        rows.identity, rows.crop, label=rows.label, role=rows.role, located=rows.located, candidate=verdicts.good
    )
    other = rows.where.take(pa.array(repeats.other, mask=repeats.other < 0))
    for which, reason in (
        (repeats.contradiction, whole_set.CONTRADICTION),
        (repeats.leakage, whole_set.LEAKAGE),
        (repeats.again, whole_set.AGAIN),
    ):
        if rules.duplicate_images == "set_aside":
            verdicts.reject(which, reason, other)
        else:
            verdicts.note(which, reason)
    classes = _number_classes(rows, rules.min_class_size)
    if not rows.labelled:
        warnings.append("no row has a label: nothing can be fine-tuned or evaluated")
    if verdicts.good.any() and not (verdicts.good & rows.located).any():
        warnings.append(f"{NO_POSITION}; {source.unplaced}" if source.unplaced else NO_POSITION)
    lost = _lost_overhead(rows)
    warnings += [lost] if lost else []
    single = labels.about_singles(classes)
    return [*warnings, single] if single else warnings


def _lost_overhead(rows: Intake) -> str | None:
    """Return a warning where rows came with overhead images and none is left."""
    if (rows.verdicts.good & rows.has["overhead_bbox"]).any():
        return None
    lost = {note: n for note, n in rows.verdicts.notes().items() if note.startswith((WITHOUT, AS_A_PHOTO))}
    count, most = sum(lost.values()), next(iter(lost), "")
    return f"none of {count:,} overhead images can be used, most because {most.partition(': ')[2]}" if lost else None


def _judge_ids(rows: Intake) -> None:
    codes = pc.dictionary_encode(rows.obs_id).indices.fill_null(-1).to_numpy(zero_copy_only=False)
    known, first = np.unique(codes, return_index=True)
    earlier = first[np.searchsorted(known, codes)]
    repeated = (earlier != np.arange(len(codes))) & (codes >= 0)
    if repeated.any():
        rows.verdicts.reject(repeated, REPEATED_ID, rows.where.take(pa.array(earlier)))


def _merge_labels(rows: Intake, *, merge: bool) -> list[str]:
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


def _number_classes(rows: Intake, min_class_size: int) -> dict[str, int]:
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


def _counts(rows: Intake) -> np.ndarray:
    """Count the good rows of each name."""
    return np.bincount(rows.label[rows.verdicts.good & (rows.label >= 0)], minlength=len(rows.names))


# --- the account


def _account(rows: Intake, warnings: list[str]) -> Account:
    good = rows.verdicts.good
    role = rows.role[good]
    roles = {name: int((role == code).sum()) for code, name in enumerate(OFFICIAL)} | {"none": int((role < 0).sum())}
    account = Account(
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
        noted={note: rows.where.take(pa.array(first)).to_pylist() for note, first in rows.verdicts.noted(EXAMPLES).items()},
    )
    covered = int((good & rows.has["overhead_bbox"]).sum())
    return OverheadAccount(**vars(account), with_overhead=covered) if covered else account


def _refuse(account: Account, rows: Intake, max_rejected: float) -> None:
    """Raise DataError when too little of the set is left."""
    if not account.rows:
        raise DataError("the source gives no row", hint=CHECK)
    set_aside = f"{account.rejected} of {account.rows} rows were set aside"
    if not account.observations or (rows.labelled and not account.classes):
        left = "class" if rows.labelled else "observation"
        most = next(iter(account.reasons))
        raise DataError([f"no {left} is left: {set_aside}, most because {most}:", *_commonest(account, rows)], hint=CHECK)
    share = account.rejected / account.rows
    if share > max_rejected:
        more = f"{set_aside} ({share:.1%}), more than dataset.max_rejected allows ({max_rejected:.1%}):"
        raise DataError([more, *_commonest(account, rows)], hint=CHECK)


def _commonest(account: Account, rows: Intake) -> list[str]:
    """Return the ten commonest reasons, one per line, with the first row that has it."""
    details = rows.verdicts.details()
    lines = []
    for reason, count in list(account.reasons.items())[:10]:
        row = rows.verdicts.first_row(reason)
        detail = f": {details[row].as_py()}" if details[row].is_valid else ""
        lines.append(f"  {count}: {reason} (first {rows.where[row].as_py()}{detail})")
    more = len(account.reasons) - len(lines)
    return [*lines, *([f"  and {more} more reasons"] if more > 0 else [])]


def _log(account: Account) -> None:
    sizes = account.official_split
    log.info(f"{account.observations} observations of {len(account.classes)} classes: {sizes}")
    if account.without_position or account.without_label:
        log.info(f"{account.without_position} of them without a position, {account.without_label} without a label")
    log.info(f"{account.rejected} rows set aside" + "".join(f"; {count}: {why}" for why, count in account.reasons.items()))
    for note, count in account.notes.items():
        log.info(f"note on {count} rows: {note}")
    for warning in account.warnings:
        log.warning(warning)
