import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL.TiffImagePlugin import IFDRational

from cspops.intake.images import exif
from cspops.intake.images.exif import captured_at, gps

R = IFDRational
LAT, LON = 43 + 28 / 60 + 2.8 / 3600, 11 + 53 / 60 + 6.5 / 3600
DMS_LAT, DMS_LON = (R(43), R(28), R(28, 10)), (R(11), R(53), R(65, 10))
NOWHERE = (R(0, 0),) * 3


def tags(lat=DMS_LAT, lon=DMS_LON, lat_ref="N", lon_ref="E", **more):
    found = {1: lat_ref, 2: lat, 3: lon_ref, 4: lon, **{int(name[1:]): value for name, value in more.items()}}
    return {tag: value for tag, value in found.items() if value is not None}


# Each angle by its definition: degrees + minutes / 60 + seconds / 3600.
POSITIONS = {
    "degrees, minutes, seconds": (tags(), (LON, LAT), []),
    "south and west": (tags(lat_ref="S", lon_ref="W"), (-LON, -LAT), []),
    "references as bytes": (tags(lat_ref=b"S\0", lon_ref=b"W\0"), (-LON, -LAT), []),
    "references in lower case": (tags(lat_ref="s", lon_ref="w"), (-LON, -LAT), []),
    "references as words": (tags(lat_ref="South", lon_ref=" West "), (-LON, -LAT), []),
    "no references": (tags(lat_ref=None, lon_ref=None), (LON, LAT), [exif.NO_REF]),
    "an empty reference": (tags(lat_ref="\0"), (LON, LAT), [exif.NO_REF]),
    "references of the other axis": (tags(lat_ref="E", lon_ref="N"), (LON, LAT), [exif.NO_REF]),
    "no references, signs": (tags(lat=(-43.5,), lon=(-11.25,), lat_ref=None, lon_ref=None), (-11.25, -43.5), [exif.NO_REF]),
    "a sign that repeats the reference": (tags(lat=(-43.5,), lat_ref="S"), (LON, -43.5), []),
    "a sign against the reference": (tags(lat=(-43.5,), lat_ref="N"), (LON, -43.5), [exif.BOTH_SIGNS]),
    "a sign on the degrees of three": (tags(lat=(-43, 28, 2.8), lat_ref="S"), (LON, -LAT), []),
    "a sign on the minutes": (tags(lat=(0, -28, 0), lat_ref=None), (LON, -28 / 60), [exif.NO_REF]),
    "decimal degrees": (tags(lat=(R(4346745, 100000),)), (LON, 43.46745), []),
    "decimal degrees without a tuple": (tags(lat=R(4346745, 100000)), (LON, 43.46745), []),
    "decimal degrees before zeros": (tags(lat=(R(434, 10), R(0), R(0))), (LON, 43.4), []),
    "degrees and decimal minutes": (tags(lat=(R(43), R(28046, 1000))), (LON, 43 + 28.046 / 60), []),
    "decimal minutes, 0/0 seconds": (tags(lat=(R(43), R(28046, 1000), R(0, 0))), (LON, 43 + 28.046 / 60), []),
    "text": (tags(lat="43 28 2.8"), (LON, LAT), []),
    "text with marks": (tags(lat="43°28'2.8\""), (LON, LAT), []),
    "text of rationals": (tags(lat=b"43/1, 28/1, 28/10"), (LON, LAT), []),
    "text of decimal degrees": (tags(lat="43.46745"), (LON, 43.46745), []),
    "seconds of 60": (tags(lat=(43, 27, 60)), (LON, 43 + 28 / 60), []),
    "floats": (tags(lat=[43.0, 28.0, 2.8]), (LON, LAT), []),
    "out of range, for others to judge": (tags(lat=(95,), lon=(200,)), (200.0, 95.0), []),
    "the origin, for others to judge": (tags(lat=(0, 0, 0), lon=(0, 0, 0)), (0.0, 0.0), []),
    "status void": (tags(_9="V"), (LON, LAT), [exif.NO_FIX]),
    "status A": (tags(_9="A"), (LON, LAT), []),
    "datum WGS-84": (tags(_18="WGS-84 \0"), (LON, LAT), []),
    "datum Tokyo": (tags(_18="TOKYO"), (LON, LAT), [exif.DATUM]),
    "nothing": ({}, None, []),
    "only a version": ({0: b"\2\3\0\0"}, None, []),
    "only latitude": (tags(lon=None), None, [exif.HALF]),
    "only longitude": (tags(lat=None), None, [exif.HALF]),
    "0/0 throughout": (tags(lat=NOWHERE, lon=NOWHERE), None, [exif.EMPTY]),
    "empty": (tags(lat=()), None, [exif.EMPTY]),
    "empty text": (tags(lat=""), None, [exif.EMPTY]),
    "0/0 degrees": (tags(lat=(R(0, 0), R(28), R(3))), None, [exif.NOT_DEGREES]),
    "0/0 minutes": (tags(lat=(R(43), R(0, 0), R(3))), None, [exif.NOT_DEGREES]),
    "something / 0": (tags(lat=(R(43), R(28), R(5, 0))), (LON, 43 + 28 / 60), []),
    "four numbers": (tags(lat=(43, 28, 2, 8)), None, [exif.NOT_DEGREES]),
    "words": (tags(lat="north"), None, [exif.NOT_DEGREES]),
    "something else": (tags(lat=({},)), None, [exif.NOT_DEGREES]),
    "nothing in it": (tags() | {2: None}, None, [exif.NOT_DEGREES]),
    "seconds above 60": (tags(lat=(43, 28, 280)), None, [exif.ABOVE_SIXTY]),
    "minutes above 60": (tags(lat=(43, 28046, 0)), None, [exif.ABOVE_SIXTY]),
    "a decimal comma": (tags(lat="43,46745"), None, [exif.ABOVE_SIXTY]),
    "decimal degrees and minutes": (tags(lat=(43.46745, 28, 2.8)), None, [exif.FRACTION]),
    "decimal minutes and seconds": (tags(lat=(43, 28.046, 2.8)), None, [exif.FRACTION]),
}


