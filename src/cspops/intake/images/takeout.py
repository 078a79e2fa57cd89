"""The JSON that Google Takeout lays beside each photo: what it is called, and where and when it says the photo was taken."""

import json
import math
import re
from collections.abc import Container
from datetime import UTC, datetime
from pathlib import Path
from posixpath import splitext
from typing import Any, NamedTuple

LONGEST = 46
"""Characters of a name before `.json`: what is longer is cut."""
MIDDLE = ".supplemental-metadata"
MOST = 2**20
"""Bytes of such a file at most."""
_NUMBERED = re.compile(r"(?P<stem>.*)(?P<number>\(\d+\))")


class About(NamedTuple):
    lonlat: tuple[float, float] | None
    captured_at: str | None
    """ISO 8601, UTC."""


def beside(image: str, names: Container[str]) -> str | None:
    """Return the name of the JSON about an image, out of those in its folder.

    `a.jpg` has `a.jpg.json` or, longer, `a.jpg.supplemental-metadata.json`, of whose name the end may be missing; the
    second image of that name, `a(1).jpg`, has its number behind: `a.jpg(1).json`. An edited copy, `a-edited.jpg`, has
    none of its own.
    """
    stem, suffix = splitext(image)
    plain = [image]
    if stem.endswith("-edited"):
        plain.append(stem.removesuffix("-edited") + suffix)
    elif match := re.fullmatch(r"(.*)-edited(\(\d+\))", stem):
        plain.append(f"{match[1]}{match[2]}{suffix}")
    for name in plain:
        number = _NUMBERED.fullmatch(splitext(name)[0])
        for base, behind in [(name, ""), *([(number["stem"] + suffix, number["number"])] if number else [])]:
            for length in range(len(MIDDLE), -1, -1):
                candidate = f"{(base + MIDDLE[:length])[:LONGEST]}{behind}.json"
                if candidate in names:
                    return candidate
    return None


class _Folder(Container[str]):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (self.folder / name).is_file()


def beside_file(image: Path) -> Path | None:
    """Return the JSON about an image file, without listing its folder."""
    name = beside(image.name, _Folder(image.parent))
    return image.parent / name if name else None


def read(file: Path) -> About | None:
    """Return what the file says; None where it is not Takeout's, or cannot be read."""
    try:
        if file.stat().st_size > MOST:
            return None
        about = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(about, dict) or not {"geoData", "geoDataExif", "photoTakenTime"} & set(about):
        return None
    return About(_lonlat(about.get("geoData")) or _lonlat(about.get("geoDataExif")), _moment(about.get("photoTakenTime")))


def _lonlat(place: Any) -> tuple[float, float] | None:
    """Return longitude and latitude; None for (0, 0), Takeout's way to say unknown."""
    if not isinstance(place, dict):
        return None
    try:
        lonlat = float(place["longitude"]), float(place["latitude"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return lonlat if lonlat != (0, 0) and all(map(math.isfinite, lonlat)) else None


def _moment(taken: Any) -> str | None:
    seconds = taken.get("timestamp") if isinstance(taken, dict) else None
    if not isinstance(seconds, str | int) or re.fullmatch(r"-?\d{1,12}", str(seconds), re.ASCII) is None:
        return None
    try:
        moment = datetime.fromtimestamp(int(seconds), UTC)
    except (OverflowError, OSError, ValueError):
        return None
    return moment.isoformat().removesuffix("+00:00") + "Z"
