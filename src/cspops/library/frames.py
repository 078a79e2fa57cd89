"""Positions that stand in a table of any library, as rows of numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cspops.errors import DataError


def rows_of(values: Any) -> np.ndarray:
    """Return a float64 array of arrays, nested sequences, or a table with columns for longitude and latitude; nan for missing.

    Raises:
        DataError: a table whose columns are neither two nor recognised.
        TypeError, ValueError: what holds no numbers.
    """
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.float64), np.nan)
    names = _names(values)
    if names is None and not hasattr(values, "__array__"):
        for way in (_by_arrow, _by_interchange):
            if (table := way(values)) is not None:
                values, names = table, list(table.column_names)
                break
    if names is None:
        return _numbers(values)
    lon, lat = _pair(names)
    try:
        columns = [values[name] for name in (names[lon], names[lat])]
    except (TypeError, KeyError, IndexError):  # a table that is an array, and no more
        rows = np.asarray(values)
        columns = [rows[:, lon], rows[:, lat]]
    return np.stack([_numbers(column) for column in columns], 1)


def _names(values: Any) -> list[Any] | None:
    """Return the names of a table's columns; None for what has none."""
    if isinstance(values, Mapping):
        return list(values)
    if isinstance(values, np.ndarray):
        return None if values.dtype.names is None else list(values.dtype.names)
    names = getattr(values, "column_names", None)  # before `columns`, which are pyarrow's data
    names = getattr(getattr(values, "schema", None), "names", None) if names is None else names  # of a record batch
    names = getattr(values, "columns", None) if names is None else names
    return None if names is None or callable(names) else list(names)


def _by_arrow(values: Any) -> Any:
    if not hasattr(values, "__arrow_c_stream__"):
        return None
    import pyarrow as pa

    return pa.table(values)


def _by_interchange(values: Any) -> Any:
    if not hasattr(values, "__dataframe__"):
        return None
    from pyarrow.interchange import from_dataframe

    return from_dataframe(values)


def _pair(names: list[Any]) -> tuple[int, int]:
    """Return the places of longitude and latitude among the columns, by their names, else the first and second of two."""
    from cspops.intake.tables.columns import listed_columns, usual_pair

    texts = [str(name) for name in names]
    pair = usual_pair(texts, table="the table of positions", remarks=[])
    if pair:
        return texts.index(pair[0]), texts.index(pair[1])
    if len(names) != 2:
        raise DataError(
            "the table of positions has no columns that are known as lon and lat",
            hint=f"name them so; {listed_columns(texts)}",
        )
    return 0, 1


def _numbers(values: Any) -> np.ndarray:
    """Return numbers as float64, nan for None, null and NA; a new array."""
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.float64), np.nan)
    if isinstance(values, Sequence):
        array: Any = values
    elif hasattr(values, "__array__"):
        array = np.asarray(values)
    else:
        array = values.to_numpy() if hasattr(values, "to_numpy") else list(values)
    if isinstance(array, np.ndarray) and array.dtype == object:
        array = array.tolist()
    try:
        return np.array(array, dtype=np.float64)
    except (TypeError, ValueError):
        if not hasattr(values, "array"):
            raise
        return np.array(values.to_numpy(dtype=np.float64, na_value=np.nan))  # a Series of pandas with NA