@pytest.mark.parametrize("case", POSITIONS)
def test_gps(case):
    given_, lonlat, notes = POSITIONS[case]
    found, said = gps(given_)
    assert said == notes
    assert (found is None) == (lonlat is None)
    if lonlat:
        # A sum of three float64 terms below 360: a few units in the last place.
        assert found == pytest.approx(lonlat, rel=0, abs=4 * math.ulp(360.0))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(0, 179), st.integers(0, 59), st.integers(0, 59999), st.sampled_from("EW"))
def test_any_angle_is_what_its_parts_add_up_to(degrees, minutes, milliseconds, ref):
    angle = (degrees * 3600_000 + minutes * 60_000 + milliseconds) / 3600_000
    found, said = gps(tags(lon=(R(degrees), R(minutes), R(milliseconds, 1000)), lon_ref=ref))
    assert said == []
    assert found[0] == pytest.approx(angle if ref == "E" else -angle, rel=0, abs=4 * math.ulp(180.0))


TAKEN = "2008:10:22 16:28:39"
GPS = {29: "2008:10:22", 7: (R(14), R(27), R(724, 100))}


def photo(taken=TAKEN, offset=None, subseconds=None):
    found = {0x9003: taken, 0x9011: offset, 0x9291: subseconds}
    return {tag: value for tag, value in found.items() if value is not None}


def day(date):
    return GPS | {29: date}


def clock(*numbers):
    return GPS | {7: numbers}


