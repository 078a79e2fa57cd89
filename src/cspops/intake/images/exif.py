"""What EXIF tags say about where and when a photo was taken, rational oddities included.

Tags are numbered as in Exif 2.32 (CIPA DC-008). Every result comes with notes: fixed sentences about what was odd.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

LATITUDE_REF, LATITUDE, LONGITUDE_REF, LONGITUDE = 1, 2, 3, 4
GPS_TIME, GPS_STATUS, GPS_DATUM, GPS_DATE = 7, 9, 18, 29
TAKEN, TAKEN_OFFSET, TAKEN_SUBSECONDS = 0x9003, 0x9011, 0x9291

EMPTY = "EXIF GPS position is empty (0/0)"
NOT_DEGREES = "EXIF GPS position is not degrees, minutes, seconds"
ABOVE_SIXTY = "EXIF GPS minutes or seconds are above 60"
FRACTION = "EXIF GPS degrees or minutes have a fraction though smaller units follow"
HALF = "EXIF GPS has only one of latitude and longitude"
NO_REF = "EXIF GPS position without a hemisphere reference, its sign is taken"
BOTH_SIGNS = "EXIF GPS number is negative beside the reference N or E, its sign is taken"
NO_FIX = "EXIF GPS status is V (no valid fix)"
DATUM = "EXIF GPS datum is not WGS 84"

DATE_ZEROS = "EXIF date is all zeros"
DATE_FORM = "EXIF date is not written as YYYY:MM:DD hh:mm:ss"
DATE_NONE = "EXIF date does not exist in the calendar"
NO_ZONE = "EXIF date without a time zone or GPS time, taken as UTC"
ZONE_FORM = "EXIF time zone is not written as +hh:mm"
CLOCKS = "camera clock and GPS clock are more than a time zone apart, GPS is taken"
GPS_DATE_FORM = "EXIF GPS date or time cannot be read"

NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:/\d+)?")
BETWEEN = re.compile(r"[\s,;:°'\"′″]*")


def gps(tags: Mapping[int, Any]) -> tuple[tuple[float, float] | None, list[str]]:
    """Return the position in a GPS IFD.

    Degrees alone, degrees and minutes, or all three may be given, as rationals, numbers or text; 0/0 minutes or seconds
    at the end count as not given. A value that cannot be read gives no position, and a note says why. Ranges are not judged.

    Returns:
        longitude and latitude in degrees, negative in the west and south, and the notes.
    """
    if LATITUDE not in tags and LONGITUDE not in tags:
        return None, []
    if LATITUDE not in tags or LONGITUDE not in tags:
        return None, [HALF]
    lon, lon_note = _axis(tags[LONGITUDE], _text(tags.get(LONGITUDE_REF)), "EW")
    lat, lat_note = _axis(tags[LATITUDE], _text(tags.get(LATITUDE_REF)), "NS")
    notes = list(dict.fromkeys(note for note in (lon_note, lat_note) if note))
    if lon is None or lat is None:
        return None, notes
    if _text(tags.get(GPS_STATUS)).upper() == "V":
        notes.append(NO_FIX)
    datum = re.sub(r"[^A-Z0-9]", "", _text(tags.get(GPS_DATUM)).upper())
    if datum not in ("", "WGS84", "WGS1984", "UNDEF", "UNKNOWN"):
        notes.append(DATUM)
    return (lon, lat), notes


def captured_at(photo: Mapping[int, Any], gps: Mapping[int, Any]) -> tuple[str | None, list[str]]:
    """Return when a photo was taken, as ISO 8601 text with its zone.

    The first of: DateTimeOriginal with its OffsetTimeOriginal; the GPS date and time, which are UTC and set by
    satellite; DateTimeOriginal alone, taken as UTC. The date of a file, of a scan or of an edit is not when a photo
    was taken, so DateTime and DateTimeDigitized are not looked at.

    Args:
        photo: tags of the main and the Exif IFD.
        gps: tags of the GPS IFD.
    """
    notes = []
    local, note = _local(_text(photo.get(TAKEN)), _text(photo.get(TAKEN_SUBSECONDS)))
    if note:
        notes.append(note)
    zone, note = _zone(_text(photo.get(TAKEN_OFFSET)))
    if local is not None and note:
        notes.append(note)
    if local is not None and zone is not None:
        return _iso(local.replace(tzinfo=zone)), notes
    utc, note = _gps_time(gps)
    if note:
        notes.append(note)
    if utc is not None:
        # Zones reach from -12 to +14 hours; an hour more for a clock that was not set to summer time.
        if local is not None and not timedelta(hours=-13) <= local - utc.replace(tzinfo=None) <= timedelta(hours=15):
            notes.append(CLOCKS)
        return _iso(utc), notes
    if local is None:
        return None, notes
    return _iso(local.replace(tzinfo=UTC)), [*notes, NO_ZONE]


def _axis(value: Any, ref: str, letters: str) -> tuple[float | None, str | None]:
    """Return signed degrees; ``letters`` are those of the positive and the negative hemisphere."""
    numbers = _numbers(value)
    if numbers is None:
        return None, NOT_DEGREES
    degrees, note = _degrees(numbers)
    if degrees is None:
        return None, note
    negative = any(number < 0 for number in numbers)
    hemisphere = ref[:1].upper()
    if not hemisphere or hemisphere not in letters:
        return (-degrees if negative else degrees), NO_REF
    if negative and hemisphere == letters[0]:
        return -degrees, BOTH_SIGNS
    return (-degrees if hemisphere == letters[1] else degrees), note


def _degrees(numbers: list[float]) -> tuple[float | None, str | None]:
    """Return the size of an angle given as degrees, minutes and seconds, of which the smaller may be missing."""
    given = [abs(number) for number in numbers]
    while given and not math.isfinite(given[-1]):
        given.pop()
    if not given:
        return None, EMPTY
    if len(given) > 3 or not all(map(math.isfinite, given)):
        return None, NOT_DEGREES
    if any(number > 60 for number in given[1:]):  # 60 itself is 59.99 rounded
        return None, ABOVE_SIXTY
    if any(number % 1 and any(given[i + 1 :]) for i, number in enumerate(given)):
        return None, FRACTION
    return sum(number / 60**i for i, number in enumerate(given)), None


def _numbers(value: Any) -> list[float] | None:
    """Return the numbers of a tag, nan where a rational's denominator is 0; None where it is something else."""
    if isinstance(value, str | bytes):
        text = _text(value)
        if BETWEEN.fullmatch(NUMBER.sub("", text)) is None:
            return None
        return [_ratio(number) for number in NUMBER.findall(text)]
    try:
        return [float(number) for number in (value if isinstance(value, list | tuple) else [value])]
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def _ratio(text: str) -> float:
    above, _, below = text.partition("/")
    return float(above) / float(below or 1) if float(below or 1) else math.nan


