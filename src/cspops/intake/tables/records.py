"""What a table file gives, whatever its format: some of its columns, in batches, each row with its number."""

import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Records:
    """Consecutive rows of a table."""

    number: pa.Array
    """Where each row stands, int64 from 1: the line it begins at, or the row of a Parquet file, or the feature."""
    columns: dict[str, pa.Array]
    """By name; any Arrow type."""
    lonlat: tuple[pa.Array, pa.Array] | None = None
    """Longitudes and latitudes (degrees WGS84) of the rows' geometries, where the format has them."""
    reasons: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Of rows that cannot be read, by their index in this batch: why, and the text at fault."""
    notes: dict[int, str] = field(default_factory=dict)
    """Of rows that are odd and kept, by their index in this batch."""


def shortened(text: str, most: int = 120) -> str:
    """Return a value for `detail`, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def column(values: list[Any]) -> pa.Array:
    """Return JSON values as one Arrow column: text, or numbers, or text of all where kinds are mixed."""
    kinds = {type(value) for value in values} - {type(None)}
    if kinds and kinds <= {int, float}:
        try:
            return pa.array(values, pa.int64() if kinds == {int} else pa.float64())
        except (OverflowError, pa.ArrowInvalid):
            pass
    text = values if kinds <= {str} else [None if value is None else _as_text(value) for value in values]
    try:
        return pa.array(text, pa.string())
    except UnicodeEncodeError:  # JSON can hold half a surrogate pair
        return pa.array([None if each is None else each.encode(errors="replace").decode() for each in text], pa.string())


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)
