"""Where JPEG, PNG, WebP and TIFF files keep their EXIF: read by walking the file's blocks, no pixel is decoded.

Pillow looks for it while it opens the image, and for some formats that means decoding it, however large it claims to
be. Here a file costs a few reads, and a broken or huge picture still says where and when it was taken.
"""

import struct
from pathlib import Path
from typing import BinaryIO, Literal

from PIL.Image import Exif

Format = Literal["jpeg", "png", "webp", "tiff"]


def format_of(head: bytes) -> Format | None:
    """Return the format of a file by its first 12 bytes; None where it is none of the four."""
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "tiff"
    return None


def read_exif(file: Path) -> Exif | None:
    """Read the tags of an image file; None where there are none or the file is of another kind.

    Broken blocks raise whatever Pillow's and struct's readers raise, cut ones EOFError, files that cannot be read OSError.
    """
    with file.open("rb") as stream:
        kind = format_of(stream.read(12))
        if kind == "tiff":
            return _of_tiff(stream)
        block = None if kind is None else {"jpeg": _in_jpeg, "png": _in_png, "webp": _in_webp}[kind](stream)
    if block is None:
        return None
    exif = Exif()
    exif.load(block)
    return exif


def _of_tiff(stream: BinaryIO) -> Exif:
    """Read all tags of the first image of a TIFF or BigTIFF file, the pointed-to ones while it is open."""
    stream.seek(0)
    head = stream.read(16)
    order = "<" if head.startswith(b"II") else ">"
    exif = Exif()
    exif.endian = order
    exif.bigtiff = 43 in head[2:4]
    (offset,) = struct.unpack_from(order + "Q", head, 8) if exif.bigtiff else struct.unpack_from(order + "L", head, 4)
    exif.load_from_fp(stream, offset)
    for pointer in (0x8769, 0x8825):
        exif.get_ifd(pointer)
    return exif


def _in_jpeg(stream: BinaryIO) -> bytes | None:
    """Return the payload of the first APP1 segment that holds EXIF, before the image data begin."""
    stream.seek(2)
    while True:
        marker = stream.read(2)
        while marker == b"\xff\xff":  # fill bytes
            marker = marker[1:] + stream.read(1)
        if len(marker) < 2 or marker[0] != 0xFF or marker[1] in (0xD9, 0xDA):
            return None
        if marker[1] == 0x01 or 0xD0 <= marker[1] <= 0xD8:  # markers without a segment
            continue
        length = int.from_bytes(stream.read(2), "big") - 2
        if length < 0:
            return None
        if marker[1] == 0xE1:
            payload = _whole(stream, length)
            if payload.startswith(b"Exif\0"):
                return payload[6:]
        else:
            stream.seek(length, 1)


def _in_png(stream: BinaryIO) -> bytes | None:
    """Return the eXIf chunk, which may stand before or after the image data."""
    stream.seek(8)
    while len(head := stream.read(8)) == 8:
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"eXIf":
            return _whole(stream, length)
        if head[4:] == b"IEND":
            break
        stream.seek(length + 4, 1)  # and its checksum
    return None


def _in_webp(stream: BinaryIO) -> bytes | None:
    """Return the EXIF chunk, which stands after the image data."""
    stream.seek(12)
    while len(head := stream.read(8)) == 8:
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"EXIF":
            return _whole(stream, length)
        stream.seek(length + length % 2, 1)
    return None


def _whole(stream: BinaryIO, length: int) -> bytes:
    """Read a block of which nothing is missing: of half a block, a date without its zone would be believed."""
    block = stream.read(length)
    if len(block) < length:
        raise EOFError("the file ends inside its EXIF")
    return block