SATELLITE = "2008-10-22T14:27:07.240Z"
DATES = {
    "date and zone": (photo(offset="+02:00"), {}, "2008-10-22T16:28:39+02:00", []),
    "date and western zone": (photo(offset="-03:30"), {}, "2008-10-22T16:28:39-03:30", []),
    "date in UTC": (photo(offset="+00:00"), {}, "2008-10-22T16:28:39Z", []),
    "date in UTC by letter": (photo(offset="Z"), {}, "2008-10-22T16:28:39Z", []),
    "date and zone win over GPS": (photo(offset="+02:00"), GPS, "2008-10-22T16:28:39+02:00", []),
    "as bytes": (photo(TAKEN.encode() + b"\0", b"+02:00\0"), {}, "2008-10-22T16:28:39+02:00", []),
    "tenths": (photo(offset="+02:00", subseconds="5"), {}, "2008-10-22T16:28:39.500+02:00", []),
    "microseconds": (photo(offset="+02:00", subseconds="123456 "), {}, "2008-10-22T16:28:39.123+02:00", []),
    "subseconds that are none": (photo(offset="+02:00", subseconds="x"), {}, "2008-10-22T16:28:39+02:00", []),
    "GPS wins over a date without zone": (photo(), GPS, SATELLITE, []),
    "GPS alone": ({}, GPS, SATELLITE, []),
    "whole seconds of GPS": ({}, clock(14, 27, 7), "2008-10-22T14:27:07Z", []),
    "milliseconds of GPS that float64 cuts short": ({}, clock(14, 27, R(1001, 1000)), "2008-10-22T14:27:01.001Z", []),
    "no zone at all": (photo(), {}, "2008-10-22T16:28:39Z", [exif.NO_ZONE]),
    "a GPS date without time": (photo(), {29: "2008:10:22"}, "2008-10-22T16:28:39Z", [exif.NO_ZONE]),
    "a GPS time without date": (photo(), {7: (14, 27, 7)}, "2008-10-22T16:28:39Z", [exif.NO_ZONE]),
    "a blank zone": (photo(offset="   :  "), {}, "2008-10-22T16:28:39Z", [exif.NO_ZONE]),
    "a zone that is none": (photo(offset="CEST"), GPS, SATELLITE, [exif.ZONE_FORM]),
    "a zone too far": (photo(offset="+15:00"), {}, "2008-10-22T16:28:39Z", [exif.ZONE_FORM, exif.NO_ZONE]),
    # The camera's clock is 26 h 1 min 32 s ahead, and 21 h 58 min 28 s behind: no zone is more than 14 h from UTC.
    "a day ahead of GPS": (photo("2008:10:23 16:28:39"), GPS, SATELLITE, [exif.CLOCKS]),
    "a day behind GPS": (photo("2008:10:21 16:28:39"), GPS, SATELLITE, [exif.CLOCKS]),
    "14 h ahead of GPS": (photo("2008:10:23 04:27:07"), GPS, SATELLITE, []),
    "12 h behind GPS": (photo("2008:10:22 02:27:07"), GPS, SATELLITE, []),
    "nothing": ({}, {}, None, []),
    "an edit's and a scan's date": ({306: TAKEN, 0x9004: TAKEN}, {}, None, []),
    "blank": (photo("    :  :     :  :  "), {}, None, []),
    "zeros": (photo("0000:00:00 00:00:00"), {}, None, [exif.DATE_ZEROS]),
    "zeros beside GPS": (photo("0000:00:00 00:00:00"), GPS, SATELLITE, [exif.DATE_ZEROS]),
    "hyphens": (photo("2008-10-22 16:28:39"), {}, None, [exif.DATE_FORM]),
    "slashes": (photo("2008/10/22 16:28:39"), {}, None, [exif.DATE_FORM]),
    "a T": (photo("2008:10:22T16:28:39"), {}, None, [exif.DATE_FORM]),
    "only a day": (photo("2008:10:22"), {}, None, [exif.DATE_FORM]),
    "no such day": (photo("2009:02:29 10:00:00"), {}, None, [exif.DATE_NONE]),
    "no such hour": (photo("2009:02:28 24:00:00"), {}, None, [exif.DATE_NONE]),
    "no such year": (photo("0000:02:28 10:00:00"), {}, None, [exif.DATE_NONE]),
    "not text": (photo(20081022), {}, None, []),
    "GPS hyphens": ({}, day("2008-10-22"), None, [exif.GPS_DATE_FORM]),
    "no such GPS day": ({}, day("2008:13:22"), None, [exif.GPS_DATE_FORM]),
    "GPS time 0/0": ({}, clock(R(0, 0), R(0, 0), R(0, 0)), None, [exif.GPS_DATE_FORM]),
    "GPS hour 24": ({}, clock(24, 0, 0), None, [exif.GPS_DATE_FORM]),
    "GPS seconds 60": ({}, clock(14, 27, 60), None, [exif.GPS_DATE_FORM]),
    "GPS fraction of an hour": ({}, clock(14.5, 27, 7), None, [exif.GPS_DATE_FORM]),
    "GPS hours and minutes": ({}, clock(14, 27), None, [exif.GPS_DATE_FORM]),
    "a bad GPS time and a date": (photo(), day("?"), "2008-10-22T16:28:39Z", [exif.GPS_DATE_FORM, exif.NO_ZONE]),
}


@pytest.mark.parametrize("case", DATES)
def test_captured_at(case):
    of_photo, of_gps, text, notes = DATES[case]
    assert captured_at(of_photo, of_gps) == (text, notes)
