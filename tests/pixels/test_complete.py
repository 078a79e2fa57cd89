"""Images that end early are told from whole ones, and what their metadata hold costs no pixel."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
from image_files import encoded
from PIL import Image
from pillow_heif import register_heif_opener

from cspops.pixels.bare import without_metadata
from cspops.pixels.complete import ADAM7
from cspops.pixels.reading import Reading
from cspops.pixels.rgb import open_rgb
from cspops.pixels.unreadable import ENDS_EARLY, REASONS, UnreadableImage

register_heif_opener()
SIDE = 64
BLURRED = np.asarray(Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)).resize((SIDE, SIDE)))


def pixels_of(data, reading=Reading()):  # noqa: B008  (frozen)
    return np.asarray(open_rgb(data, reading=reading))


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(rows, height=SIDE, *, depth=8, colour=2, width=SIDE, interlaced=False, more=b"", idat=None):
    """A PNG that claims ``height`` rows and holds those given, each with its filter byte, with all checksums right."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    data = zlib.compress(rows) if idat is None else idat
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + more + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def rows_of(values):
    return b"".join(b"\0" + row.tobytes() for row in values)


def interlaced(values):
    return b"".join(rows_of(np.ascontiguousarray(values[y::dy, x::dx])) for x, y, dx, dy in ADAM7)


GREY = BLURRED[..., 0] | 1
DEEP = np.repeat(GREY, 2, 1).view(">u2")


