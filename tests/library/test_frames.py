"""Positions in tables of any library: the same rows whatever the table, by name where it has names."""

import warnings

import numpy as np
import pyarrow as pa
import pytest
import torch

from cspops.errors import DataError
from cspops.library.positions import as_lonlat

pd = pytest.importorskip("pandas")

ROWS = np.array([[8.54, 47.37], [9.0, 48.0], [10.0, 49.0]])
LON, LAT = ROWS.T
EXCHANGED = {"lat": LAT, "lon": LON}


class Column:
    """A column of a table that is written in no numpy."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


class Frame:
    """A table as polars has it: by its columns when iterated, by its rows as an array."""

    def __init__(self, columns):
        self.of = columns
        self.columns = list(columns)

    def __getitem__(self, name):
        return Column(self.of[name])

    def __iter__(self):
        return map(Column, self.of.values())

    def __array__(self, dtype=None, copy=None):
        return np.array(np.column_stack(list(self.of.values())), dtype=dtype)


class OnlyAnArray:
    columns = ("Latitude", "Longitude")

    def __array__(self, dtype=None, copy=None):
        return np.array(ROWS[:, ::-1], dtype=dtype)


class OnlyToNumpy:
    def to_numpy(self):
        return ROWS


class Interchange:
    def __dataframe__(self, **arguments):
        return pa.table(EXCHANGED).__dataframe__(**arguments)


class Stream:
    def __arrow_c_stream__(self, requested_schema=None):
        return pa.table(EXCHANGED).__arrow_c_stream__(requested_schema)


TABLES = {
    "pandas without names": lambda: pd.DataFrame(ROWS),
    "pandas": lambda: pd.DataFrame({"lon": LON, "lat": LAT}),
    "pandas, latitude first": lambda: pd.DataFrame(EXCHANGED),
    "pandas, other names": lambda: pd.DataFrame({"a": LON, "b": LAT}),
    "pandas, Darwin Core among others": lambda: pd.DataFrame(
        {"species": ["a", "b", "c"], "lat": 0.0, "decimalLatitude": LAT, "decimalLongitude": LON}
    ),
    "pandas, own index": lambda: pd.DataFrame(EXCHANGED, index=["a", "b", "c"]),
    "pandas, Arrow within": lambda: pd.DataFrame(EXCHANGED).astype("float64[pyarrow]"),
    "pandas, one column of pairs": lambda: pd.Series(ROWS.tolist()),
    "Arrow": lambda: pa.table({"lon": LON, "lat": LAT}),
    "Arrow, latitude first": lambda: pa.table(EXCHANGED),
    "Arrow in pieces": lambda: pa.concat_tables([pa.table(EXCHANGED).slice(0, 1), pa.table(EXCHANGED).slice(1)]),
    "a record batch": lambda: pa.RecordBatch.from_pydict(EXCHANGED),
    "as polars": lambda: Frame(EXCHANGED),
    "as polars, of two columns": lambda: Frame({"x": LON, "y": LAT}),
    "an array with names": lambda: OnlyAnArray(),
    "to_numpy alone": lambda: OnlyToNumpy(),
    "__dataframe__ alone": lambda: Interchange(),
    "an Arrow stream alone": lambda: Stream(),
    "a dict": lambda: EXCHANGED,
    "a dict of lists": lambda: {"latitude": LAT.tolist(), "longitude": LON.tolist()},
    "a structured array": lambda: np.array([(y, x) for x, y in ROWS], dtype=[("lat", float), ("lon", float)]),
    "a list of tensors": lambda: list(torch.from_numpy(ROWS)),
    "objects": lambda: ROWS.astype(object),
    "nothing masked": lambda: np.ma.masked_array(ROWS),
}


@pytest.mark.parametrize("name", TABLES)
def test_rows_are_rows_by_name_where_there_are_names(name):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*interchange", category=Warning)
        assert as_lonlat(TABLES[name]()).tolist() == ROWS.tolist()


WITHOUT = {
    "a mask": lambda: np.ma.masked_array(ROWS[:2], mask=[[0, 0], [1, 1]]),
    "a mask of whole numbers": lambda: np.ma.masked_array([[8, 47], [9, 48]], mask=[[0, 0], [1, 1]]),
    "nulls of Arrow": lambda: pa.table({"lat": [47.37, None], "lon": [8.54, None]}),
    "nulls of Arrow's whole numbers": lambda: pa.table({"lat": [47, None], "lon": [8, None]}),
    "pandas' NA": lambda: pd.DataFrame({"lat": [47.37, None], "lon": [8.54, None]}, dtype="Float64"),
    "None": lambda: [[8.54, 47.37], [None, None]],
}


@pytest.mark.parametrize("name", WITHOUT)
def test_what_is_masked_or_missing_is_no_position(name):
    first, second = as_lonlat(WITHOUT[name]())
    assert first.round().tolist() in ([9.0, 47.0], [8.0, 47.0])
    assert bool(second.isnan().all())


@pytest.mark.parametrize(
    ("table", "says", "hint"),
    [
        (pd.DataFrame({"x": [1.0], "y": [2.0], "z": [3.0]}), "no columns that are known as lon and lat", "x, y, z"),
        (pd.DataFrame({"x": [1.0], "lon": [2.0], "z": [3.0]}), "no column is known as lat", "rename one to lat"),
        (pd.DataFrame({"lat": [1.0], "x": [2.0]}), "no column is known as lon", "rename one to lon"),
        (pd.DataFrame({"lon": [1.0], "LON": [1.0], "lat": [2.0]}), "'lon' and 'LON' all fit lon", "rename one"),
        (pd.DataFrame({"lon": ["a"], "lat": ["b"]}), "must be numbers", "longitude first"),
        (pa.table({"x": [1.0]}), "no columns that are known as lon and lat", "x"),
        ({}, "no columns that are known as lon and lat", ""),
        (None, "must be numbers", ""),
        (3.0, "must be numbers", ""),
    ],
)
def test_a_table_without_positions_is_refused(table, says, hint):
    with pytest.raises(DataError, match=says) as refused:
        as_lonlat(table)
    assert hint in (refused.value.hint or "")
