"""Whether the pixels of an image that could be decoded were all there.

Decoders fill what is missing with one colour and say nothing. Where the last pixel has another, the data reached the end;
else a PNG is inflated and counted, and a JPEG decoded once more by GDAL, which passes on what libjpeg has to say.
"""

import zlib
from typing import Any

from cspops.pixels.bare import END, SCAN, chunks, segments
from cspops.pixels.formats import Format
from cspops.pixels.unreadable import ENDS_EARLY, UnreadableImage

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Column and row that each pass of an interlaced PNG starts at, and its steps."""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of PNG, by the type of colour."""
STEP = 2**20
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG that begin its image."""


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
    if kind == "png" and _cut_inside(content):
        raise UnreadableImage(ENDS_EARLY, "inside of what stands behind its rows")
    if kind == "jpeg":
        marker = bytes([0xFF, END])
        no_end = bare.endswith(marker) and not content.endswith(marker)  # it was put there
        parts = [(code, bare[start + 2 : end]) for code, start, end in segments(bare)]
        if not _has_all_scans(parts):
            raise UnreadableImage(ENDS_EARLY, "scans are missing")
        if _may_lack_blocks(parts, None if no_end else last) and "premature end" in _libjpeg_says(bare).lower():
            raise UnreadableImage(ENDS_EARLY, "libjpeg: premature end of its data")


def _cut_inside(content: bytes) -> bool:
    """Return whether a PNG ends inside a chunk: EXIF behind the rows may have said where up is. Its last may be missing."""
    name, start, end = list(chunks(content))[-1]
    return not b"IEND".startswith(name) and start + 12 + int.from_bytes(content[start : start + 4], "big") > end


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
    for name, start, end in chunks(content):
        data = content[start + 8 : end - 4] if name == b"IDAT" else b""
        while data and not inflate.eof and count < enough:
            try:
                count += len(inflate.decompress(data, STEP))
            except zlib.error:
                return count
            data = inflate.unconsumed_tail
    return count


def _has_all_scans(parts: list[tuple[int, bytes]]) -> bool:
    """Return whether each component of a JPEG came, of a progressive one with all bits of its 64 coefficients."""
    missing: set[tuple[int, int]] = set()
    progressive = False
    for code, body in parts:
        if code in FRAMES:
            missing = {(body[6 + 3 * n], k) for n in range(body[5]) for k in range(64)}
            progressive = code in PROGRESSIVE
        elif code == SCAN:
            first, last, bits = body[1 + 2 * body[0] :] if progressive else (0, 63, 0)
            if bits & 15 == 0:
                missing -= {(body[1 + 2 * n], k) for n in range(body[0]) for k in range(first, last + 1)}
    return not missing


def _may_lack_blocks(parts: list[tuple[int, bytes]], last: Any) -> bool:
    """Return whether the last pixel is the grey that libjpeg fills with, or says nothing: where it comes in several scans."""
    codes = [code for code, _ in parts]
    if last is None or codes.count(SCAN) > 1 or PROGRESSIVE & set(codes):
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
