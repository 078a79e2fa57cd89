"""What a file is by its first bytes."""

import pytest
from image_files import encoded
from PIL import Image
from pillow_heif import register_heif_opener

from cspops.pixels.formats import HEAD, format_of, other_format

register_heif_opener()


@pytest.mark.parametrize(
    ("kind", "name"),
    [("JPEG", "jpeg"), ("MPO", "jpeg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tiff"), ("HEIF", "heic"), ("AVIF", "avif"),
     ("GIF", "gif"), ("BMP", "bmp")],
)  # fmt: skip
def test_what_pillow_writes(kind, name):
    assert format_of(encoded(Image.new("RGB", (20, 10)), kind)[:HEAD]) == name


def boxes(*brands):
    """The first box of a file: its length, the major brand, a version, the compatible brands."""
    return (16 + 4 * (len(brands) - 1)).to_bytes(4, "big") + b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"II+\0\x08\0\0\0", "tiff"),
        (b"MM\0+", "tiff"),
        (boxes(b"heic", b"mif1"), "heic"),
        (boxes(b"mif1", b"heic"), "heic"),
        (boxes(b"heix"), "heic"),
        (boxes(b"msf1", b"hevc"), "heic"),
        (boxes(b"mif1", b"miaf", b"avif"), "avif"),
        (boxes(b"avis"), "avif"),
        (boxes(b"isom", b"mp41") + b"....ftypheic", None),
        (b"BMW is a make of cars, and this is text", None),
        (b"RIFF....AVI ", None),
        (b"II*\0\x10\0\0\0CR\2\0", None),
        (b"", None),
    ],
)
def test_heads(head, name):
    assert format_of(head) == name


OTHERS = {
    b"\0\0\0\x0cjP  \r\n\x87\n": (True, "JPEG 2000"),
    b"\xff\x4f\xff\x51\0": (True, "JPEG 2000"),
    b"\0\0\0\x0cJXL \r\n\x87\n": (True, "JPEG XL"),
    b"\xff\x0a\xfa": (True, "JPEG XL"),
    b"8BPS\0\1": (True, "Photoshop"),
    b"II*\0\x10\0\0\0CR\2\0": (True, "raw file"),
    boxes(b"crx ", b"isom"): (True, "raw file"),
    b"FUJIFILMCCD-RAW 0201": (True, "raw file"),
    b"IIRO\x08\0": (True, "raw file"),
    b"IIU\0": (True, "raw file"),
    b'<?xml version="1.0"?><svg>': (True, "SVG"),
    b"%PDF-1.7": (False, "PDF"),
    b"%!PS-Adobe": (False, "PostScript"),
    b"PK\x03\x04\x14": (False, "ZIP"),
    b"\x1f\x8b\x08": (False, "gzip"),
    b"Rar!\x1a": (False, "RAR"),
    b"version https://git-lfs.github.com/spec/v1\noid": (False, "git lfs pull"),
    b"/annex/objects/SHA256E-s1": (False, "git annex get"),
    b"<!DOCTYPE HTML>": (False, "HTML page"),
    b"\xef\xbb\xbf\r\n <html lang=en>": (False, "HTML page"),
    b'<?xml version="1.0"?><!DOCTYPE html><html>': (False, "HTML page"),
    b'<?xml version="1.0"?><Error><Code>AccessDenied': (False, "download"),
    boxes(b"isom", b"mp42"): (False, "video"),
    b"\0\0\0\x08wide": (False, "video"),
    b"{'status': 404}": (False, "text that begins with"),
    bytes(64): (False, "all zero"),
    b"": (False, "empty"),
    b"\xde\xad\xbe\xef\0\0\0\0\1": (False, "de ad be ef"),
    b"\x1b]0;x\x07 text": (False, "1b 5d 30"),
}


@pytest.mark.parametrize("head", OTHERS)
def test_what_else_the_bytes_are(head):
    image, says = OTHERS[head]
    other = other_format(head)
    assert format_of(head) is None
    assert (other.image, says in other.detail, other.detail.isprintable()) == (image, True, True)
