"""The position in an XMP packet, as Lightroom, exiftool and drones write it (ISO 16684-1; Exif for XMP; drone-dji)."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate

from cspops.intake.images import exif

PLACES = (("GPSLatitude", "GPSLongitude"), ("GpsLatitude", "GpsLongitude"))
"""Names of latitude and longitude: of EXIF, and of DJI's drones."""
MISSPELLED = {"GpsLongtitude": "GpsLongitude"}
"""By older drones."""
_TEXT = re.compile(r"([-+]?\d+(?:\.\d+)?)(?:\s*,\s*(\d+(?:\.\d+)?))?(?:\s*,\s*(\d+(?:\.\d+)?))?\s*([NSEWnsew])?", re.ASCII)
"""Degrees, minutes and seconds, of which the last that is given has decimals, and the letter of the hemisphere."""


def gps(packet: bytes) -> Iterator[tuple[tuple[float, float] | None, list[str]]]:
    """Yield the position of each place that the packet may have one in, with notes as `exif.gps` has them."""
    found = _properties(packet)
    for wrong, right in MISSPELLED.items():
        if wrong in found:
            found.setdefault(right, found[wrong])
    for lat, lon in PLACES:
        if lat in found or lon in found:
            yield exif.gps(_tags(found, lat, lon))


def _tags(found: dict[str, str], lat: str, lon: str) -> dict[int, Any]:
    """Return what EXIF would have in its place."""
    tags: dict[int, Any] = {}
    for name, tag, ref, letters in (
        (lat, exif.LATITUDE, exif.LATITUDE_REF, "NS"),
        (lon, exif.LONGITUDE, exif.LONGITUDE_REF, "EW"),
    ):
        if name not in found:
            continue
        tags[tag] = found[name]
        text = _TEXT.fullmatch(found[name].strip())
        if text is None or (text[2] and not text[4]):  # 47,37 may be a decimal comma
            tags[tag] = "no angle"
            continue
        tags[tag] = [float(number) for number in text.groups()[:3] if number is not None]
        tags[ref] = text[4] or found.get(f"{name}Ref") or letters[text[1].startswith("-")]
    return tags | {exif.GPS_STATUS: found.get("GPSStatus"), exif.GPS_DATUM: found.get("GPSMapDatum")}


def _properties(packet: bytes) -> dict[str, str]:
    """Return the simple properties of a packet by their names without prefix, attributes and elements alike.

    Only those about the image itself: what stands deeper is about a place shown or an image used. Of a broken packet
    what stands before its fault.
    """
    found: dict[str, str] = {}
    path: list[str] = []
    text: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        path.append(name.rpartition(":")[2])
        text.clear()
        if path[-2:] == ["RDF", "Description"]:
            for key, value in attributes.items():
                found.setdefault(key.rpartition(":")[2], value)

    def end(name: str) -> None:
        if path[-3:-1] == ["RDF", "Description"]:
            found.setdefault(path[-1], "".join(text).strip())
        path.pop()
        text.clear()

    def no_entities(*_: object) -> None:
        raise ValueError("XMP declares entities")

    parser = ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = text.append
    parser.EntityDeclHandler = no_entities
    with suppress(ExpatError, ValueError):
        parser.Parse(packet.strip(b"\0 \r\n\t"), True)
    return found
