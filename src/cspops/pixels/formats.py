"""What a file is by its first bytes, whatever its name says: the formats that are read, and what the others are."""

from typing import Literal, NamedTuple

Format = Literal["jpeg", "png", "webp", "tiff", "heic", "avif", "gif", "bmp"]

HEAD = 256
"""First bytes of a file that are enough for every function here."""

READ = "JPEG, PNG, TIFF, WebP, HEIC, AVIF, GIF and BMP"

_STARTS: dict[bytes, Format] = {
    b"\xff\xd8\xff": "jpeg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
}
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
"""Sizes that the second header of a BMP may have: two letters are too few to tell one by."""


class Other(NamedTuple):
    """What the bytes of a file are that is not read."""

    image: bool
    """Whether it is an image all the same."""
    detail: str
    """What it is and what to do."""


_CONVERT = "convert it to JPEG or PNG"
RAW = Other(True, "a raw file of a camera: export it as JPEG or TIFF")
_OTHERS = {
    b"\0\0\0\x0cjP  \r\n": Other(True, f"JPEG 2000: {_CONVERT}"),
    b"\xff\x4f\xff\x51": Other(True, f"JPEG 2000: {_CONVERT}"),
    b"\0\0\0\x0cJXL \r\n": Other(True, f"JPEG XL: {_CONVERT}"),
    b"\xff\x0a": Other(True, f"JPEG XL: {_CONVERT}"),
    b"8BPS": Other(True, f"Photoshop: {_CONVERT}"),
    b"FUJIFILMCCD-RAW": RAW,
    b"IIU\0": RAW,
    b"IIRO": RAW,
    b"IIRS": RAW,
    b"MMOR": RAW,
    b"FOVb": RAW,
    b"%PDF": Other(False, "a PDF document: export its images as JPEG or PNG"),
    b"%!PS": Other(False, "PostScript: export it as PNG"),
    b"PK\x03\x04": Other(False, "a ZIP archive: unpack it"),
    b"PK\x05\x06": Other(False, "an empty ZIP archive"),
    b"\x1f\x8b": Other(False, "compressed by gzip: unpack it"),
    b"BZh": Other(False, "compressed by bzip2: unpack it"),
    b"\xfd7zXZ\0": Other(False, "compressed by xz: unpack it"),
    b"7z\xbc\xaf\x27\x1c": Other(False, "a 7z archive: unpack it"),
    b"Rar!": Other(False, "a RAR archive: unpack it"),
    b"\x89HDF\r\n": Other(False, "HDF5: export its images as TIFF or PNG"),
    b"\x93NUMPY": Other(False, "a NumPy array: save it as TIFF or PNG"),
    b"version https://git-lfs.github.com/": Other(False, "a Git LFS pointer in the place of the image: git lfs pull"),
    b"/annex/objects/": Other(False, "a git-annex pointer in the place of the image: git annex get"),
}
_PAGE = Other(False, "an HTML page, as servers send in the place of an image: download the image again")


def format_of(head: bytes) -> Format | None:
    """Return the format of a file by its first `HEAD` bytes; None where it is not one that is read."""
    if head[8:10] == b"CR" and head.startswith(b"II*\0"):  # a raw file of Canon, built like a TIFF
        return None
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    brands = _brands(head)
    if brands & {b"avif", b"avis"}:
        return "avif"
    if brands & _HEIC_BRANDS:
        return "heic"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    return None


def other_format(head: bytes) -> Other:
    """Return what a file is that `format_of` does not know, by its first `HEAD` bytes."""
    for start, other in _OTHERS.items():
        if head.startswith(start):
            return other
    if head.startswith(b"II*\0") or b"crx " in _brands(head):
        return RAW
    if _brands(head) or head[4:8] in (b"moov", b"mdat", b"wide"):
        return Other(False, "a video: save a frame of it as JPEG or PNG")
    if not head:
        return Other(False, "an empty file")
    if not head.strip(b"\0"):
        return Other(False, "its first bytes are all zero, as after a copy that broke off: copy it again")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return _PAGE
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return Other(True, "SVG, a drawing without pixels: export it as PNG")
    if text.startswith(b"<"):
        return _PAGE if b"<html" in text else Other(False, "XML, as servers send with an error: download the image again")
    shown = head[:24].decode("ascii", "replace")
    if shown.isprintable() and "\N{REPLACEMENT CHARACTER}" not in shown:
        return Other(False, f"text that begins with {shown!r}")
    return Other(False, f"bytes of no known image format, {head[:8].hex(' ')}")


def _brands(head: bytes) -> set[bytes]:
    """Return the brands of a file that is built of boxes, as HEIC, AVIF and MP4 are."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}
