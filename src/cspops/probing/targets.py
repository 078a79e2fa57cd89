"""Targets: a number or a class at each of many places, from the columns of a table."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from cspops.errors import CspopsError, DataError, ParamsError, nearest
from cspops.intake.judging.positions import read_positions
from cspops.intake.tables.columns import listed_columns
from cspops.intake.tables.points import PositionReader, position_columns
from cspops.intake.tables.records import shortened
from cspops.intake.tables.table_files import Table, open_file
from cspops.intake.tables.values import as_text, trimmed
from cspops.library.inputs import NO_POSITION
from cspops.seeds import numpy_stream
from cspops.shapes import Bool, Float, Int, Tensor

log = logging.getLogger(__name__)

Kind = Literal["regression", "classification"]
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
LONE = ("inf", "-inf", "+inf", "infinity", "-infinity", "+infinity")
LARGEST = 1e100
"""Of a target; squares of larger ones leave float64."""
MISSING, NO_NUMBER = "the target is missing", "the target is not a number"
NOT_FINITE = f"the target is not finite, or beyond {LARGEST:g}"
RARE = "its class has too few rows"
OBS_ID = "obs_id"


@dataclass(frozen=True)
class Target:
    """What is to be predicted at n places.

    Attributes:
        lonlat: degrees, float64.
        value: float64 numbers, or int64 numbers of ``classes``.
        set_aside: rows that could not be used, by reason.
        obs_id: of each row, where the table has a column of that name.
        source: where it is from.
        licence: of that source, where it is known.
    """

    name: str
    kind: Kind
    lonlat: Float[Tensor, "n 2"]
    value: Tensor
    classes: tuple[str, ...] = ()
    set_aside: Mapping[str, int] = field(default_factory=dict)
    obs_id: tuple[str, ...] | None = None
    source: str = ""
    licence: str = ""

    def of(self, rows: Int[Tensor, "m"]) -> "Target":
        """Return some rows."""
        ids = None if self.obs_id is None else tuple(self.obs_id[row] for row in rows.tolist())
        return replace(self, lonlat=self.lonlat[rows], value=self.value[rows], obs_id=ids)


@dataclass(frozen=True)
class _Rows:
    """The usable part of a table: positions, the target as text with null where it is missing, ids; and why others are not."""

    lonlat: Float[np.ndarray, "n 2"]
    columns: dict[str, pa.Array]
    set_aside: Counter[str]


def read_targets(
    file: Path, names: Sequence[str], *, kind: Kind | None, most: int | None, folds: int, seed: int
) -> list[Target]:
    """Read the named columns of a table, or the one that is a target.

    Args:
        file: any table that has positions.
        names: columns; none: `target`, or else the only column besides the position and `obs_id`.
        kind: None: regression where all values are numbers, classification where none is.
        most: rows of a target at most, drawn at random; None: all.
        folds: classes with fewer rows than that are set aside.
        seed: of the draw.

    Raises:
        DataError: a column is missing, no row can be used, or the target is the same everywhere.
    """
    table, _ = open_file(file, key=None)
    positions = position_columns(table)
    wanted = _target_columns(table, names, positions)
    ids = [OBS_ID] if OBS_ID in table.names and OBS_ID not in wanted else []
    rows = _read(table, positions, [*wanted, *ids])
    targets = []
    for name in wanted:
        column = rows.columns[name]
        values, classes, lost = _judged(column, kind, f"{file.name}: column {name!r}")
        of_ids = tuple(rows.columns[OBS_ID].fill_null("").to_pylist()) if ids else None
        chosen: Kind = "classification" if classes is not None else "regression"
        target = Target(name, chosen, torch.from_numpy(rows.lonlat), values, classes or (), {}, of_ids, file.name)
        targets.append(usable(target, rows.set_aside, lost, most=most, folds=folds, seed=seed))
    return targets


def usable(
    target: Target,
    set_aside: Mapping[str, int],
    lost: Mapping[str, Bool[np.ndarray, "n"]],
    *,
    most: int | None,
    folds: int,
    seed: int,
) -> Target:
    """Return a target without the rows that are lost, those of rare classes, and those beyond ``most``.

    DataError where none is left, or all that are left are the same.
    """
    why, keep = Counter(set_aside), np.ones(len(target.lonlat), bool)
    for reason, rows in lost.items():
        if rows.any():
            why[reason] += int((rows & keep).sum())
            keep &= ~rows
    if not keep.any():
        told = "; ".join(f"{count:,} rows: {reason}" for reason, count in why.most_common(3)) or "it has no rows"
        raise DataError(
            f"{target.source}: no row of {target.name!r} can be used: {told}", hint="it needs lon, lat and a target"
        )
    part = target.of(torch.from_numpy(np.flatnonzero(keep)))
    if most is not None and len(part.value) > most:
        drawn = np.sort(numpy_stream(seed, "probe", "rows", target.name).permutation(len(part.value))[:most])
        part = part.of(torch.from_numpy(drawn))
    if len(part.value.unique()) == 1:
        value = part.classes[int(part.value[0])] if part.classes else f"{float(part.value[0]):g}"
        where = f"all {len(part.value):,} rows" if len(part.value) > 1 else "the only row that can be used"
        raise DataError(
            f"{target.source}: {target.name!r} is {shortened(value, 40)} in {where}",
            hint="name another column with --target",
        )
    if part.kind == "classification":
        part = _common(part, folds, why)
    return replace(part, set_aside=dict(why))


def _common(part: Target, folds: int, why: Counter[str]) -> Target:
    """Return the rows of classes that have as many rows as there are folds, and number these classes anew."""
    counts = torch.bincount(part.value, minlength=len(part.classes))
    kept = counts >= folds
    left = int(kept.sum())
    if left < 2:
        raise DataError(
            f"{part.source}: {part.name!r} has {int((counts > 0).sum()):,} classes in {len(part.value):,} rows, and "
            f"{'only one' if left else 'none'} of them has {folds} rows, one for each fold",
            hint="--as regression if it is a number; fewer --folds, more rows, or coarser classes",
        )
    rare = ~kept[part.value]
    if rare.any():
        why[f"{RARE} (fewer than {folds})"] += int(rare.sum())
    part = part.of((~rare).nonzero()[:, 0])
    numbers = kept.cumsum(0) - 1
    names = tuple(name for name, there in zip(part.classes, kept.tolist(), strict=True) if there)
    return replace(part, value=numbers[part.value], classes=names)


def _target_columns(table: Table, names: Sequence[str], positions: Sequence[str]) -> list[str]:
    if names:
        for name in names:
            if name not in table.names:
                _no_column(table, name)
            if name in positions:
                raise DataError(
                    f"{table.file.name}: {name!r} is the position, which everything is predicted from", hint="another --target"
                )
        return list(dict.fromkeys(names))
    others = [name for name in table.names if name not in positions and name != OBS_ID]
    if "target" in others or len(others) == 1:
        return ["target"] if "target" in others else others
    if not others:
        raise DataError(
            f"{table.file.name} has no column besides the position", hint=f"add a target; {listed_columns(table.names)}"
        )
    _no_column(table, "target", DataError)


def _no_column(table: Table, name: str, kind: type[CspopsError] = ParamsError) -> NoReturn:
    near = nearest(name, table.names)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    raise kind(f"{table.file.name} has no column {name!r}{guess}", hint=f"--target NAME; {listed_columns(table.names)}")


def _read(table: Table, positions: tuple[str, ...], names: Sequence[str]) -> _Rows:
    reader, why = PositionReader(table.file.name, positions), Counter[str]()
    places: list[np.ndarray] = [np.zeros((0, 2))]
    parts: dict[str, list[pa.Array]] = {name: [] for name in names}
    for records in table.records(sorted({*positions, *names})):
        lonlat = reader.read(records)
        assert lonlat is not None
        found = read_positions(*lonlat)
        keep = ~np.isnan(found.lon)
        keep[list(records.reasons)] = False
        why.update(reason for reason, _ in records.reasons.values())
        faults = found.fault.to_pylist()
        why.update(faults[row] or NO_POSITION for row in np.flatnonzero(~keep) if row not in records.reasons)
        places.append(np.stack((found.lon, found.lat), 1)[keep])
        for name in names:
            text = as_text(records.columns[name], f"{table.file.name}: column {name!r}")
            parts[name].append(trimmed(text).filter(pa.array(keep)))
    for remark in [*table.remarks, *reader.remarks()]:
        log.info(remark)
    columns = {name: pa.concat_arrays(some) if some else pa.array([], pa.string()) for name, some in parts.items()}
    return _Rows(np.concatenate(places), columns, why)


def _judged(
    text: pa.Array, kind: Kind | None, what: str
) -> tuple[Tensor, tuple[str, ...] | None, dict[str, Bool[np.ndarray, "n"]]]:
    """Return values, the names of classes (None: they are numbers), and which rows are lost, by reason."""
    missing = text.is_null().to_numpy(zero_copy_only=False)
    infinite = _true(pc.is_in(pc.utf8_lower(text), pa.array(LONE)))
    number = _true(pc.match_substring_regex(text, NUMBER)) | infinite
    odd = np.flatnonzero(~number & ~missing)
    if kind is None and number.any() and len(odd):
        if number.sum() > len(odd):
            raise DataError(
                f"{what}: {len(odd):,} of {len(odd) + number.sum():,} values are no numbers (first {_shown(text[odd[0]])})",
                hint="--as regression sets the others aside; --as classification takes all as classes",
            )
        kind = "classification"
    if kind == "classification" or (kind is None and len(odd)):
        codes = text.dictionary_encode()
        names = codes.dictionary.to_pylist()
        order = np.argsort(np.array(names, dtype=object), kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        at = codes.indices.fill_null(0).to_numpy().astype(np.int64)
        values = torch.from_numpy(rank[at] if len(rank) else at)
        return values, tuple(names[one] for one in order), {MISSING: missing}
    plain = pc.if_else(pa.array(number & ~infinite), text, pa.scalar(None, pa.string()))
    values = torch.from_numpy(pc.cast(plain, pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False).copy())
    infinite |= (values.abs() > LARGEST).numpy()
    return values, None, {MISSING: missing, NO_NUMBER: ~number & ~missing, NOT_FINITE: infinite}


def _shown(text: pa.Scalar) -> str:
    return repr(shortened(text.as_py(), 40))


def _true(flags: pa.Array) -> Bool[np.ndarray, "n"]:
    out: np.ndarray = flags.fill_null(False).to_numpy(zero_copy_only=False)
    return out
