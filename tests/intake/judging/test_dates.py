"""Dates against the standard library's, and what is no date."""

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.intake.judging.labels import read_dates

prop = settings(deadline=None, derandomize=True, max_examples=80)


def read(*texts):
    got = read_dates(pa.array(texts, pa.string()))
    assert got.when.type == pa.timestamp("ms", tz="UTC")
    return got.when.to_pylist(), got.not_understood.tolist()


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
}

NOT_READ = [
    "yesterday", "2020", "2020-02", "2019-02-29", "2020-13-01", "2020-00-10", "2020-01-00", "2020-04-31",
    "1799-12-31", "2101-01-01",
    "0000:00:00 00:00:00", "01.05.2017", "5/1/2017", "2020-01/02", "2020-01-02T24:00:00", "2020-01-02T10:60",
    "2020-01-02T10:00:60",
    "2020-01-02T10:00:00+15:00", "2020-01-02T10:00:00+05:60", "2020-01-02T10:00:00 CEST",
    "2020-01-02/2020-01-05", "2020-01-02 x", "1577836800",
]  # fmt: skip


def test_dates_are_read_what_is_none_is_told_and_a_missing_one_is_no_mistake():
    expected = {text: (when.replace(tzinfo=UTC), False) for text, when in READ.items()}
    expected |= dict.fromkeys(NOT_READ, (None, True)) | dict.fromkeys([None, "", "  "], (None, False))
    assert dict(zip(expected, zip(*read(*expected), strict=True), strict=True)) == expected


@prop
@given(
    st.datetimes(datetime(1801, 1, 1), datetime(2099, 12, 31)),
    st.integers(-14 * 60, 14 * 60),
)
def test_isoformat_is_read(when, zone):
    """`isoformat` of the standard library is the oracle; milliseconds are what is kept."""
    when = when.replace(microsecond=when.microsecond // 1000 * 1000, tzinfo=timezone(timedelta(minutes=zone)))
    assert read(when.isoformat()) == ([when.astimezone(UTC)], [False])
