import json
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.data.catalogue import (
    REJECTED_SCHEMA,
    SCHEMA,
    Catalogue,
    read_images,
    read_observations,
    validate,
    write_catalogue,
)
from cspops.errors import DataError

prop = settings(deadline=None, derandomize=True, max_examples=60)
PICTURE = {"bytes": b"P6", "path": None}
SOURCE = pa.schema([pa.field(f.name, pa.string() if f.name == "label" else f.type) for f in SCHEMA])
"""What a source hands over: the class by its name, and anything may be null."""


def row(obs_id, **change):
    return {"obs_id": obs_id, "lon": 10.0, "lat": 50.0, "label": "oak", "image": PICTURE} | change


def table(*rows):
    return pa.Table.from_pylist(list(rows), schema=SOURCE)


GOOD = [row("g0"), row("g1", label="elm"), row("g2", lon=None, lat=None), row("g3", label=None)]
nan, inf = float("nan"), float("inf")


# --- one row a reason


BAD = {
    "no id": (row(None), "obs_id is missing"),
    "id of an earlier row": (row("g0", label="elm"), "obs_id is used by an earlier row"),
    "longitude alone": (row("b", lat=None), "only one of longitude and latitude is given"),
    "latitude alone": (row("b", lon=None), "only one of longitude and latitude is given"),
    "longitude nan": (row("b", lon=nan), "position is not a finite number"),
    "latitude infinite": (row("b", lat=-inf), "position is not a finite number"),
    "both nan": (row("b", lon=nan, lat=nan), "position is not a finite number"),
    "too far north": (row("b", lat=90.001), "latitude is outside [-90, 90]"),
    "too far south": (row("b", lat=-90.001), "latitude is outside [-90, 90]"),
    "too far west": (row("b", lon=-180.001), "longitude is outside [-180, 360]"),
    "too far east": (row("b", lon=360.001), "longitude is outside [-180, 360]"),
    "null image": (row("b", image=None), "no image: neither bytes nor path"),
    "empty image": (row("b", image={"bytes": None, "path": None}), "no image: neither bytes nor path"),
    # The first reason found is the one that is given.
    "no id and no image": (row(None, image=None), "obs_id is missing"),
    "nothing at all": ({"obs_id": None}, "obs_id is missing"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_set_aside_with_its_reason_and_no_other_row_is(name):
    bad, reason = BAD[name]
    made = validate(table(*GOOD[:2], bad, *GOOD[2:]))
    assert made.rejected.to_pylist() == [{"row": 2, "obs_id": bad["obs_id"], "reason": reason}]
    assert made.observations["obs_id"].to_pylist() == ["g0", "g1", "g2", "g3"]
    assert made.reasons() == {reason: 1}


def test_every_bad_row_at_once():
    """Ids apart, so that each row has its own fault only."""
    own = [{**bad, "obs_id": bad["obs_id"] and bad["obs_id"].replace("b", f"b{i}")} for i, (bad, _) in enumerate(BAD.values())]
    made = validate(table(*GOOD, *own))
    assert made.observations["obs_id"].to_pylist() == ["g0", "g1", "g2", "g3"]
    assert made.rejected["row"].to_pylist() == list(range(4, 4 + len(own)))
    assert made.rejected["reason"].to_pylist() == [reason for _, reason in BAD.values()]
    expected = Counter(reason for _, reason in BAD.values())
    assert made.reasons() == expected
    assert list(made.reasons().values()) == sorted(expected.values(), reverse=True)


def test_rows_of_a_small_class_are_set_aside():
    rows = [row("a"), row("b", label="elm"), row("c"), row("d", label=None), row("e", label="elm", image=None)]
    made = validate(table(*rows), min_class_size=2)
    assert made.rejected.to_pylist() == [
        {"row": 1, "obs_id": "b", "reason": "its class has fewer than 2 observations"},
        {"row": 4, "obs_id": "e", "reason": "no image: neither bytes nor path"},  # and so elm has one left
    ]
    assert made.observations["obs_id"].to_pylist() == ["a", "c", "d"], "a row without a label is in no class"
    assert made.classes == ["oak"]


def test_a_class_of_just_the_least_size_stays():
    assert validate(table(row("a"), row("b")), min_class_size=2).classes == ["oak"]


def test_an_empty_id_is_not_called_a_repetition_of_a_missing_one():
    """No earlier row used the id "": the reason would send the user looking for a row that is not there."""
    made = validate(table(row(None), row(""), row("c")))
    assert "obs_id is used by an earlier row" not in made.reasons()


def test_without_ids_there_is_no_catalogue():
    with pytest.raises(DataError, match="no column obs_id"):
        validate(pa.table({"lon": [1.0]}))


# --- nothing is lost


numbers = st.none() | st.sampled_from([nan, inf, -inf, 0.0, 90.0, -90.0, 180.0, -180.0, 360.0, 400.0]) | st.floats(-200, 400)
rows_of_any_kind = st.lists(
    st.fixed_dictionaries(
        {
            "obs_id": st.sampled_from([None, "a", "b", "c"]) | st.uuids().map(str),
            "lon": numbers,
            "lat": numbers,
            "label": st.sampled_from([None, "x", "y", "z"]),
            "image": st.sampled_from([None, PICTURE, {"bytes": None, "path": "p"}, {"bytes": None, "path": None}]),
        }
    ),
    max_size=30,
)


@prop
@given(rows_of_any_kind, st.integers(1, 3), st.integers(1, 7))
def test_every_row_ends_in_exactly_one_table_and_the_invariants_hold(rows, least, chunk):
    whole = table(*rows)
    pieces = [whole.slice(start, chunk) for start in range(0, len(rows), chunk)]
    made = validate(pa.concat_tables(pieces) if pieces else whole, min_class_size=least)
    assert made.observations.schema == SCHEMA and made.rejected.schema == REJECTED_SCHEMA
    assert made.observations.to_pylist() == validate(whole, min_class_size=least).observations.to_pylist()

    # Row numbers of the rejected rows and, in order, the observations make up the input.
    out = made.rejected["row"].to_pylist()
    assert out == sorted(set(out))
    assert all(made.rejected["reason"].to_pylist())
    assert made.rejected["obs_id"].to_pylist() == [rows[i]["obs_id"] for i in out]
    kept = [one for i, one in enumerate(rows) if i not in set(out)]
    got = made.observations.to_pylist()
    assert [one["obs_id"] for one in got] == [one["obs_id"] for one in kept]
    assert [one["image"] for one in got] == [one["image"] for one in kept]

    assert len({one["obs_id"] for one in got}) == len(got)
    for before, after in zip(kept, got, strict=True):
        assert (after["lon"] is None) == (after["lat"] is None) == (before["lon"] is None)
        if after["lon"] is not None:
            assert -180 <= after["lon"] < 180 and -90 <= after["lat"] <= 90
            assert after["lat"] == before["lat"]
            assert (after["lon"] - before["lon"]) in (0, -360)
        assert (None if after["label"] is None else made.classes[after["label"]]) == before["label"]

    # Labels are dense: every class has rows, at least `least` of them, and the names are in order.
    sizes = Counter(one["label"] for one in got if one["label"] is not None)
    assert set(sizes) == set(range(len(made.classes)))
    assert all(size >= least for size in sizes.values())
    assert made.classes == sorted(set(made.classes))


@prop
@given(st.permutations(range(6)))
def test_order_of_the_rows_does_not_change_what_becomes_of_them(order):
    rows = [*GOOD, row("h", lat=95.0), row("i", image=None)]
    made = validate(table(*(rows[i] for i in order)))
    straight = validate(table(*rows))
    assert made.classes == straight.classes
    by_id = {one["obs_id"]: one for one in straight.observations.to_pylist()}
    assert made.observations.to_pylist() == [by_id[rows[i]["obs_id"]] for i in order if rows[i]["obs_id"] in by_id]
    assert [order[i] for i in made.rejected["row"].to_pylist()] == [i for i in order if i >= 4]


@pytest.mark.parametrize(
    ("given_lon", "kept_lon"),
    [(-180.0, -180.0), (180.0, -180.0), (181.0, -179.0), (359.5, -0.5), (360.0, 0.0), (179.999, 179.999)],
)
def test_longitudes_are_brought_into_range(given_lon, kept_lon):
    assert validate(table(row("a", lon=given_lon))).observations["lon"].to_pylist() == [kept_lon]


def test_columns_that_a_source_lacks_are_null_and_others_are_dropped():
    made = validate(pa.table({"obs_id": ["a"], "image": [PICTURE], "camera": ["x"]}))
    assert made.observations.to_pylist() == [dict.fromkeys(SCHEMA.names) | {"obs_id": "a", "image": PICTURE}]
    assert made.classes == []


def test_ids_and_classes_may_be_numbers():
    made = validate(pa.table({"obs_id": [7, 8, 7], "label": [10, 9, 9], "image": [PICTURE] * 3}))
    assert made.observations["obs_id"].to_pylist() == ["7", "8"]
    assert [made.classes[label] for label in made.observations["label"].to_pylist()] == ["10", "9"]
    assert made.rejected["row"].to_pylist() == [2]


# --- files


def test_what_is_written_is_read_back(tmp_path):
    when = datetime(2020, 2, 29, 12, tzinfo=UTC)
    rows = [*GOOD, row("ü", label="Bäume", captured_at=when, location_id="L", official_split="val"), row("bad", lat=99.0)]
    made = validate(table(*rows))
    write_catalogue(made, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["classes.json", "observations.parquet", "rejected.parquet"]
    assert pq.read_table(tmp_path / "observations.parquet").equals(made.observations)
    assert pq.read_table(tmp_path / "rejected.parquet").equals(made.rejected)
    read = read_observations(tmp_path)
    assert read.obs_id == ["g0", "g1", "g2", "g3", "ü"]
    assert read.classes == ["Bäume", "elm", "oak"]
    assert read.label.tolist() == [2, 1, 2, -1, 0]
    assert read.official_split == [None] * 4 + ["val"]
    assert read.lonlat.dtype == torch.float64
    assert read.located.tolist() == [True, True, False, True, True]
    assert read.lonlat[read.located].tolist() == [[10, 50]] * 4


def test_an_empty_catalogue_can_be_written_and_read(tmp_path):
    write_catalogue(validate(table()), tmp_path)
    read = read_observations(tmp_path)
    assert read.obs_id == [] and read.lonlat.shape == (0, 2) and read.label.shape == (0,)
    assert len(read_images(tmp_path, range(0))) == 0


def stored(*rows):
    """A catalogue that `validate` would not make."""
    return pa.Table.from_pylist([{"lon": 1.0, "lat": 1.0, "image": PICTURE} | one for one in rows], schema=SCHEMA)


BROKEN = {
    "repeated id": ([{"obs_id": "a"}, {"obs_id": "a"}], "obs_id is not unique"),
    "180 degrees east": ([{"obs_id": "a", "lon": 180.0}], "position lies outside"),
    "beyond 180 west": ([{"obs_id": "a", "lon": -180.5}], "position lies outside"),
    "beyond the north pole": ([{"obs_id": "a", "lat": 90.5}], "position lies outside"),
    "beyond the south pole": ([{"obs_id": "a", "lat": -90.5}], "position lies outside"),
    "half a position": ([{"obs_id": "a", "lat": None}], "position lies outside"),
    "infinite": ([{"obs_id": "a", "lon": -inf}], "position lies outside"),
    "class number too high": ([{"obs_id": "a", "label": 2}], "label 2 is not among the 2"),
    "class number below zero": ([{"obs_id": "a", "label": 0}, {"obs_id": "b", "label": -3}], "label -3"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_catalogue_is_refused(name, tmp_path):
    rows, why = BROKEN[name]
    write_catalogue(Catalogue(stored(*rows), REJECTED_SCHEMA.empty_table(), ["elm", "oak"]), tmp_path)
    with pytest.raises(DataError, match=why) as caught:
        read_observations(tmp_path)
    assert caught.value.hint == "dvc repro download"


def test_the_borders_of_the_world_are_inside(tmp_path):
    rows = [{"obs_id": "a", "lon": -180.0, "lat": -90.0}, {"obs_id": "b", "lat": 90.0, "label": 1}]
    write_catalogue(Catalogue(stored(*rows), REJECTED_SCHEMA.empty_table(), ["elm", "oak"]), tmp_path)
    assert read_observations(tmp_path).lonlat.tolist() == [[-180, -90], [1, 90]]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """More rows than a row group of the file holds; the image of row i says i."""
    folder = tmp_path_factory.mktemp("many")
    n = 20_000
    image = pa.array([{"bytes": str(i).encode(), "path": None} for i in range(n)], SCHEMA.field("image").type)
    write_catalogue(validate(pa.table({"obs_id": np.arange(n), "image": image})), folder)
    assert pq.ParquetFile(folder / "observations.parquet").num_row_groups > 2
    groups = json.loads((folder / "classes.json").read_text())
    assert groups == []
    return folder


@pytest.mark.parametrize(
    "rows",
    [range(5), range(8190, 8195), range(8191, 8192), range(8192, 8193), range(100, 17_000), range(19_990, 20_000), range(7, 7)],
    ids=str,
)
def test_images_of_consecutive_rows(many, rows):
    images = read_images(many, rows)
    assert images.type == SCHEMA.field("image").type
    assert [int(one["bytes"].as_py()) for one in images] == list(rows)
