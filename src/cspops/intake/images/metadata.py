"""What an image file says about itself: where and when it was taken.

Runs once per file, if need be in worker processes: takes and gives what pickles, and imports nothing heavy.
"""

import warnings
from pathlib import Path
from typing import NamedTuple

from cspops.errors import CspopsError
from cspops.intake.images import exif, georeference
from cspops.intake.images.exif_blocks import read_exif

BROKEN = "metadata of the image cannot be read"


class Question(NamedTuple):
    """A file, and whether its position is wanted beside its date."""

    file: Path
    position: bool


class Metadata(NamedTuple):
    """Where and when a photo was taken, as its file has it."""

    lonlat: tuple[float, float] | None
    """Degrees WGS84 as they stand there, not yet judged."""
    captured_at: str | None
    """ISO 8601 with a zone."""
    notes: tuple[str, ...]


def read_metadata(question: Question) -> Metadata:
    """Read a GeoTIFF's own georeference, else EXIF GPS, and the date of EXIF. No pixel is decoded.

    Files that are missing or broken only get a note: whether the image is any good is judged where it is decoded.
    """
    file, wanted = question
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's and rasterio's remarks about broken tags
        try:
            return _read(file, wanted)
        except CspopsError:
            raise
        except FileNotFoundError:
            return Metadata(None, None, ())
        except Exception:  # the readers of broken blocks raise errors of any kind
            return Metadata(None, None, (BROKEN,))


def _read(file: Path, wanted: bool) -> Metadata:
    tags = read_exif(file)
    if tags is None:
        return Metadata(None, None, ())
    photo, gps = tags.get_ifd(0x8769), tags.get_ifd(0x8825)
    lonlat: tuple[float, float] | None = None
    notes: list[str] = []
    if wanted and georeference.is_geotiff(tags):
        lonlat, notes = georeference.centre(file)
    if wanted and lonlat is None:
        lonlat, more = exif.gps(gps)
        notes += more
    moment, more = exif.captured_at({**tags, **photo}, gps)
    return Metadata(lonlat, moment, (*notes, *more))
