"""From what stands in a table to degrees: numbers, decimal commas, degrees-minutes-seconds; and what is no position.

Numbers are read column-wise; only text in other forms is looked at piece by piece, each distinct text once.
"""

import re
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cspops.intake.judging.verdicts import at, is_given, is_true

ONE_MISSING = "only one of longitude and latitude is given"
NO_NUMBER = {"lon": "longitude is not a number", "lat": "latitude is not a number"}
NOT_FINITE = {"lon": "longitude is not a finite number", "lat": "latitude is not a finite number"}
OTHER_AXIS = {
    "lon": "longitude has a hemisphere letter that is not E or W",
    "lat": "latitude has a hemisphere letter that is not N or S",
}
CONTRADICTION = {
    "lon": "longitude has a sign that contradicts its hemisphere letter",
    "lat": "latitude has a sign that contradicts its hemisphere letter",
}
SIXTY = {
    "lon": "longitude has minutes or seconds of more than 60",
    "lat": "latitude has minutes or seconds of more than 60",
}
LAT_RANGE = "latitude is outside [-90, 90]"
LON_RANGE = "longitude is outside [-180, 360]"
NULL_ISLAND = "position is (0, 0)"

BLANKS = "position with blanks around it"
COMMA = "position with a decimal comma"
DMS = "position in degrees, minutes and seconds"
MARKS = "position with a degree sign, a hemisphere letter or an unusual sign"
WRAPPED = "longitude of more than 180, brought into [-180, 180)"

BEYOND = 1e-9
"""Degrees, a tenth of a millimetre, that rounding may carry a position beyond a border: it is taken to lie on it."""

Axis = Literal["lon", "lat"]


class Positions(NamedTuple):
    """The positions of a batch, one item per row."""

    lon: np.ndarray
    """Degrees in [-180, 180), nan where there is no position or a wrong one."""
    lat: np.ndarray
    """Degrees in [-90, 90], nan where there is no position or a wrong one."""
    given: np.ndarray
    """Whether a longitude or a latitude stands there at all."""
    fault: pa.Array
    """What is wrong with the position, a fixed sentence; null where nothing is."""
    detail: pa.Array
    """The value at fault."""
    notes: dict[str, np.ndarray]
    """Which rows each note is about."""
    exchangeable: np.ndarray
    """Rows whose latitude cannot be one, though it could be their longitude, and their longitude a latitude."""


class _Numbers(NamedTuple):
    """A column as numbers (nan where there is none); ``fault`` as in `Positions`, an object array."""

    values: np.ndarray
    given: np.ndarray
    fault: np.ndarray
    notes: dict[str, np.ndarray]


def read_positions(lon: pa.Array, lat: pa.Array) -> Positions:
    """Judge the positions of a batch; ``lon`` and ``lat`` are text or float64 degrees, null or blank where missing."""
    x, y = _numbers(lon, "lon"), _numbers(lat, "lat")
    both, any_given = x.given & y.given, x.given | y.given
    fault = np.full(len(lon), None, dtype=object)
    at_fault = np.zeros(len(lon), np.int8)  # 0 longitude, 1 latitude, 2 both

    def wrong(where: np.ndarray, why: str, axis: int) -> None:
        new = where & (fault == None)  # noqa: E711  (elementwise)
        fault[new], at_fault[new] = why, axis

    wrong(x.given & ~y.given, ONE_MISSING, 0)
    wrong(y.given & ~x.given, ONE_MISSING, 1)
    for axis, numbers in enumerate((x, y)):
        for why in dict.fromkeys(numbers.fault[numbers.fault != None]):  # noqa: E711
            wrong(numbers.fault == why, why, axis)
    x, y = x._replace(values=_onto(x.values, -180, 360)), y._replace(values=_onto(y.values, -90, 90))
    wrong(both & ((y.values < -90) | (y.values > 90)), LAT_RANGE, 1)
    wrong(both & ((x.values < -180) | (x.values > 360)), LON_RANGE, 0)
    wrong(both & (x.values == 0) & (y.values == 0), NULL_ISLAND, 2)

    right = both & (fault == None)  # noqa: E711
    notes = {note: (x.notes[note] | y.notes[note]) & right for note in (BLANKS, COMMA, DMS, MARKS)}
    notes[WRAPPED] = right & (x.values > 180)
    wrapped = np.where(x.values >= 180, x.values - 360, x.values)
    could_be_lon = ((y.values > 90) & (y.values <= 360)) | ((y.values < -90) & (y.values >= -180))
    return Positions(
        lon=np.where(right, wrapped, np.nan),
        lat=np.where(right, y.values, np.nan),
        given=any_given,
        fault=pa.array(fault, pa.string()),
        detail=_details(lon, lat, fault, at_fault),
        notes={note: where for note, where in notes.items() if where.any()},
        exchangeable=both & could_be_lon & (np.abs(x.values) <= 90),
    )


