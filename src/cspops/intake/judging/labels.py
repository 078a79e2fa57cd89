"""What the text of a row says about its class, its date and its official role."""

import re
import unicodedata
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cspops.errors import listed
from cspops.intake.judging.verdicts import is_given, is_true

RESPELLED = "label with blanks around it, several in a row, or in another Unicode form"
MERGED = "label that differs in case only from the commonest spelling of its class, which it is given"


class Names:
    """The names of classes, numbered as they come."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._code: dict[str, int] = {}
        self._of_text: dict[str, tuple[int, bool]] = {}

    def codes(self, labels: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each label's normalised name, -1 for null or blank, and which labels are spelled otherwise.

        Normalised: Unicode form NFC, no blanks around, one blank for any run of white space.
        """
        encoded = pc.dictionary_encode(labels)
        read = [self._read(text) for text in encoded.dictionary.to_pylist()]
        read.append((-1, False))  # for null
        which = encoded.indices.fill_null(len(read) - 1).to_numpy(zero_copy_only=False)
        code = np.array([code for code, _ in read], np.int32)
        respelled = np.array([changed for _, changed in read])
        return code[which], respelled[which]

    def _read(self, text: str) -> tuple[int, bool]:
        known = self._of_text.get(text)
        if known is None:
            name = normalised(text)
            code = -1
            if name:
                code = self._code.setdefault(name, len(self._code))
                if code == len(self.names):
                    self.names.append(name)
            known = self._of_text[text] = code, bool(name) and name != text
        return known


def normalised(text: str) -> str:
    """Return a label in Unicode form NFC with one blank for any run of white space, and none around."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def spellings(names: list[str], counts: np.ndarray) -> dict[int, int]:
    """Choose among names that differ in case only: the commonest stays, of equals the first in code point order.

    Args:
        names: of the classes.
        counts: rows of each.

    Returns:
        By its number, the number of the name that replaces it; names that stay are not there, nor those without rows.
    """
    alike: dict[str, list[int]] = {}
    for code in np.flatnonzero(counts).tolist():
        alike.setdefault(names[code].casefold(), []).append(code)
    replaced: dict[int, int] = {}
    for codes in alike.values():
        best, *others = sorted(codes, key=lambda code: (-counts[code], names[code]))
        replaced |= dict.fromkeys(others, best)
    return replaced


def about_case(names: list[str], counts: np.ndarray, replaced: dict[int, int], *, merged: bool) -> str:
    """Return the warning about labels that differ in case only; ``replaced`` as from `spellings`."""
    pairs = sorted((names[best], names[code], best, code) for code, best in replaced.items())
    named = listed(f"{other!r} ({counts[code]}) and {kept!r} ({counts[best]})" for kept, other, best, code in pairs)
    if merged:
        return (
            f"{len(pairs)} labels differ in case only from another and became one class with it, spelled as the second: {named}"
        )
    return f"{len(pairs)} labels differ in case only from another and are classes of their own (dataset.merge_labels): {named}"


def about_singles(classes: dict[str, int]) -> str | None:
    """Return the warning about classes with one observation."""
    single = [name for name, count in classes.items() if count == 1]
    if not single:
        return None
    return f"{len(single)} of {len(classes)} classes have one observation: {listed(map(repr, single))}"


NOT_UNDERSTOOD = "captured_at is not a date that is understood, left out"
NO_MONTH = "captured_at is a year, or a range of more than a month, left out"
YEARS = range(1800, 2101)

SAME_SEPARATORS = r"^\s*\d{4}(-\d{1,2}-|:\d{1,2}:|/\d{1,2}/)"
DATE = (
    r"^\s*(?P<year>\d{4})[-:/](?P<month>\d{1,2})[-:/](?P<day>\d{1,2})"
    r"(?:(?:\s*T|\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,12}))?)?"
    r"\s*(?:[Zz]|UTC|GMT|(?P<sign>[+-])(?P<zone_hour>\d{2}):?(?P<zone_minute>\d{2})?)?)?\s*$"
)


MONTH = r"^\s*\d{4}-\d{1,2}\s*$"
YEAR = r"^\s*\d{4}\s*$"
RANGE = r"^\s*(?P<start>\d{4}(?:-[^/]+)?)/(?P<end>[^/]+?)\s*$"
"""A range of ISO 8601 and Darwin Core, `2020-05-01/2020-05-03`, `2020-05-01/03`: its end may leave out what its start has."""


class Dates(NamedTuple):
    """The dates of a batch, one item per row."""

    when: pa.Array
    """timestamp[ms, UTC]; null where there is none. Of a month, or of a range within one, its beginning."""
    not_understood: np.ndarray
    """Rows whose text is no date."""
    no_month: np.ndarray
    """Rows whose text is a date that does not say which month."""


def read_dates(text: pa.Array) -> Dates:
    """Read ISO 8601 dates, times, months and ranges, EXIF's `YYYY:MM:DD HH:MM:SS`, `YYYY/MM/DD`, years 1800 to 2100.

    A time without a zone is taken for UTC, a date without a time for midnight; parts of milliseconds are cut off.
    """
    given = is_given(text) & ~is_true(pc.equal(pc.utf8_trim_whitespace(text), ""))
    if not given.any():
        return Dates(pa.nulls(len(text), pa.timestamp("ms", tz="UTC")), given, given)
    when, understood = _moments(text, given)
    no_month = np.zeros(len(text), bool)
    odd = np.flatnonzero(given & ~understood)
    if len(odd):
        encoded = pc.dictionary_encode(text.take(pa.array(odd)))
        starts = [_single_month(one) for one in encoded.dictionary.to_pylist()]
        which = encoded.indices.to_numpy()
        no_month[odd] = np.array([start == "" for start in starts])[which]
        coarse = pa.array(starts, pa.string()).take(pa.array(which))
        when[odd], understood[odd] = _moments(coarse, is_given(coarse))
    dates = pa.array(when, mask=~understood).cast(pa.timestamp("ms", tz="UTC"))
    return Dates(dates, given & ~understood & ~no_month, no_month)


def _single_month(text: str) -> str | None:
    """Return the beginning of a month or of a range within one as a date; empty for other dates, None for no date."""
    match = re.match(RANGE, text)
    ends = (match["start"].strip(), _whole(match["end"].strip(), match["start"].strip())) if match else (text.strip(),)
    days = [f"{one}-01" if re.match(MONTH, one) else f"{one}-01-01" if re.match(YEAR, one) else one for one in ends]
    moments, understood = _moments(pa.array(days), np.ones(len(days), bool))
    if not understood.all() or (days[-1] == ends[-1] and moments[-1] < moments[0]):
        return None
    months = {tuple(map(int, one.split("-")[:2])) for one in days}
    return "" if len(months) > 1 or any(re.match(YEAR, one) for one in ends) else days[0]


def _whole(end: str, start: str) -> str:
    """Return the end of a range with what it has in common with the start and leaves out."""
    day = re.split("[T ]", start)[0]
    if re.match(r"\d{4}", end):
        return end
    if re.match(r"\d{1,2}:", end):
        return f"{day}T{end}"
    return "-".join([*day.split("-")[: -len(re.split("[T ]", end)[0].split("-"))], end])


def _moments(text: pa.Array, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return milliseconds since 1970, and which texts are a date."""
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
    return when, understood


