"""When an image was taken, from the text that says so."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cspops.data.intake.masks import is_given, is_true

NOT_UNDERSTOOD = "captured_at is not a date that is understood, left out"
YEARS = range(1800, 2101)

SAME_SEPARATORS = r"^\s*\d{4}(-\d{1,2}-|:\d{1,2}:|/\d{1,2}/)"
DATE = (
    r"^\s*(?P<year>\d{4})[-:/](?P<month>\d{1,2})[-:/](?P<day>\d{1,2})"
    r"(?:(?:\s*T|\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,12}))?)?"
    r"\s*(?:[Zz]|UTC|GMT|(?P<sign>[+-])(?P<zone_hour>\d{2}):?(?P<zone_minute>\d{2})?)?)?\s*$"
)


class Dates(NamedTuple):
    """The dates of a batch, an item a row."""

    when: pa.Array
    """timestamp[ms, UTC]; null where there is none."""
    not_understood: np.ndarray
    """Rows whose text is no date."""


def read_dates(text: pa.Array) -> Dates:
    """Read ISO 8601 dates and times, EXIF's `YYYY:MM:DD HH:MM:SS` and `YYYY/MM/DD`, years 1800 to 2100.

    A time without a zone is taken for UTC, a date without a time for midnight; parts of milliseconds are cut off.
    """
    given = is_given(text) & ~is_true(pc.equal(pc.utf8_trim_whitespace(text), ""))
    if not given.any():
        return Dates(pa.nulls(len(text), pa.timestamp("ms", tz="UTC")), given)
    parts = pc.extract_regex(text, DATE)
    year, month, day, hour, minute, second = (
        _integers(parts, name) for name in ("year", "month", "day", "hour", "minute", "second")
    )
    fraction = pc.utf8_rpad(pc.utf8_slice_codeunits(_part(parts, "fraction"), 0, 3), 3, "0")
    zone_hour, zone_minute = _integers(parts, "zone_hour"), _integers(parts, "zone_minute")
    east = np.where(is_true(pc.equal(_part(parts, "sign"), "-")), -1, 1) * (zone_hour * 60 + zone_minute)

    months = (year - 1970) * 12 + month - 1
    first, after = (start.astype("M8[M]").astype("M8[D]").astype(np.int64) for start in (months, months + 1))
    understood = given & is_true(pc.match_substring_regex(text, SAME_SEPARATORS)) & is_given(parts)
    understood &= (year >= YEARS.start) & (year < YEARS.stop) & (month >= 1) & (month <= 12)
    understood &= (day >= 1) & (day <= after - first)
    understood &= (hour < 24) & (minute < 60) & (second < 60) & (zone_hour <= 14) & (zone_minute < 60)
    minutes = (first + day - 1) * 1440 + hour * 60 + minute - east
    when = (minutes * 60 + second) * 1000 + fraction.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return Dates(pa.array(when, mask=~understood).cast(pa.timestamp("ms", tz="UTC")), given & ~understood)


def _part(parts: pa.StructArray, name: str) -> pa.Array:
    """A named piece of each text, null where the text has none."""
    piece = pc.struct_field(parts, name)
    return pc.if_else(pc.equal(piece, ""), pa.scalar(None, pa.string()), piece)


def _integers(parts: pa.StructArray, name: str) -> np.ndarray:
    """A named piece as a number, 0 where there is none."""
    numbers: np.ndarray = _part(parts, name).cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return numbers
