"""Whether an image's pixels are all there, what is wrong where they are not, and its bytes without other content.

Decoders fill what is missing with one colour and say nothing. Where the last pixel has another, the data reached the end;
else a PNG is inflated and counted, and a JPEG decoded once more by GDAL, which passes on what libjpeg has to say.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from PIL import Image

from cspops.errors import EnvironmentProblem
from cspops.pixels.formats import HEAD, RAW, Format, format_of, other_format
from cspops.pixels.unreadable import (
    DNG,
    ENDS_EARLY,
    FURTHER,
    LENGTHS,
    NO_IMAGE,
    OTHER_FORMAT,
    REDUCED,
    STARTS,
    TILE_LENGTHS,
    TILE_STARTS,
    TOO_LARGE,
    UnreadableImage,
)

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Column and row that each pass of an interlaced PNG starts at, and its steps."""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of PNG, by the type of colour."""
STEP = 2**20
EARLY = ("runcated", "EOF", "nd of file", "nsufficient data")
"""What decoders say of a file that is cut."""

_MARKER = re.compile(rb"\xff+([^\xff\0])")
_SCAN, _END = 0xDA, b"\xff\xd9"
_KEPT = {0xE0, 0xEE}
"""Segments of applications that say how colours are coded: JFIF's and Adobe's."""
_WEBP_FLAGS = 0x2C
"""Of a WebP that has a colour profile, EXIF or XMP."""
_PPM = re.compile(rb"P[1-7]\s")
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}


def without_metadata(content: bytes, kind: Format | None) -> bytes:
    """Return the bytes that make the pixels: text, EXIF and profiles may be broken, or larger than a decoder allows."""
    if kind == "png":
        return content[:8] + b"".join(
            content[start:end] for name, start, end in _chunks(content) if name[:1].isupper() or name == b"tRNS"
        )
    if kind == "jpeg":
        return _bare_jpeg(content)
    if kind == "webp":
        return _bare_webp(content)
    if kind == "avif":  # an entry without a meaning in place of that of EXIF
        end = content.find(b"mdat")
        return content[:end].replace(b"Exif", b"skip") + content[end:] if end >= 0 else content
    return content


def refuse_part(content: bytes, bare: bytes, kind: Format | None, last: Any = None) -> None:
    """Raise UnreadableImage where a PNG or JPEG ends early, though it could be decoded.

    Of a JPEG that lacks less than its last block, and has its end marker, nothing is noticed.

    Args:
        content: the file's bytes.
        bare: those without metadata.
        kind: its format.
        last: value of the last pixel as it was decoded, None where it is not known.
    """
    if kind == "png" and _may_lack_rows(bare, last):
        claimed = _claimed(bare)
        there = _inflated(bare, claimed)
        if there < claimed:
            raise UnreadableImage(ENDS_EARLY, f"{there:,} of {claimed:,} bytes of its rows")
    no_end = bare.endswith(_END) and not content.endswith(_END)  # it was put there
    if kind == "jpeg" and _may_lack_blocks(bare, None if no_end else last) and "premature end" in _libjpeg_says(bare).lower():
        raise UnreadableImage(ENDS_EARLY, "libjpeg: premature end of its data")


def refuse_other_format(content: bytes, tags: Mapping[int, Any]) -> None:
    """Raise UnreadableImage for an image that is not read, raw files that begin as a TIFF with a thumbnail among them."""
    if DNG in tags or (FURTHER in tags and tags.get(REDUCED) == 1):
        raise UnreadableImage(OTHER_FORMAT, RAW.detail)
    if format_of(content[:HEAD]) is None and (other := other_format(content[:HEAD])).image:
        raise UnreadableImage(OTHER_FORMAT, other.detail)


@contextmanager
def reasons(content: bytes, tags: Mapping[int, Any]) -> Iterator[None]:
    """Turn whatever malformed bytes lead a decoder to raise into a reason."""
    try:
        yield
    except (UnreadableImage, EnvironmentProblem, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise UnreadableImage(TOO_LARGE) from None
    except Exception as error:
        kind, detail = format_of(content[:HEAD]), str(error).partition("\n")[0]
        if any(word in detail for word in EARLY) or _ends_early(content, kind, tags):
            reason = ENDS_EARLY
        else:
            reason = NO_IMAGE
            if kind is None and _PPM.match(content) is None:
                detail = other_format(content[:HEAD]).detail
        if "/vsimem/" in detail or " at 0x" in detail:
            detail = ""  # it names a place in memory, another one each time
        raise UnreadableImage(reason, detail or f"it begins as a file of {kind or 'ppm'}, and what follows is broken") from None


def _ends_early(content: bytes, kind: Format | None, tags: Mapping[int, Any]) -> bool:
    """Return whether a file that cannot be read lacks what its format ends with."""
    if kind == "tiff":
        for starts, lengths in ((STARTS, LENGTHS), (TILE_STARTS, TILE_LENGTHS)):
            parts = zip(_whole(tags.get(starts)), _whole(tags.get(lengths)), strict=False)
            if any(start + length > len(content) for start, length in parts):
                return True
    if kind == "jpeg":
        last = 2
        for marker in _MARKER.finditer(content):
            last = last if 0xD0 <= marker[1][0] <= 0xD9 else marker.end()
        return _END not in content or last + int.from_bytes(content[last : last + 2], "big") > len(content)
    if kind == "png":
        return b"IEND" not in content[-64:]
    if kind == "webp":
        return len(content) < 8 + int.from_bytes(content[4:8], "little")
    return kind in ("heic", "avif") and _boxes_end(content) > len(content)


def _whole(values: Any) -> list[int]:
    """Return the numbers of a tag, none of a broken one."""
    return [value for value in values if isinstance(value, int)] if isinstance(values, tuple) else []


def _boxes_end(content: bytes) -> int:
    """Return where the last box of a HEIC or AVIF that begins in the file ends, by its own length."""
    at = 0
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if length == 1:
            length = int.from_bytes(content[at + 8 : at + 16], "big")
        if length < 8:  # 0: to the end of the file
            break
        at += length
    return at


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of the chunks of a PNG, the last of a file that is cut as long as it is."""
    at = 8
    while at < len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        name = content[at + 4 : at + 8]
        yield name, at, min(end, len(content))
        if name == b"IEND":
            return
        at = end