def _onto(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Bring values that lie beyond a border by no more than `BEYOND` onto it."""
    inside = values.clip(low, high)
    return np.where(np.abs(values - inside) <= BEYOND, inside, values)


def _details(lon: pa.Array, lat: pa.Array, fault: np.ndarray, at_fault: np.ndarray) -> pa.Array:
    """Return the text of the value at fault, null where nothing is."""
    rows = np.flatnonzero(fault != None)  # noqa: E711
    texts = [_text(column.take(pa.array(rows))) for column in (lon, lat)]
    both = pc.binary_join_element_wise(*texts, ", ", null_handling="skip")
    return at(rows, pc.choose(pa.array(at_fault[rows]), *texts, both), len(fault))


def _text(column: pa.Array) -> pa.Array:
    return column if pa.types.is_string(column.type) else pc.cast(column, pa.string())


# --- a column

PLAIN = r"^-?\d{1,17}(\.\d{1,40})?$"
PLAIN_COMMA = r"^-?\d{1,17},\d{1,40}$"


def _numbers(column: pa.Array, axis: Axis) -> _Numbers:
    n = len(column)
    fault = np.full(n, None, dtype=object)
    notes = {note: np.zeros(n, bool) for note in (BLANKS, COMMA, DMS, MARKS)}
    if not pa.types.is_string(column.type):
        values = pc.cast(column, pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
        given = is_given(column)
        fault[given & ~np.isfinite(values)] = NOT_FINITE[axis]
        return _Numbers(values, given, fault, notes)

    text = pc.utf8_trim_whitespace(column)
    given = is_true(pc.not_equal(text, ""))
    notes[BLANKS] = given & is_true(pc.not_equal(text, column))
    plain, comma = is_true(pc.match_substring_regex(text, PLAIN)), is_true(pc.match_substring_regex(text, PLAIN_COMMA))
    notes[COMMA] = comma
    usual = plain | comma
    if comma.any():
        text = pc.if_else(pa.array(comma), pc.replace_substring(text, ",", "."), text)
    numbers = pc.cast(pc.if_else(pa.array(usual), text, pa.scalar(None, pa.string())), pa.float64())
    values = numbers.fill_null(np.nan).to_numpy(zero_copy_only=False).copy()
    odd = np.flatnonzero(given & ~usual)
    if len(odd):
        encoded = pc.dictionary_encode(text.take(pa.array(odd)))
        read = [degrees(one, axis) for one in encoded.dictionary.to_pylist()]
        which = encoded.indices.to_numpy()
        values[odd] = np.array([one.value for one in read])[which]
        faults = np.empty(len(read), dtype=object)
        faults[:] = [one.fault for one in read]
        fault[odd] = faults[which]
        for note, where in notes.items():
            where[odd] |= np.array([note in one.notes for one in read])[which]
    return _Numbers(values, given, fault, notes)


# --- a text

TRANSLATION = str.maketrans(
    {
        "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{HYPHEN}": "-", "\N{NON-BREAKING HYPHEN}": "-",
        "\N{FIGURE DASH}": "-", "\N{SMALL HYPHEN-MINUS}": "-", "\N{FULLWIDTH HYPHEN-MINUS}": "-",
        "\N{FULLWIDTH PLUS SIGN}": "+",
        "\N{MASCULINE ORDINAL INDICATOR}": "°", "\N{RING ABOVE}": "°",
        "\N{PRIME}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{ACUTE ACCENT}": "'",
        "\N{GRAVE ACCENT}": "'", "\N{MODIFIER LETTER PRIME}": "'",
        "\N{DOUBLE PRIME}": '"', "\N{RIGHT DOUBLE QUOTATION MARK}": '"', "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{MODIFIER LETTER DOUBLE PRIME}": '"',
    }
)  # fmt: skip

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
NO_FINITE_NUMBER = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
SEXAGESIMAL = re.compile(
    r"""
    (?P<before>[NSEWnsew])?\s*
    (?P<sign>[+-])?\s*
    (?P<degrees>[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)
    (?P<mark>\s*(?:°|(?P<d>d(?:eg)?)|:))?
    (?:
        (?(mark)\s*|\s+)(?P<minutes>[0-9]+(?:[.,][0-9]*)?)
        (?P<minute_mark>\s*(?:'|m(?:in)?|:))?
        (?:
            (?(minute_mark)\s*|\s+)(?P<seconds>[0-9]+(?:[.,][0-9]*)?)
            (?P<second_mark>\s*(?:"|''|(?(d)s(?:ec)?|(?!))))?
        )?
    )?
    \s*(?P<after>[NSEWnsew])?
    """,
    re.VERBOSE,
)


class Degrees(NamedTuple):
    """A text as degrees (nan with a fault), and what was odd about it."""

    value: float
    notes: tuple[str, ...] = ()
    fault: str | None = None


def degrees(text: str, axis: Axis) -> Degrees:
    """Read a longitude or latitude from a text in any of the usual forms.

    A number with point or comma, with or without a sign, a degree sign or a hemisphere letter before or behind; or
    degrees, minutes and, where there are any, seconds, with signs, letters (`43d28m2.8s`), colons or blanks between them;
    then only the last of them has decimals.
    """
    usual = text.translate(TRANSLATION)
    marked, text = usual != text, " ".join(usual.split())
    if NUMBER.fullmatch(text):
        value = float(text)
        return Degrees(value, (MARKS,) * marked) if np.isfinite(value) else Degrees(np.nan, fault=NOT_FINITE[axis])
    if NO_FINITE_NUMBER.fullmatch(text):
        return Degrees(np.nan, fault=NOT_FINITE[axis])
    angle = SEXAGESIMAL.fullmatch(text)
    if angle is None:
        return Degrees(np.nan, fault=NO_NUMBER[axis])
    parts = [angle[name] for name in ("degrees", "minutes", "seconds") if angle[name] is not None]
    letters = [angle[name] for name in ("before", "after") if angle[name] is not None]
    undecided = angle["seconds"] is not None and not angle["second_mark"] and angle["after"] == "s"  # seconds, or south?
    if len(letters) == 2 or undecided or any(not part.isdigit() for part in parts[:-1]):
        return Degrees(np.nan, fault=NO_NUMBER[axis])
    letter = letters[0].upper() if letters else ""
    if letter and letter not in {"lon": "EW", "lat": "NS"}[axis]:
        return Degrees(np.nan, fault=OTHER_AXIS[axis])
    sign = angle["sign"]
    if letter and sign and (sign == "-") != (letter in "SW"):
        return Degrees(np.nan, fault=CONTRADICTION[axis])
    numbers = [float(part.replace(",", ".")) for part in parts]
    if any(number > 60 for number in numbers[1:]):
        return Degrees(np.nan, fault=SIXTY[axis])
    value = sum(number / 60**power for power, number in enumerate(numbers))
    if not np.isfinite(value):
        return Degrees(np.nan, fault=NOT_FINITE[axis])
    marked |= bool(letter or angle["mark"] or " " in text)
    notes = (DMS,) if len(parts) > 1 else (MARKS,) * marked
    notes += (COMMA,) * ("," in parts[-1])
    return Degrees(-value if sign == "-" or letter in ("S", "W") else value, notes)