def _part(parts: pa.StructArray, name: str) -> pa.Array:
    """Return a named piece of each text, null where the text has none."""
    piece = pc.struct_field(parts, name)
    return pc.if_else(pc.equal(piece, ""), pa.scalar(None, pa.string()), piece)


def _integers(parts: pa.StructArray, name: str) -> np.ndarray:
    """Return a named piece as a number, 0 where there is none."""
    numbers: np.ndarray = _part(parts, name).cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return numbers


OFFICIAL = ("train", "val", "test", "spatial_val", "spatial_test")
UNKNOWN = f"its split is not one of {', '.join(OFFICIAL)}"

SPELLINGS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validate": "val", "validation": "val", "dev": "val", "development": "val",
    "test": "test", "testing": "test",
    "spatial_val": "spatial_val", "spatial_valid": "spatial_val", "spatial_validation": "spatial_val",
    "spatial_test": "spatial_test", "spatial_testing": "spatial_test",
}  # fmt: skip


def read_roles(text: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the number (in `OFFICIAL`) of each row's role, -1 for null or blank, and which rows have an unknown one.

    Case, blanks around and hyphens for underscores do not matter.
    """
    encoded = pc.dictionary_encode(text)
    read = ["_".join(one.casefold().replace("-", " ").replace("_", " ").split()) for one in encoded.dictionary.to_pylist()]
    code = np.array([OFFICIAL.index(SPELLINGS[one]) if one in SPELLINGS else -1 for one in read] + [-1], np.int8)
    unknown = np.array([bool(one) and one not in SPELLINGS for one in read] + [False])
    which = encoded.indices.fill_null(len(read)).to_numpy(zero_copy_only=False)
    return code[which], unknown[which]