def _may_lack_rows(content: bytes, last: Any) -> bool:
    """Return whether the last pixel is black, as Pillow fills, or says nothing: an interlaced PNG comes in passes."""
    return content[28:29] != b"\0" or last is None or not any(last if isinstance(last, tuple) else (last,))


def _claimed(content: bytes) -> int:
    """Return the bytes of all rows of a PNG, each with the one of its filter."""
    width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    bits = content[24] * CHANNELS.get(content[25], 1)
    passes = ADAM7 if content[28] else ((0, 0, 1, 1),)
    sizes = ((-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes)
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)


def _inflated(content: bytes, enough: int) -> int:
    """Return how many bytes the image data of a PNG hold, counted up to ``enough``; they are not kept."""
    inflate, count = zlib.decompressobj(), 0
    for name, start, end in _chunks(content):
        data = content[start + 8 : end - 4] if name == b"IDAT" else b""
        while data and not inflate.eof and count < enough:
            try:
                count += len(inflate.decompress(data, STEP))
            except zlib.error:
                return count
            data = inflate.unconsumed_tail
    return count


def _bare_jpeg(content: bytes) -> bytes:
    """Return a JPEG without comments and segments of applications, and with the marker of its end, which some lack."""
    kept, at = [b"\xff\xd8"], 2
    while marker := _MARKER.search(content, at):
        code, at = marker[1][0], marker.end()
        if code == _SCAN or marker[0].endswith(_END):
            kept.append(content[marker.end() - 2 :])
            break
        if code == 0x01 or 0xD0 <= code <= 0xD8:  # markers without a segment
            continue
        start, at = at, at + max(2, int.from_bytes(content[at : at + 2], "big"))
        if code in _KEPT or not (0xE0 <= code <= 0xEF or code == 0xFE):
            kept.append(marker[0][-2:] + content[start:at])
    if _END not in kept[-1]:
        kept.append(_END)
    return b"".join(kept)


def _bare_webp(content: bytes) -> bytes:
    """Return a WebP without metadata, and with a head that says so."""
    end, at, size, kept = min(len(content), 8 + int.from_bytes(content[4:8], "little")), 12, 4, [b"WEBP"]
    while at + 8 <= end:
        name, length = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        after = at + 8 + length + length % 2
        if name == b"VP8X" and length:
            kept.append(content[at : at + 8] + bytes([content[at + 8] & ~_WEBP_FLAGS]) + content[at + 9 : after])
        elif name not in (b"ICCP", b"EXIF", b"XMP "):
            kept.append(content[at : min(after, end)])
        size += after - at if name not in (b"ICCP", b"EXIF", b"XMP ") else 0
        at = after
    return b"RIFF" + size.to_bytes(4, "little") + b"".join(kept)


def _may_lack_blocks(content: bytes, last: Any) -> bool:
    """Return whether the last pixel is the grey that libjpeg fills with, or says nothing: where it comes in several scans."""
    scans = 0
    for marker in _MARKER.finditer(content):
        scans += marker[1][0] == _SCAN
        if last is None or scans > 1 or marker[1][0] in _PROGRESSIVE:
            return True
    return all(126 <= value <= 130 for value in (last if isinstance(last, tuple) else (last,)))


def _libjpeg_says(content: bytes) -> str:
    """Return what libjpeg complains of, empty where of nothing. An eighth of the size costs the least."""
    import rasterio
    from rasterio.io import MemoryFile

    try:
        with (
            rasterio.Env(GDAL_ERROR_ON_LIBJPEG_WARNING="YES", GDAL_PAM_ENABLED="NO"),
            MemoryFile(content) as memory,
            memory.open(driver=["JPEG"]) as opened,
        ):
            opened.read(out_shape=(opened.count, -(-opened.height // 8), -(-opened.width // 8)))
    except rasterio.errors.RasterioError as error:
        return f"{error} {error.__cause__}"
    return ""
