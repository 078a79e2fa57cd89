"""The bytes of an image file that make its pixels, without metadata, which may be broken or more than a decoder allows."""

import re
from collections.abc import Iterator

from cspops.pixels.formats import Format

SCAN, END = 0xDA, 0xD9
"""Markers of JPEG."""
_MARKER = re.compile(rb"\xff[^\xff\0\1\xd0-\xd8]")
"""Of a segment, or the end; begun by one byte, as a pattern without that is ten times as slow."""
_KEPT = {0xE0, 0xEE}
"""Segments of applications that say how colours are coded: JFIF's and Adobe's."""
_WEBP_METADATA, _WEBP_FLAGS = (b"ICCP", b"EXIF", b"XMP "), 0x2C
"""Chunks, and the bits that say they are there."""


def without_metadata(content: bytes, kind: Format | None) -> bytes:
    """Return the bytes of a file without those that make no pixel; a JPEG gets the marker of its end where it lacks one."""
    if kind == "png":
        return content[:8] + b"".join(
            content[start:end] for name, start, end in chunks(content) if name[:1].isupper() or name == b"tRNS"
        )
    if kind == "jpeg":
        return _bare_jpeg(content)
    if kind == "webp":
        return _bare_webp(content)
    if kind == "avif":  # an entry without a meaning in place of that of EXIF
        end = content.find(b"mdat")
        return content[:end].replace(b"Exif", b"skip") + content[end:] if end >= 0 else content
    return content


def chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of the chunks of a PNG, the last of a file that is cut as long as it is."""
    at = 8
    while at < len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        name = content[at + 4 : at + 8]
        yield name, at, min(end, len(content))
        if name == b"IEND":
            return
        at = end


def segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of the segments of a JPEG to the end of its image, those between its scans too."""
    at = 2
    while marker := _MARKER.search(content, at):
        code, start = marker[0][1], marker.end()
        if code == END:
            yield code, start, start
            return
        at = start + max(2, int.from_bytes(content[start : start + 2], "big"))
        yield code, start, at


def _bare_jpeg(content: bytes) -> bytes:
    kept, first, code = [b"\xff\xd8"], len(content), 0
    for code, start, end in segments(content):
        if code in (SCAN, END):
            first = min(first, start - 2)
        elif start < first and (code in _KEPT or not (0xE0 <= code <= 0xEF or code == 0xFE)):
            kept.append(bytes([0xFF, code]) + content[start:end])
    return b"".join(kept) + content[first:] + (b"" if code == END else bytes([0xFF, END]))


def _bare_webp(content: bytes) -> bytes:
    """Return a WebP without metadata, and with a head that says so; as it is where it is cut."""
    end, at, kept = 8 + int.from_bytes(content[4:8], "little"), 12, [b"WEBP"]
    if end > len(content):
        return content
    while at + 8 <= end:
        name, length = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        after = at + 8 + length + length % 2
        if name == b"VP8X" and length:
            kept.append(content[at : at + 8] + bytes([content[at + 8] & ~_WEBP_FLAGS]) + content[at + 9 : after])
        elif name not in _WEBP_METADATA:
            kept.append(content[at : min(after, end)])
        at = after
    return b"RIFF" + sum(map(len, kept)).to_bytes(4, "little") + b"".join(kept)
