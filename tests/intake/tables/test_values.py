"""Columns of every type as text, or one sentence; and the spellings of missing."""

import datetime
import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cspops.errors import DataError
from cspops.intake.sources.table import open_table
from cspops.intake.tables.values import MISSING, NOTHING, as_text

DAY = datetime.datetime(2020, 1, 2, 3, 4, 5)
ID = uuid.UUID(int=7)

TEXTS = {
    "float64": (pa.array([1.0, 2.5, None, float("nan")]), ["1", "2.5", None, None]),
    "float32": (pa.array([1.0, 1.1, None, float("nan"), 1e20], pa.float32()), ["1", "1.1", None, None, "1e+20"]),
    "float16": (pa.array([np.float16(1), np.float16(1.1), None], pa.float16()), ["1", "1.1", None]),
    "float32 categories": (pa.array([2.0, None], pa.float32()).dictionary_encode(), ["2", None]),
    "whole numbers": (pa.array([-1, 2, None], pa.int8()), ["-1", "2", None]),
    "unsigned": (pa.array([2**64 - 1], pa.uint64()), [str(2**64 - 1)]),
    "truth": (pa.array([True, False, None]), ["true", "false", None]),
    "decimal": (pa.array([Decimal("1.00"), Decimal("-12.50"), Decimal("100.00")], pa.decimal128(9, 2)), ["1", "-12.5", "100"]),
    "whole decimal": (pa.array([Decimal(100)], pa.decimal128(9, 0)), ["100"]),
    "long decimal": (pa.array([Decimal("1.5")], pa.decimal256(50, 3)), ["1.5"]),
    "bytes": (pa.array(["oak é".encode(), None]), ["oak é", None]),
    "large bytes": (pa.array([b"oak"], pa.large_binary()), ["oak"]),
    "bytes of one length": (pa.array([b"oak"], pa.binary(3)), ["oak"]),
    "views of bytes": (pa.array([b"oak"], pa.binary_view()), ["oak"]),
    "views of text": (pa.array(["oak", None], pa.string_view()), ["oak", None]),
    "large text": (pa.array(["oak", None], pa.large_string()), ["oak", None]),
    "categories": (pa.array(["oak", None, "oak"]).dictionary_encode(), ["oak", None, "oak"]),
    "nothing": (pa.nulls(2), [None, None]),
    "date": (pa.array([DAY.date(), None]), ["2020-01-02", None]),
    "date64": (pa.array([DAY.date()], pa.date64()), ["2020-01-02"]),
    "time": (pa.array([DAY], pa.timestamp("s")), ["2020-01-02T03:04:05"]),
    "time with a zone": (pa.array([DAY], pa.timestamp("s", "Asia/Tokyo")), ["2020-01-02T03:04:05Z"]),
    "uuid": (pa.array([ID.bytes, None], pa.uuid()), [str(ID), None]),
}
"""By name, a column and its text."""

NO_TEXTS = {
    "bytes that are not UTF-8": (pa.array([b"\xff"]), "holds bytes that are not UTF-8, not text"),
    "a list": (pa.array([[1]]), "holds list<"),
    "a struct": (pa.array([{"a": 1}]), "holds struct<"),
    "a map": (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), "holds map<"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_column_of_any_type_becomes_text(name):
    values, texts = TEXTS[name]
    got = as_text(values, "t")
    assert got.type == pa.string()
    assert got.to_pylist() == texts


@pytest.mark.parametrize("name", NO_TEXTS)
def test_what_is_no_text_is_one_sentence(name):
    values, says = NO_TEXTS[name]
    with pytest.raises(DataError, match=f"^t.*: column 'x' {says}"):
        as_text(values, "t.parquet: column 'x'")


KINDS = {"id": "obs_id", "label": "label", "date": "captured_at", "site": "location_id", "split": "official_split"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["float32", "float16", "bytes", "decimal", "views of text", "uuid"])
def test_every_kind_of_column_of_a_file_takes_every_type(tmp_path, kind, name):
    values, texts = TEXTS[name]
    if name in ("float16", "views of text"):
        values = pa.chunked_array([values])
    pq.write_table(pa.table({"image": ["a.jpg"] * len(texts), kind: values}), tmp_path / "t.parquet")
    source = open_table(tmp_path / "t.parquet", root=tmp_path, columns={})
    assert [one for batch in source.batches for one in batch[KINDS[kind]].to_pylist()] == texts


IMAGES = {
    "numbers as bytes": pa.array([{"bytes": 5, "path": "a.jpg"}]),
    "text as bytes": pa.array([{"bytes": "P6"}]),
    "a list of numbers": pa.array([[1, 2]]),
    "float32": pa.array([1.0], pa.float32()),
    "a struct of other things": pa.array([{"width": 5}]),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_of_another_type_are_one_sentence(tmp_path, name):
    pq.write_table(pa.table({"image": IMAGES[name]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"(?m)^t.parquet: column 'image' holds .*, neither paths nor bytes of images$"):
        open_table(tmp_path / "t.parquet", root=tmp_path, columns={})


@pytest.mark.parametrize("spelled", [word for word in MISSING if word])
def test_a_missing_name_is_null_and_labels_are_counted(tmp_path, spelled):
    (tmp_path / "t.tsv").write_text(f"image\tlabel\tsite\tid\na.jpg\t{spelled}\t {spelled}\t{spelled} \n")
    source = open_table(tmp_path / "t.tsv", root=tmp_path, columns={})
    [row] = next(iter(source.batches)).to_pylist()
    list(source.batches)
    assert (row["label"], row["location_id"], row["obs_id"]) == (None, None, None)
    assert f"t.tsv: labels that are read as missing: {spelled} (1)" in source.remarks


@pytest.mark.parametrize("spelled", [*NOTHING, *(word.upper() for word in NOTHING), *MISSING])
def test_a_missing_position_or_date_is_null_in_any_case(tmp_path, spelled):
    (tmp_path / "t.tsv").write_text(f"image\tlon\tlat\tdate\tsplit\na.jpg\t{spelled}\t {spelled}\t{spelled} \t{spelled}\n")
    source = open_table(tmp_path / "t.tsv", root=tmp_path, columns={})
    [row] = next(iter(source.batches)).to_pylist()
    assert [row[name] for name in ("lon", "lat", "captured_at", "official_split")] == [None] * 4


@pytest.mark.parametrize("name", ["none", "missing", "unknown", "nil", "na", "Nan", "n.n."])
def test_what_may_be_a_name_stays(tmp_path, name):
    (tmp_path / "t.csv").write_text(f"image,label\na.jpg,{name}\n")
    [row] = next(iter(open_table(tmp_path / "t.csv", root=tmp_path, columns={}).batches)).to_pylist()
    assert row["label"] == name
