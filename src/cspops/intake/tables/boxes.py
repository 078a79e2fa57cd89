"""The footprints of overhead images in a table: one column of four numbers, or a column for each side."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from cspops.intake.tables.columns import recognised_column
from cspops.intake.tables.records import Records
from cspops.intake.tables.values import as_text, decoded, given

SIDES = (
    ("lon_min", "lat_min", "lon_max", "lat_max"),
    ("min_lon", "min_lat", "max_lon", "max_lat"),
    ("west", "south", "east", "north"),
)
"""Usual names of four columns, also with `overhead_` or `overhead_bbox_` before them. Not xmin, as boxes of pixels have it."""


def side_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of west, south, east and north, none where one of them is not there."""
    for prefix in ("overhead_bbox_", "overhead_", ""):
        for sides in SIDES:
            found = [recognised_column(prefix + side, names) for side in sides]
            if all(found):
                return tuple(map(str, found))
    return ()


def read_box_texts(records: Records, names: Sequence[str], *, what: str) -> pa.Array:
    """Return `overhead_bbox` as text, from one column (text, a list or a struct) or four; null where nothing stands."""
    if len(names) == 1:
        values = decoded(records.columns[names[0]])
        if not pa.types.is_nested(values.type):
            return given(as_text(values, f"{what}: column {names[0]!r}"))
        rows = (list(one.values()) if isinstance(one, dict) else one for one in values.to_pylist())
        return pa.array([None if row is None else ",".join(map(str, row)) for row in rows], pa.string())
    sides = [given(as_text(records.columns[name], f"{what}: column {name!r}")) for name in names]
    whole = pc.binary_join_element_wise(*sides, ",", null_handling="replace", null_replacement="")
    return pc.if_else(pc.equal(whole, ",,,"), pa.scalar(None, pa.string()), whole)