def _text(value: Any) -> str:
    """Return the text of a tag, which may come as bytes and is often padded; empty where it is missing or no text."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return value.split("\0")[0].strip() if isinstance(value, str) else ""


def _local(text: str, subseconds: str) -> tuple[datetime | None, str | None]:
    """Read DateTimeOriginal, without a zone; blanks (with or without colons) are the standard's way to say unknown."""
    if not text.replace(":", "").strip():
        return None, None
    if re.fullmatch(r"[0:\s]+", text):
        return None, DATE_ZEROS
    if re.fullmatch(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d", text, re.ASCII) is None:
        return None, DATE_FORM
    try:
        whole = datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None, DATE_NONE
    digits = subseconds[:3].ljust(3, "0") if re.fullmatch(r"\d+", subseconds, re.ASCII) else "0"
    return whole + timedelta(milliseconds=int(digits)), None


def _zone(text: str) -> tuple[timezone | None, str | None]:
    if not text.replace(":", "").strip():
        return None, None
    if text == "Z":
        return UTC, None
    zone = re.fullmatch(r"([-+])(\d\d):([0-5]\d)", text, re.ASCII)
    if zone is None or int(zone[2]) > 14:
        return None, ZONE_FORM
    size = timedelta(hours=int(zone[2]), minutes=int(zone[3]))
    return timezone(-size if zone[1] == "-" else size), None


def _gps_time(tags: Mapping[int, Any]) -> tuple[datetime | None, str | None]:
    """Read GPSDateStamp and GPSTimeStamp, in whole milliseconds; nothing where either is missing."""
    date, clock = _text(tags.get(GPS_DATE)), tags.get(GPS_TIME)
    if not date or clock is None:
        return None, None
    numbers = _numbers(clock)
    if numbers is None or len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        return None, GPS_DATE_FORM
    hours, minutes, seconds = numbers
    if not (0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds < 60) or hours % 1 or minutes % 1:
        return None, GPS_DATE_FORM
    if re.fullmatch(r"\d{4}:\d\d:\d\d", date, re.ASCII) is None:
        return None, GPS_DATE_FORM
    try:
        day = datetime.strptime(date, "%Y:%m:%d").replace(tzinfo=UTC)
    except ValueError:
        return None, GPS_DATE_FORM
    return day + timedelta(hours=hours, minutes=minutes, milliseconds=math.floor(seconds * 1000 + 1e-6)), None


def _iso(moment: datetime) -> str:
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
