"""What is read as a position, what is noted about it, and what is refused; degrees."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.intake.judging.positions import BLANKS, COMMA, DMS, MARKS, WRAPPED, degrees, read_positions

prop = settings(deadline=None, derandomize=True, max_examples=80)
nan, inf = float("nan"), float("inf")
LAT = 43 + 28 / 60 + 2.8 / 3600


def read(lon, lat):
    """One row, its axes as text or as a number."""

    def column(value):
        return pa.array([value], pa.float64() if isinstance(value, float) else pa.string())

    return read_positions(column(lon), column(lat))


# --- texts that are positions: (text of the latitude, degrees, notes)

READ = [
    ("43.5", 43.5, ()),
    ("-43.5", -43.5, ()),
    ("+43.5", 43.5, ()),
    ("43", 43, ()),
    ("43.", 43, ()),
    (".5", 0.5, ()),
    ("-0.0", 0, ()),
    ("4.35e1", 43.5, ()),
    ("43.467445000000001", 43.467445, ()),
    (" 43.5", 43.5, (BLANKS,)),
    ("43.5\t", 43.5, (BLANKS,)),
    ("\u00a043.5 ", 43.5, (BLANKS,)),
    ("43,5", 43.5, (COMMA,)),
    ("-43,467445", -43.467445, (COMMA,)),
    ("+43,5", 43.5, (COMMA,)),
    (",5", 0.5, (COMMA,)),
    ("43,5 S", -43.5, (MARKS, COMMA)),
    (" 43,5 ", 43.5, (BLANKS, COMMA)),
    ("\N{MINUS SIGN}43.5", -43.5, (MARKS,)),
    ("\N{EN DASH}43,5", -43.5, (MARKS, COMMA)),
    ("- 43.5", -43.5, (MARKS,)),
    ("43.5°", 43.5, (MARKS,)),
    ("43.5 °", 43.5, (MARKS,)),
    ("43.5º", 43.5, (MARKS,)),
    ("43.5° S", -43.5, (MARKS,)),
    ("-43.5°S", -43.5, (MARKS,)),
    ("+43.5N", 43.5, (MARKS,)),
    ("N43.467", 43.467, (MARKS,)),
    ("s 43.467", -43.467, (MARKS,)),
    ("43.467n", 43.467, (MARKS,)),
    ("43.467s", -43.467, (MARKS,)),
    ("43°28'2.8\"N", LAT, (DMS,)),
    ("43° 28' 2.8\" S", -LAT, (DMS,)),
    ("43°28\N{PRIME}2.8\N{DOUBLE PRIME}N", LAT, (DMS,)),
    ("43°28\N{RIGHT SINGLE QUOTATION MARK}2.8\N{RIGHT DOUBLE QUOTATION MARK}N", LAT, (DMS,)),
    ("43°28'2.8''N", LAT, (DMS,)),
    ("43°28'2,8\"N", LAT, (DMS, COMMA)),
    ("43 28 2.8 N", LAT, (DMS,)),
    ("43 28 2.8 S", -LAT, (DMS,)),
    ("-43 28 2.8", -LAT, (DMS,)),
    ("\N{MINUS SIGN}43 28 2.8", -LAT, (DMS,)),
    ("S 43 28 2.8", -LAT, (DMS,)),
    ("43:28:2.8", LAT, (DMS,)),
    ("43d28m2.8s", LAT, (DMS,)),
    ("43d28m2.8sS", -LAT, (DMS,)),
    ("43d28m2.8s N", LAT, (DMS,)),
    ("43d28'2.8\"S", -LAT, (DMS,)),
    ("43deg 28min 2.8sec", LAT, (DMS,)),
    ("43°28.5'N", 43.475, (DMS,)),
    ("43 28.5", 43.475, (DMS,)),
    ("-0 30 0", -0.5, (DMS,)),
    ("43 60 0", 44, (DMS,)),
    ("0°N", 0, (MARKS,)),
    ("90", 90, ()),
    ("-90", -90, ()),
]


@pytest.mark.parametrize(("text", "value", "notes"), READ, ids=[repr(one[0]) for one in READ])
def test_a_latitude_is_read(text, value, notes):
    """Three roundings of 2^-53 relative each may part the sum from the value written here: 1e-15 x 90 < 1e-13."""
    got = read("10.5", text)
    assert got.fault.to_pylist() == got.detail.to_pylist() == [None]
    assert got.lat[0] == pytest.approx(value, abs=1e-13, rel=0) and got.lon[0] == 10.5
    assert sorted(got.notes) == sorted(notes)
    assert all(where.tolist() == [True] for where in got.notes.values())


@pytest.mark.parametrize(
    ("text", "value"), [("11.5W", -11.5), ("w11.5", -11.5), ("11°30'E", 11.5), ("-11 30", -11.5), ("11d30mw", -11.5)]
)
def test_a_longitude_is_read(text, value):
    assert read(text, "1").lon.tolist() == [value]


@pytest.mark.parametrize(
    ("given_lon", "lon", "noted"),
    [
        (-180.0, -180, False),
        (180.0, -180, False),
        (180.5, -179.5, True),
        (359.5, -0.5, True),
        (360.0, 0, True),
        ("190,5", -169.5, True),
    ],
)
def test_a_longitude_is_wrapped(given_lon, lon, noted):
    got = read(given_lon, 1.0)
    assert got.lon.tolist() == [lon]
    assert (WRAPPED in got.notes) == noted


@pytest.mark.parametrize(
    ("lon", "lat", "expected"),
    [
        (1.0, 90.00000000000001, (1, 90)),
        ("1", "-90.00000000000001", (1, -90)),
        (1.0, 90 + 9e-10, (1, 90)),
        (-180.00000000000003, 1.0, (-180, 1)),
        ("-180.0000000001", "1", (-180, 1)),
        (180.00000000000003, 1.0, (-180 + 2.8e-14, 1)),
        (180.0000001, 1.0, (-180 + 1e-7, 1)),
        (360.00000000000006, 1.0, (0, 1)),
    ],
)
def test_a_hair_beyond_a_border_is_on_it(lon, lat, expected):
    """Rounding carries no farther than 1e-9 degrees, a tenth of a millimetre."""
    kind = pa.string() if isinstance(lon, str) else pa.float64()
    judged = read_positions(pa.array([lon], kind), pa.array([lat], kind))
    assert judged.fault.to_pylist() == [None]
    # 360 degrees are kept to 6e-14.
    assert (judged.lon[0], judged.lat[0]) == pytest.approx(expected, rel=0, abs=6e-14)


# --- what is refused: (longitude, latitude, reason, detail)

WRONG = [
    ("abc", "1", "longitude is not a number", "abc"),
    ("1", "north", "latitude is not a number", "north"),
    ("1", "1.234,5", "latitude is not a number", "1.234,5"),
    ("1", "43.467, 11.88", "latitude is not a number", "43.467, 11.88"),
    ("1", "43..5", "latitude is not a number", "43..5"),
    ("1", "--4", "latitude is not a number", "--4"),
    ("1", "43.5 28", "latitude is not a number", "43.5 28"),
    ("1", "43 28.5 2", "latitude is not a number", "43 28.5 2"),
    ("1", "43 28 2.8s", "latitude is not a number", "43 28 2.8s"),  # seconds or south?
    ("1", "N43S", "latitude is not a number", "N43S"),
    ("1", "4 3 2 1", "latitude is not a number", "4 3 2 1"),
    ("1", "٤٣", "latitude is not a number", "٤٣"),
    ("1", "0x10", "latitude is not a number", "0x10"),
    ("1", "1_000", "latitude is not a number", "1_000"),
    ("11.9 O", "1", "longitude is not a number", "11.9 O"),  # east in German, west in French
    ("nan", "1", "longitude is not a finite number", "nan"),
    ("1", "-Infinity", "latitude is not a finite number", "-Infinity"),
    ("1", "1e999", "latitude is not a finite number", "1e999"),
    (nan, 1.0, "longitude is not a finite number", "nan"),
    (1.0, -inf, "latitude is not a finite number", "-inf"),
    (nan, nan, "longitude is not a finite number", "nan"),
    ("11", "12E", "latitude has a hemisphere letter that is not N or S", "12E"),
    ("11N", "12", "longitude has a hemisphere letter that is not E or W", "11N"),
    ("11", "-12N", "latitude has a sign that contradicts its hemisphere letter", "-12N"),
    ("+11W", "12", "longitude has a sign that contradicts its hemisphere letter", "+11W"),
    ("11", "12 61 0", "latitude has minutes or seconds of more than 60", "12 61 0"),
    ("11°5'60.5\"", "12", "longitude has minutes or seconds of more than 60", "11°5'60.5\""),
    ("11", "90.0001", "latitude is outside [-90, 90]", "90.0001"),
    (11.0, 90.000000002, "latitude is outside [-90, 90]", "90.000000002"),
    (-180.000000002, 11.0, "longitude is outside [-180, 360]", "-180.000000002"),
    (11.0, -90.5, "latitude is outside [-90, 90]", "-90.5"),
    ("11", "90 0 0.1", "latitude is outside [-90, 90]", "90 0 0.1"),
    ("-180.1", "12", "longitude is outside [-180, 360]", "-180.1"),
    (360.5, 12.0, "longitude is outside [-180, 360]", "360.5"),
    ("654321", "4812345", "latitude is outside [-90, 90]", "4812345"),  # metres
    ("11", None, "only one of longitude and latitude is given", "11"),
    ("  ", "12", "only one of longitude and latitude is given", "12"),
    (None, "north", "only one of longitude and latitude is given", "north"),
    ("0", "0", "position is (0, 0)", "0, 0"),
    (0.0, -0.0, "position is (0, 0)", "0, -0"),
    ("0°E", "0,0", "position is (0, 0)", "0°E, 0,0"),
]


@pytest.mark.parametrize(("lon", "lat", "reason", "detail"), WRONG, ids=[f"{one[0]} {one[1]}" for one in WRONG])
def test_a_wrong_position_is_named(lon, lat, reason, detail):
    got = read(lon, lat)
    assert got.fault.to_pylist() == [reason]
    assert got.detail.to_pylist() == [detail]
    assert math.isnan(got.lon[0]) and math.isnan(got.lat[0])
    assert got.given.tolist() == [True]
    assert not got.notes, "a note is about a position that is kept"


@pytest.mark.parametrize(("lon", "lat"), [(None, None), ("", " "), ("\t", None)])
def test_no_position_is_no_fault(lon, lat):
    got = read(lon, lat)
    assert got.given.tolist() == [False] and got.fault.to_pylist() == [None] and math.isnan(got.lon[0])


@pytest.mark.parametrize(
    ("lon", "lat", "swappable"),
    [
        (45.0, 116.0, True),
        (-45.0, -116.0, True),
        (45.0, 300.0, True),
        (120.0, 116.0, False),
        (45.0, 400.0, False),
        (45.0, -181.0, False),
        (45.0, 45.0, False),
    ],
)
def test_positions_that_would_be_right_when_exchanged(lon, lat, swappable):
    assert read(lon, lat).exchangeable.tolist() == [swappable]


# --- many at once

axis_texts = st.one_of(
    st.none(),
    st.sampled_from([row[0] for row in READ] + [row[1] for row in WRONG if isinstance(row[1], str)]),
    st.floats(-400, 400).map(repr),
    st.floats(-400, 400).map(lambda value: f"{value:.3f}".replace(".", ",")),
)


@settings(prop, max_examples=25)
@given(st.lists(st.tuples(axis_texts, axis_texts), max_size=12))
def test_a_batch_is_read_as_its_rows_are_one_by_one(rows):
    whole = read_positions(*(pa.array([row[axis] for row in rows], pa.string()) for axis in (0, 1)))
    for i, row in enumerate(rows):
        one = read(*row)
        assert np.array_equal([whole.lon[i], whole.lat[i]], [one.lon[0], one.lat[0]], equal_nan=True)
        assert (whole.fault[i].as_py(), whole.detail[i].as_py()) == (one.fault[0].as_py(), one.detail[0].as_py())
        assert {note for note, where in whole.notes.items() if where[i]} == set(one.notes)
        assert (whole.given[i], whole.exchangeable[i]) == (one.given[0], one.exchangeable[0])


@prop
@given(st.floats(-400, 400).filter(lambda value: value != 0), st.floats(-100, 100))
def test_text_and_numbers_are_judged_alike(lon, lat):
    text, number = read(repr(lon), repr(lat)), read(lon, lat)
    assert np.array_equal(text.lon, number.lon, equal_nan=True) and np.array_equal(text.lat, number.lat, equal_nan=True)
    assert text.fault == number.fault


@prop
@given(st.integers(0, 89), st.integers(0, 59), st.integers(0, 59999), st.sampled_from("NS"), st.sampled_from(range(6)))
def test_every_form_of_one_angle_is_the_same_number(whole, minutes, milliseconds, letter, form):
    seconds = f"{milliseconds // 1000}.{milliseconds % 1000:03d}"
    sign = "-" if letter == "S" else ""
    text = [
        f"{whole}°{minutes}'{seconds}\"{letter}",
        f"{letter}{whole} {minutes} {seconds}",
        f"{sign}{whole}:{minutes}:{seconds}",
        f"{whole}d{minutes}m{seconds}s{letter}",
        f"{whole} ° {minutes} \N{PRIME} {seconds.replace('.', ',')} \N{DOUBLE PRIME} {letter.lower()}",
        f"{sign}{whole} {minutes} {seconds}",
    ][form]
    exact = (whole * 3_600_000 + minutes * 60_000 + milliseconds) / 3_600_000
    got = degrees(text, "lat")
    assert got.fault is None and DMS in got.notes
    assert got.value == pytest.approx(-exact if letter == "S" else exact, abs=1e-13, rel=0)