def shorter(data, kind):
    """With its end marker, and without a part of what comes before."""
    return data[: len(data) * 3 // 4] + (b"\xff\xd9" if kind == "JPEG" else b"")


def before_scan(jpeg, number):
    """Up to where a scan begins, or the tables that it needs."""
    starts = [match.start() for match in re.finditer(rb"\xff\xda", jpeg)]
    tables = jpeg.rfind(b"\xff\xc4", starts[number - 1], starts[number])
    return jpeg[: tables if tables > 0 else starts[number]]


PARTS = {
    "PNG, colour": png(rows_of(BLURRED[:10])),
    "PNG, all but one row": png(rows_of(BLURRED[:-1])),
    "PNG, half a row less": png(rows_of(BLURRED)[:-90]),
    "PNG, grey": png(rows_of(GREY[:10]), colour=0),
    "PNG, 16 bits": png(rows_of(DEEP[:10]), colour=0, depth=16),
    "PNG, 1 bit": png(b"\0\xff\xff\xff\xff\xff\xff\xff\xff" * 10, colour=0, depth=1),
    "PNG, interlaced": png(interlaced(BLURRED)[:-2000], interlaced=True),
    "PNG, interlaced, without its last pass": png(interlaced(BLURRED)[: -len(rows_of(BLURRED[1::2]))], interlaced=True),
    "PNG, no row": png(b""),
    "PNG, its stream cut": png(b"", idat=zlib.compress(rows_of(BLURRED))[:-300]),
    "PNG, cut inside a text behind its rows": png(rows_of(BLURRED))[:-12] + chunk(b"tEXt", b"C\0xyz")[:-9],
    "JPEG": encoded(BLURRED, "JPEG")[:900],
    "JPEG, its last 12 bytes": encoded(BLURRED, "JPEG")[:-12],
    "JPEG with an end marker": shorter(encoded(BLURRED, "JPEG"), "JPEG"),
    "JPEG, half with an end marker": encoded(BLURRED, "JPEG")[:900] + b"\xff\xd9",
    "JPEG, grey": shorter(encoded(GREY, "JPEG"), "JPEG"),
    "JPEG, CMYK": shorter(encoded(Image.fromarray(BLURRED).convert("CMYK"), "JPEG"), "JPEG"),
    "JPEG, progressive": shorter(encoded(BLURRED, "JPEG", progressive=True), "JPEG"),
    "JPEG, progressive, in its last scan": encoded(BLURRED, "JPEG", progressive=True)[:-12] + b"\xff\xd9",
    "JPEG, progressive, cut before a scan": before_scan(encoded(BLURRED, "JPEG", progressive=True), -1),
    "JPEG, progressive, cut before its first details": before_scan(encoded(BLURRED, "JPEG", progressive=True), 1),
    "JPEG, progressive, cut before a scan, with an end marker": before_scan(encoded(BLURRED, "JPEG", progressive=True), 3)
    + b"\xff\xd9",
    "JPEG, restart markers": shorter(encoded(BLURRED, "JPEG", restart_marker_rows=1), "JPEG"),
    "WebP": shorter(encoded(BLURRED, "WEBP"), "WEBP"),
    "WebP, cut inside its EXIF": encoded(BLURRED, "WEBP", exif=b"Exif\0\0 and so on")[:-4],
    "WebP, lossless": shorter(encoded(BLURRED, "WEBP", lossless=True), "WEBP"),
    "GIF": shorter(encoded(BLURRED, "GIF"), "GIF"),
    "GIF with its end": shorter(encoded(BLURRED, "GIF"), "GIF") + b"\0;",
    "BMP": shorter(encoded(BLURRED, "BMP"), "BMP"),
    "HEIC": shorter(encoded(BLURRED, "HEIF"), "HEIF"),
    "HEIC, a third": encoded(BLURRED, "HEIF")[:300],
    "AVIF": shorter(encoded(BLURRED, "AVIF"), "AVIF"),
    "AVIF, a fifth": encoded(BLURRED, "AVIF")[:200],
}


@pytest.mark.parametrize("name", PARTS)
def test_what_ends_early_is_never_taken_as_whole(name, capfd):
    with pytest.raises(UnreadableImage) as caught:
        pixels_of(PARTS[name])
    assert caught.value.reason == ENDS_EARLY
    assert capfd.readouterr() == ("", "")


def test_16_bits_of_colour_by_rasterio():
    """Where Pillow would cut bits off."""
    colour = np.repeat(DEEP[..., None], 3, -1)
    assert pixels_of(png(rows_of(colour), depth=16), Reading(white=60000.0)).shape == (SIDE, SIDE, 3)
    with pytest.raises(UnreadableImage, match=ENDS_EARLY):
        pixels_of(png(rows_of(colour[:20]), depth=16), Reading(white=60000.0))


BLACK_END, GREY_END = BLURRED.copy(), BLURRED.copy()
BLACK_END[-20:], GREY_END[-20:, -20:] = 0, 128
JPEG = encoded(BLURRED, "JPEG")
WHOLE = {
    "PNG, black at its end": (png(rows_of(BLACK_END)), BLACK_END),
    "PNG, interlaced": (png(interlaced(BLURRED), interlaced=True), BLURRED),
    "PNG, interlaced, black at its end": (png(interlaced(BLACK_END), interlaced=True), BLACK_END),
    "PNG, one interlaced pixel": (png(b"\0\1\2\3", 1, width=1, interlaced=True), np.array([[[1, 2, 3]]])),
    "PNG, more rows than it claims": (png(rows_of(np.vstack([BLACK_END, BLURRED]))), BLACK_END),
    "PNG, junk behind": (png(rows_of(BLACK_END)) + b"junk" * 100, BLACK_END),
    "PNG, its last chunk missing": (png(rows_of(BLACK_END))[:-12], BLACK_END),
    "PNG, cut inside its last chunk": (png(rows_of(BLACK_END))[:-5], BLACK_END),
    "BMP, junk behind": (encoded(BLURRED, "BMP") + b"junk" * 100, BLURRED),
    "lossless WebP, junk behind": (encoded(BLURRED, "WEBP", lossless=True) + b"junk" * 100, BLURRED),
    "JPEG, grey at its end": (encoded(GREY_END, "JPEG"), None),
    "JPEG, all grey": (encoded(np.full((SIDE, SIDE), 128, np.uint8), "JPEG"), None),
    "JPEG, progressive": (encoded(BLURRED, "JPEG", progressive=True), None),
    "JPEG, tables that hold the values of markers": (
        encoded(BLURRED, "JPEG", qtables=[[255, 0xC0, 255, 0xDA, 255, 0xD9, 255, 1] * 8]),
        None,
    ),
    "JPEG, junk behind": (JPEG + b"junk" * 100, JPEG),
    "JPEG, another behind": (JPEG + encoded(BLACK_END, "JPEG"), JPEG),
    "JPEG, junk before its end": (JPEG[:-2] + bytes(9) + JPEG[-2:], JPEG),
    "JPEG, only its end marker missing": (JPEG[:-2], JPEG),
    "JPEG, half its end marker missing": (JPEG[:-1], JPEG),
    "progressive JPEG, only its end marker missing": (encoded(BLURRED, "JPEG", progressive=True)[:-2], None),
    "GIF, its last byte missing": (encoded(GREY, "GIF")[:-1], np.stack([GREY] * 3, -1)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_whole_is_taken(name):
    data, expected = WHOLE[name]
    if isinstance(expected, bytes):
        expected = np.asarray(Image.open(io.BytesIO(expected)).convert("RGB"))
    made = pixels_of(data)
    assert expected is None or np.array_equal(made, expected)


def text(keyword, content):
    return chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(content))


def with_segments(*segments):
    return JPEG[:2] + b"".join(b"\xff" + code + struct.pack(">H", len(body) + 2) + body for code, body in segments) + JPEG[2:]


def with_exif_box(kind, exif):
    """A HEIC or AVIF whose EXIF is replaced by as many other bytes."""
    tags = Image.Exif()
    tags[271] = "a maker"
    good = tags.tobytes()[6:]
    data = encoded(BLURRED, kind, exif=tags)
    assert data.count(good) == 1
    return data.replace(good, exif * len(good)), data


WEBP = encoded(BLURRED, "WEBP", lossless=True, exif=b"Exif\0\0rubbish", xmp=b"<x/>", icc_profile=b"profile")
METADATA = {
    "WebP, all three": (WEBP, BLURRED),
    "WebP, EXIF that claims 4 GiB": (re.sub(rb"EXIF....", b"EXIF\xfe\xff\xff\xff", WEBP, flags=re.DOTALL), BLURRED),
    "PNG, a text above Pillow's limit": (png(rows_of(BLURRED), more=text(b"Comment", bytes(3 << 20))), BLURRED),
    "PNG, texts above Pillow's limit in all": (
        png(rows_of(BLURRED), more=b"".join(text(b"C%d" % n, bytes(1 << 20)) for n in range(70))),
        BLURRED,
    ),
    "PNG, an international text above the limit": (
        png(rows_of(BLURRED), more=chunk(b"iTXt", b"C\0\1\0\0\0" + zlib.compress(bytes(3 << 20)))),
        BLURRED,
    ),
    "PNG, a colour profile above the limit": (
        png(rows_of(BLURRED), more=chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(3 << 20)))),
        BLURRED,
    ),
    "PNG, a profile of another compression": (png(rows_of(BLURRED), more=chunk(b"iCCP", b"p\0\7rubbish")), BLURRED),
    "PNG, a text whose checksum is wrong": (png(rows_of(BLURRED), more=text(b"C", b"x")[:-1] + b"?"), BLURRED),
    "PNG, a short physical size": (png(rows_of(BLURRED), more=chunk(b"pHYs", b"\0\1")), BLURRED),
    "PNG, EXIF that is none": (png(rows_of(BLURRED), more=chunk(b"eXIf", b"rubbish")), BLURRED),
    "PNG, a raw profile that is none": (
        png(rows_of(BLURRED), more=text(b"Raw profile type exif", b"\nexif\n 9\nxyz")),
        BLURRED,
    ),
    "JPEG, EXIF that is none": (with_segments((b"\xe1", b"Exif\0\0rubbish")), JPEG),
    "JPEG, parts of a colour profile": (with_segments((b"\xe2", b"ICC_PROFILE\0\7\2rubbish")), JPEG),
    "JPEG, a broken index of further images": (with_segments((b"\xe2", b"MPF\0II*\0\xff\xff\xff\xff")), JPEG),
    "JPEG, a broken resource of Photoshop": (with_segments((b"\xed", b"Photoshop 3.0\x008BIM\x03\xed\0\0\xff")), JPEG),
    "JPEG, a comment": (with_segments((b"\xfe", bytes(60000))), JPEG),
    "AVIF, EXIF that is none": with_exif_box("AVIF", b"x"),
    "HEIC, EXIF that is none": with_exif_box("HEIF", b"x"),
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_cost_no_pixel(name):
    data, expected = METADATA[name]
    if isinstance(expected, bytes):
        expected = np.asarray(Image.open(io.BytesIO(expected)).convert("RGB"))
    assert np.array_equal(pixels_of(data), expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_without_metadata_decodes_to_the_same_values(mode):
    image = Image.fromarray(BLURRED).convert(mode)
    data = encoded(image, "JPEG", comment=b"?", dpi=(72, 72), icc_profile=bytes(300), exif=b"Exif\0\0II*\0\x08\0\0\0\0\0")
    bare = without_metadata(data, "jpeg")
    assert len(bare) < len(data) - 300
    assert np.array_equal(Image.open(io.BytesIO(bare)), Image.open(io.BytesIO(data)))


ASIDE = Image.Exif()
ASIDE[274] = 6
TURNED = {"exif": ASIDE.tobytes()}
FORMATS = {
    "JPEG": TURNED, "progressive JPEG": TURNED | {"progressive": True}, "PNG": TURNED, "WEBP": TURNED, "GIF": {}, "BMP": {},
    "TIFF": TURNED, "HEIF": TURNED, "AVIF": TURNED,
}  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
def test_any_part_of_a_file_gives_the_whole_image_or_a_reason(form):
    data = encoded(BLURRED, form.split()[-1], **FORMATS[form])
    whole = pixels_of(data)
    for stop in range(1, len(data), len(data) // 25):
        try:
            assert np.array_equal(pixels_of(data[:stop]), whole)
        except UnreadableImage as error:
            assert error.reason in REASONS


@pytest.mark.parametrize("form", FORMATS)
def test_bytes_at_fault_end_in_a_reason(form):
    data = np.frombuffer(encoded(BLURRED, form.split()[-1], **FORMATS[form]), np.uint8)
    generator = np.random.default_rng(0)
    for _ in range(25):
        bad = data.copy()
        bad[generator.integers(0, len(data), 5)] = generator.integers(0, 256, 5)
        try:
            assert pixels_of(bad.tobytes()).ndim == 3
        except UnreadableImage as error:
            assert error.reason in REASONS
