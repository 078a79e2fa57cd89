"""Names of classes, official roles, and dates against the standard library's."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.data.splits import ROLES
from cspops.errors import listed
from cspops.intake.judging.labels import OFFICIAL, Names, about_case, about_singles, read_dates, read_roles, spellings

prop = settings(deadline=None, derandomize=True, max_examples=100)


def test_codes_number_the_names_as_they_come_over_batches():
    names = Names()
    first, respelled = names.codes(pa.array(["oak", " oak", None, "elm", "", "Oak"]))
    assert first.tolist() == [0, 0, -1, 1, -1, 2]
    assert respelled.tolist() == [False, True, False, False, False, False]
    second, respelled = names.codes(pa.array(["elm ", "ash", " "]))
    assert second.tolist() == [1, 3, -1] and respelled.tolist() == [True, False, False]
    assert names.names == ["oak", "elm", "Oak", "ash"]
    nothing, _ = names.codes(pa.array([None, None], pa.string()))
    assert nothing.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"Oak": 1, "oak": 2}, {"Oak": "oak"}),
        ({"Oak": 2, "oak": 1}, {"oak": "Oak"}),
        ({"oak": 2, "Oak": 2}, {"oak": "Oak"}),  # capitals come first in code point order
        ({"oak": 2, "elm": 2}, {}),
        ({"oak": 1, "Oak": 3, "OAK": 2}, {"oak": "Oak", "OAK": "Oak"}),
        ({"oak": 0, "Oak": 3}, {}),
        ({"STRASSE": 1, "straße": 2}, {"STRASSE": "straße"}),
    ],
)
def test_the_commonest_spelling_wins(counts, expected):
    names = list(counts)
    got = spellings(names, np.array(list(counts.values())))
    assert {names[other]: names[best] for other, best in got.items()} == expected


@prop
@given(st.dictionaries(st.text("aAbBß", min_size=1, max_size=3), st.integers(0, 5), max_size=12), st.randoms())
def test_the_order_of_the_names_does_not_matter(counts, random):
    def named(items):
        names = [name for name, _ in items]
        return {names[a]: names[b] for a, b in spellings(names, np.array([count for _, count in items], int)).items()}

    shuffled = list(counts.items())
    random.shuffle(shuffled)
    got = named(list(counts.items()))
    assert named(shuffled) == got
    # after the merge no two names that are left differ in case only, and a name is replaced once
    left = {name for name, count in counts.items() if count} - set(got)
    assert len({name.casefold() for name in left}) == len(left)
    assert set(got.values()) <= left


def test_warnings_name_what_they_are_about():
    names, counts = ["oak", "Oak", "elm"], np.array([3, 1, 1])
    replaced = spellings(names, counts)
    assert about_case(names, counts, replaced, merged=True) == (
        "1 labels differ in case only from another and became one class with it, spelled as the second: 'Oak' (1) and 'oak' (3)"
    )
    assert "dataset.merge_labels" in about_case(names, counts, replaced, merged=False)
    assert about_singles({"a": 1, "b": 2, "c": 1}) == "2 of 3 classes have one observation: 'a', 'c'"
    assert about_singles({"a": 2}) is None
    assert listed(list("abcdefghijkl")) == "a, b, c, d, e, f, g, h, i, j and 2 more"


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("train", "train"), ("Training", "train"), ("TRAIN ", "train"), ("val", "val"), ("valid", "val"), ("validate", "val"),
        ("Validation", "val"), ("dev", "val"), ("test", "test"), ("testing", "test"), ("spatial_val", "spatial_val"),
        ("Spatial-Test", "spatial_test"), ("spatial validation", "spatial_val"), (None, None), ("", None), ("  ", None),
    ],
)  # fmt: skip
def test_usual_spellings(text, role):
    code, unknown = read_roles(pa.array([text], pa.string()))
    assert [OFFICIAL[one] if one >= 0 else None for one in code] == [role] and not unknown.any()


@pytest.mark.parametrize("text", ["trains", "buffer", "fold 1", "0", "eval", "train/val", "nan"])
def test_unknown_ones(text):
    code, unknown = read_roles(pa.array(["train", text, None]))
    assert unknown.tolist() == [False, True, False] and code.tolist() == [0, -1, -1]


def test_they_are_roles_of_the_split():
    assert set(OFFICIAL) == set(ROLES) - {"buffer"}


def read(*texts):
    got = read_dates(pa.array(texts, pa.string()))
    assert got.when.type == pa.timestamp("ms", tz="UTC")
    assert not (got.no_month & got.not_understood).any()
    return got.when.to_pylist(), got.not_understood.tolist(), got.no_month.tolist()


READ = {
    "2020-02-29": datetime(2020, 2, 29),
    "2020-2-9": datetime(2020, 2, 9),
    "2020/02/29": datetime(2020, 2, 29),
    "2020:02:29 13:14:15": datetime(2020, 2, 29, 13, 14, 15),
    "2020-02-29T13:14:15Z": datetime(2020, 2, 29, 13, 14, 15),
    "2020-02-29T13:14:15z": datetime(2020, 2, 29, 13, 14, 15),
    "2020-02-29 13:14": datetime(2020, 2, 29, 13, 14),
    "2020-02-29T13:14:15.123456Z": datetime(2020, 2, 29, 13, 14, 15, 123000),
    "2020-02-29T13:14:15,5": datetime(2020, 2, 29, 13, 14, 15, 500000),
    "2020-02-29T01:14:15+05:30": datetime(2020, 2, 28, 19, 44, 15),
    "2020-02-29T23:14:15-0800": datetime(2020, 3, 1, 7, 14, 15),
    "2020-02-29 23:14:15 +02": datetime(2020, 2, 29, 21, 14, 15),
    "2020-02-29 23:14:15 UTC": datetime(2020, 2, 29, 23, 14, 15),
    " 2020-02-29 ": datetime(2020, 2, 29),
    "1800-01-01": datetime(1800, 1, 1),
    "2100-12-31T23:59:59.999Z": datetime(2100, 12, 31, 23, 59, 59, 999000),
    "1969-12-31T23:59:59Z": datetime(1969, 12, 31, 23, 59, 59),
    "2020-05": datetime(2020, 5, 1),
    "2020-5": datetime(2020, 5, 1),
    "2020-05-01/2020-05-03": datetime(2020, 5, 1),
    " 2020-05-02 / 2020-05-03 ": datetime(2020, 5, 2),
    "2020-05-02/2020-05-02": datetime(2020, 5, 2),
    "2020-05-01/03": datetime(2020, 5, 1),
    "2020-05-01/05-03": datetime(2020, 5, 1),
    "2020-05/2020-05": datetime(2020, 5, 1),
    "2020-05-10/2020-05": datetime(2020, 5, 10),
    "2020-05-01T10:00Z/2020-05-02T08:30:15+02:00": datetime(2020, 5, 1, 10),
    "2020-05-01T10:00Z/2020-05-02": datetime(2020, 5, 1, 10),
    "2020-05-01T10:00/12:30": datetime(2020, 5, 1, 10),
    "2020-05-01T10:00-05:00/03T09:00-05:00": datetime(2020, 5, 1, 15),
    "2020-05-31T23:00-05:00/2020-05-31T23:30-05:00": datetime(2020, 6, 1, 4),
}

NO_SINGLE_MONTH = [
    "2020", " 1971 ", "2020/2021", "2020/2020", "2020-05-31/2020-06-01", "2020-05-31/06-01", "2020-05/2020-06", "2020-01/02",
    "2019-05-01/2020-05-01", "2020-12-31T10:00Z/2021-01-01T10:00Z", "2020-05-01/2020",
]  # fmt: skip

NOT_READ = [
    "yesterday", "1799", "2020-13", "2019-02-29", "2020-13-01", "2020-00-10", "2020-01-00", "2020-04-31",
    "1799-12-31", "2101-01-01",
    "0000:00:00 00:00:00", "01.05.2017", "5/1/2017", "2020-01-02T24:00:00", "2020-01-02T10:60",
    "2020-01-02T10:00:60",
    "2020-01-02T10:00:00+15:00", "2020-01-02T10:00:00+05:60", "2020-01-02T10:00:00 CEST",
    "2020-01-02 x", "1577836800", "2020-01-02/", "/2020-01-02", "2020-01-02/x", "x/2020-01-02", "2020/05",
    "2020-05-03/2020-05-01", "2020-05-01/32", "2020-05-01/2020-05-02/2020-05-03", "2020-05-32/2020-06-01",
]  # fmt: skip


def test_dates_are_read_what_is_none_is_told_and_a_missing_one_is_no_mistake():
    expected = {text: (when.replace(tzinfo=UTC), False, False) for text, when in READ.items()}
    expected |= dict.fromkeys(NOT_READ, (None, True, False)) | dict.fromkeys([None, "", "  "], (None, False, False))
    expected |= dict.fromkeys(NO_SINGLE_MONTH, (None, False, True))
    assert dict(zip(expected, zip(*read(*expected), strict=True), strict=True)) == expected


@prop
@given(
    st.datetimes(datetime(1801, 1, 1), datetime(2099, 12, 31)),
    st.integers(-14 * 60, 14 * 60),
)
def test_isoformat_is_read(when, zone):
    """`isoformat` of the standard library is the oracle; milliseconds are what is kept."""
    when = when.replace(microsecond=when.microsecond // 1000 * 1000, tzinfo=timezone(timedelta(minutes=zone)))
    assert read(when.isoformat()) == ([when.astimezone(UTC)], [False], [False])
