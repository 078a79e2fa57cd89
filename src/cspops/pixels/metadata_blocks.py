"""Where image files keep their EXIF and XMP: found by walking the file's blocks, no pixel is decoded.

Pillow looks for them while it opens the image, and for some formats that means decoding it, however large it claims to
be. Here a file costs a few reads, and a broken or huge picture still says where and when it was taken.
"""

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image

from cspops.pixels.formats import HEAD, Format, format_of

Stream = io.BufferedReader | io.BytesIO

MOST = 2**23
"""Bytes of a block that are looked at."""
TEXTS_READ = 4
"""Blocks in the texts of a PNG, at most."""
XMP_TAG = 700
ORIENTATION = 274

EXIF_HEAD = b"Exif\0"
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
TEXTS = (b"xml:com.adobe.xmp", b"raw profile type exif", b"raw profile type app1", b"raw profile type xmp")
"""Keywords of the texts of PNG, in lower case."""
_XMP_ORIENTATION = re.compile(rb"""tiff:Orientation(?:\s*=\s*["']|>)\s*([1-8])""")


class Block(NamedTuple):
    kind: Literal["exif", "xmp", "broken"]
    content: bytes
    """EXIF from its TIFF header on, or an XMP packet."""


BROKEN = Block("broken", b"")


class Embedded(NamedTuple):
    """The metadata of an image file, the more reliable place first."""

    exif: list[Image.Exif]
    xmp: list[bytes]
    broken: bool
    """Whether some of it could not be read."""


def read_embedded(file: Path) -> Embedded:
    """Read the metadata of an image file; none of another file. OSError where it cannot be read."""
    with file.open("rb") as stream:
        return embedded(stream)


def embedded(stream: Stream) -> Embedded:
    """Read the metadata of an image file that is open; what is broken costs nothing else."""
    kind = format_of(stream.read(HEAD))
    if kind == "tiff":
        return _of_tiff(stream)
    tags, packets, broken = [], [], False
    for block in _joined(_until_broken(stream, kind)):
        if block.kind == "xmp":
            packets.append(block.content)
        elif block.kind == "broken":
            broken = True
        else:
            try:
                exif = Image.Exif()
                exif.load(block.content)
                tags.append(exif)
            except Exception:  # the reader of a broken block raises errors of any kind
                broken = True
    return Embedded(tags, packets, broken)


def orientation_of(content: bytes) -> int:
    """Return the orientation (1 to 8) that EXIF, else XMP, gives; 1 where none does."""
    found = embedded(io.BytesIO(content))
    for exif in found.exif:
        orientation = exif.get(ORIENTATION)
        if isinstance(orientation, int) and 1 <= orientation <= 8:
            return orientation
    for packet in found.xmp:
        if given := _XMP_ORIENTATION.search(packet):
            return int(given[1])
    return 1


def _until_broken(stream: Stream, kind: Format | None) -> Iterator[Block]:
    """Yield the blocks of a file, and a broken one where the file ends inside of one or cannot be walked any more."""
    walks: dict[Format | None, Callable[[Stream], Iterator[Block]]] = {
        "jpeg": _in_jpeg, "png": _in_png, "webp": _in_webp, "heic": _in_boxes, "avif": _in_boxes,
    }  # fmt: skip
    if kind not in walks:
        return
    try:
        yield from walks[kind](stream)
    except OSError:
        raise
    except Exception:
        yield BROKEN


def _joined(found: Iterator[Block]) -> Iterator[Block]:
    """Yield the same with EXIF that goes on in further blocks, since a segment of JPEG holds 64 kB, in one."""
    begun: bytes | None = None
    for block in found:
        if block.kind != "exif":
            yield block
        elif begun is not None and not block.content.startswith((b"II", b"MM")):
            begun += block.content if len(begun) < MOST else b""
        else:
            if begun is not None:
                yield Block("exif", begun)
            begun = block.content
    if begun is not None:
        yield Block("exif", begun)


def _of_tiff(stream: Stream) -> Embedded:
    """Read all tags of the first image of a TIFF or BigTIFF file, the pointed-to ones while it is open."""
    stream.seek(0)
    head = stream.read(16)
    order = "<" if head.startswith(b"II") else ">"
    exif = Image.Exif()
    exif.endian = order
    exif.bigtiff = 43 in head[2:4]
    try:
        (offset,) = struct.unpack_from(order + "Q", head, 8) if exif.bigtiff else struct.unpack_from(order + "L", head, 4)
        exif.load_from_fp(stream, offset)
        for pointer in (0x8769, 0x8825):
            exif.get_ifd(pointer)
        packet = exif.get(XMP_TAG)
    except Exception:
        return Embedded([], [], True)
    return Embedded([exif], [bytes(packet)] if isinstance(packet, bytes | tuple) else [], False)


