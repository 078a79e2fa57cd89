"""What an image file says about itself, or Google Takeout beside it: where and when it was taken.

Runs once per file, if need be in worker processes: takes and gives what pickles, and imports nothing heavy.
"""

import math
import warnings
from pathlib import Path
from typing import NamedTuple

from PIL.Image import Exif

from cspops.errors import CspopsError
from cspops.intake.images import exif, georeference, takeout, xmp
from cspops.pixels.metadata_blocks import read_embedded
from cspops.pixels.quiet import quiet_stderr

BROKEN = "metadata of the image cannot be read"
FROM_XMP = "position from XMP, EXIF has none"
FROM_TAKEOUT = "position from the JSON of Google Takeout beside the photo"
DATE_FROM_TAKEOUT = "date from the JSON of Google Takeout beside the photo"

Position = tuple[float, float] | None


class Question(NamedTuple):
    """A file, and whether its position is wanted beside its date."""

    file: Path
    position: bool
    takeout: Path | None = None
    """Google Takeout's JSON about it."""


class Metadata(NamedTuple):
    """Where and when a photo was taken, as its file has it."""

    lonlat: Position
    """Degrees WGS84 as they stand there, not yet judged."""
    captured_at: str | None
    """ISO 8601 with a zone."""
    notes: tuple[str, ...]


def read_metadata(question: Question) -> Metadata:
    """Read a GeoTIFF's own georeference, else EXIF GPS, else XMP, else Takeout's JSON; and the date. No pixel is decoded.

    Files that are missing or broken only get a note: whether the image is any good is judged where it is decoded.
    """
    with warnings.catch_warnings(), quiet_stderr():
        warnings.simplefilter("ignore")  # Pillow's and rasterio's remarks about broken tags
        try:
            return _read(question)
        except CspopsError:
            raise
        except FileNotFoundError:
            return Metadata(None, None, ())
        except Exception:  # the readers of broken blocks raise errors of any kind
            return Metadata(None, None, (BROKEN,))


def _read(question: Question) -> Metadata:
    embedded = read_embedded(question.file)
    lonlat: Position = None
    moment: str | None = None
    notes: list[str] = [BROKEN] if embedded.broken else []
    dates: list[str] = []
    if question.position and any(map(georeference.is_geotiff, embedded.exif)):
        lonlat, more = georeference.centre(question.file)
        notes += more
    for tags in embedded.exif:
        photo, gps = _directories(tags, notes)
        if question.position and not _is_place(lonlat):
            found, more = exif.gps(gps)
            lonlat = found or lonlat
            notes += more
        if moment is None:
            moment, dates = exif.captured_at({**tags, **photo}, gps)
    if question.position and not _is_place(lonlat):
        found, more = _of_xmp(embedded.xmp)
        lonlat = found or lonlat
        notes += more
    about = takeout.read(question.takeout) if question.takeout else None
    if about is not None:
        if question.position and not _is_place(lonlat) and about.lonlat:
            lonlat, notes = about.lonlat, [*notes, FROM_TAKEOUT]
        if moment is None and about.captured_at:
            moment, dates = about.captured_at, [*dates, DATE_FROM_TAKEOUT]
    return Metadata(lonlat, moment, tuple(dict.fromkeys([*notes, *dates])))


def _directories(tags: Exif, notes: list[str]) -> tuple[dict[int, object], dict[int, object]]:
    """Return the tags about the photo and those about its place; a broken list of tags is empty, and noted."""
    found: list[dict[int, object]] = []
    for pointer in (0x8769, 0x8825):
        try:
            found.append(tags.get_ifd(pointer))
        except Exception:
            found.append({})
            notes.append(BROKEN)
    return found[0], found[1]


def _of_xmp(packets: list[bytes]) -> tuple[Position, list[str]]:
    """Return the first position that can be one, else why there is none."""
    reasons: list[str] = []
    for packet in packets:
        for lonlat, notes in xmp.gps(packet):
            if _is_place(lonlat):
                return lonlat, [*(note.replace("EXIF", "XMP") for note in notes), FROM_XMP]
            reasons += notes
    return None, [note.replace("EXIF", "XMP") for note in reasons]


def _is_place(lonlat: Position) -> bool:
    """Return whether a position can be one: cameras without a fix write (0, 0)."""
    if lonlat is None or not all(map(math.isfinite, lonlat)):
        return False
    lon, lat = lonlat
    return lonlat != (0, 0) and abs(lat) < 90 + 1e-9 and -180 - 1e-9 < lon < 360 + 1e-9