def _in_jpeg(stream: Stream) -> Iterator[Block]:
    """Walk the segments before the image data begin; between them may stand junk."""
    stream.seek(2)
    while (marker := _next_marker(stream)) not in (None, 0xD9, 0xDA):
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a segment
            continue
        length = int.from_bytes(stream.read(2), "big") - 2
        if length < 0:
            return
        if marker == 0xE1:
            yield from _payload(_whole(stream, length), head=True)
        else:
            stream.seek(length, 1)


def _next_marker(stream: Stream) -> int | None:
    while byte := stream.read(1):
        if byte == b"\xff":
            while byte == b"\xff":  # fill bytes
                byte = stream.read(1)
            if byte not in (b"", b"\0"):
                return byte[0]
    return None


def _in_png(stream: Stream) -> Iterator[Block]:
    """Walk the chunks, which may stand before or after the image data; EXIF has one of its own, and an older place in text."""
    stream.seek(8)
    older: list[Block] = []
    while len(head := stream.read(8)) == 8:
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"IEND":
            break
        if kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt") and length <= MOST:
            chunk = _whole(stream, length)
            stream.seek(4, 1)  # its checksum
            if kind == b"eXIf":
                yield from _payload(chunk)
            elif len(older) < TEXTS_READ:
                older += _text_chunk(kind, chunk)
        else:
            stream.seek(length + 4, 1)
    yield from older


def _text_chunk(kind: bytes, chunk: bytes) -> Iterator[Block]:
    keyword, _, text = chunk.partition(b"\0")
    name = keyword.lower()
    if name not in TEXTS:
        return
    packed = kind == b"zTXt"
    if packed:
        text = text[1:]
    elif kind == b"iTXt":
        packed = text[:1] == b"\1"
        text = text[2:].split(b"\0", 2)[-1]
    try:
        text = zlib.decompressobj().decompress(text, MOST) if packed else text
        if name == b"xml:com.adobe.xmp":
            yield Block("xmp", text)
            return
        # a line with the kind and one with the length, then hexadecimal digits in lines
        content = bytes.fromhex(text.strip().split(b"\n", 2)[2].decode("ascii"))
    except (zlib.error, ValueError, IndexError):
        yield BROKEN
        return
    yield from [Block("xmp", content)] if name.endswith(b"xmp") else _payload(content)


def _in_webp(stream: Stream) -> Iterator[Block]:
    """Walk the chunks, of which those of metadata stand after the image data."""
    stream.seek(12)
    while len(head := stream.read(8)) == 8:
        length = int.from_bytes(head[4:], "little")
        if head[:4] in (b"EXIF", b"XMP ") and length <= MOST:
            chunk = _whole(stream, length)
            yield from _payload(chunk) if head[:4] == b"EXIF" else [Block("xmp", chunk)]
        else:
            stream.seek(length, 1)
        if length % 2 and stream.read(1) not in (b"", b"\0"):  # the padding that some writers forget
            stream.seek(-1, 1)


def _in_boxes(stream: Stream) -> Iterator[Block]:
    """Ask the libraries of HEIC and AVIF, which find the metadata without decoding."""
    stream.seek(0)
    with open_boxes(stream) as image:
        found = image.info
    yield from _payload(found.get("exif") or b"")
    if found.get("xmp"):
        yield Block("xmp", found["xmp"])


def open_boxes(stream: Stream) -> Image.Image:
    """Open a HEIC or AVIF by Pillow."""
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return Image.open(stream, formats=("HEIF", "AVIF"))


def _payload(content: bytes, *, head: bool = False) -> Iterator[Block]:
    """Tell EXIF from XMP by how the block begins; without one of their heads, where it may lack one, EXIF is meant."""
    if content.startswith(XMP_HEAD):
        yield Block("xmp", content[len(XMP_HEAD) :])
    elif content.startswith(EXIF_HEAD):
        yield Block("exif", content[6:])
    elif content and not head:
        yield Block("exif", content)


def _whole(stream: Stream, length: int) -> bytes:
    """Read a block of which nothing is missing: of half a block, a date without its zone would be believed."""
    block = stream.read(length)
    if len(block) < length:
        raise EOFError("the file ends inside its metadata")
    return block
