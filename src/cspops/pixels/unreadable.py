"""Why an image cannot be used: few fixed sentences, so that they can be counted."""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from PIL import Image

from cspops.errors import EnvironmentProblem

PIXELS = 250 * 10**6
"""Room for the 200 million of a phone's camera."""
VALUES = 16 * 10**8
"""In all bands of a file."""
DECODED = 24 * 10**8
"""Bytes of the three bands, at most, that are decoded. Pillow keeps colour in 4 bytes per pixel, 1 GB for `PIXELS`, and
holds it up to three times while it is converted and turned: so one worker process stays below some 6 GB, with what GDAL
adds."""
SIDE = 10**7
"""Pillow keeps a pointer for each row, however short, and turning an image makes rows of its columns."""
BYTES = 2**30

Image.MAX_IMAGE_PIXELS = PIXELS
"""Pillow's own limit, which it applies before `refuse_bombs` can, is twice this; as it comes it is 179 million."""

NOT_THERE = "image file is not there"
NO_FILE = "image path is not a file"
NOT_OPENED = "image file cannot be opened"
EMPTY = "image file is empty"
LEADS_OUT = "image path leads out of its folder"
TOO_LONG = "image file is larger than 1 GiB"
NO_IMAGE = "not an image that can be read"
ENDS_EARLY = "image ends before it should"
TOO_LARGE = "image claims more than 250 million pixels, as much in many bands, or a side of more than 10 million"
NO_RANGE = (
    "image of 32 bits or fractions a value: dataset.folder.images.black and images.white (or dataset.table's) must be set"
)
NO_BANDS = "image of several bands: dataset.folder.images.bands (or dataset.table.images.bands) must say which become RGB"
TOO_FEW_BANDS = "image has fewer bands than images.bands asks for"
NO_VALUES = "image has no values between images.black and the largest of its kind"
KIND = "image of a kind that does not become RGB"
EMPTY_CROP = "crop holds no pixel of the image"
REASONS = (
    NOT_THERE, NO_FILE, NOT_OPENED, EMPTY, LEADS_OUT, TOO_LONG, NO_IMAGE, ENDS_EARLY, TOO_LARGE, NO_RANGE, NO_BANDS,
    TOO_FEW_BANDS, NO_VALUES, KIND, EMPTY_CROP,
)  # fmt: skip

ORIENTATION, EXTRA_SAMPLES = 274, 338
_STARTS, _LENGTHS, _TILE_STARTS, _TILE_LENGTHS = _PLACES = 273, 279, 324, 325
"""Tags of TIFF; those of places are tuples, even of one."""


class UnreadableImage(Exception):
    """An image that cannot be used: why, by a fixed sentence of `REASONS`, and what is particular to this one."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


def refuse_bombs(width: int, height: int, bands: int, *, size: int = 1) -> None:
    """Raise UnreadableImage for what would fill the memory, by the size in its head; values have ``size`` bytes."""
    pixels = width * height
    if pixels > PIXELS or max(width, height) > SIDE or pixels * bands > VALUES or pixels * min(bands, 3) * size > DECODED:
        raise UnreadableImage(TOO_LARGE, f"{width} x {height}" + (f" x {bands} bands" if bands > 4 else ""))


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
        detail = str(error).partition("\n")[0]
        if "/vsimem/" in detail or " at 0x" in detail:
            detail = ""  # it names a place in memory, another one each time
        early = "truncated" in detail.lower() or "EOF" in detail or _ends_early(content, tags)
        raise UnreadableImage(ENDS_EARLY if early else NO_IMAGE, detail) from None


def _ends_early(content: bytes, tags: Mapping[int, Any]) -> bool:
    """Return whether a file that cannot be read lacks what its format ends with."""
    for starts, lengths in ((_STARTS, _LENGTHS), (_TILE_STARTS, _TILE_LENGTHS)):
        parts = zip(_whole(tags.get(starts)), _whole(tags.get(lengths)), strict=False)
        if any(start + length > len(content) for start, length in parts):
            return True
    if content.startswith(b"\xff\xd8\xff"):
        return not content.rstrip(b"\0").endswith(b"\xff\xd9")
    if content.startswith(b"\x89PNG\r\n"):
        return b"IEND" not in content[-64:]
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return len(content) < 8 + int.from_bytes(content[4:8], "little")
    return False


def _whole(values: Any) -> list[int]:
    """Return the numbers of a tag, none of a broken one."""
    return [value for value in values if isinstance(value, int)] if isinstance(values, tuple) else []


def is_tiff(content: bytes) -> bool:
    """Return whether a file is a TIFF or BigTIFF, by its first bytes."""
    return content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def tiff_tags(content: bytes) -> Mapping[int, Any]:
    """Read the tags of a TIFF's first image; none of another file, or of one whose tags are broken."""
    if not is_tiff(content):
        return {}
    order: Literal["little", "big"] = "little" if content.startswith(b"II") else "big"
    tags = Image.Exif()
    tags.endian, tags.bigtiff = "<" if order == "little" else ">", 43 in content[2:4]
    try:
        with warnings.catch_warnings(action="ignore"):
            tags.load_from_fp(io.BytesIO(content), int.from_bytes(content[8:16] if tags.bigtiff else content[4:8], order))
            return {tag: (value,) if tag in _PLACES and isinstance(value, int) else value for tag, value in tags.items()}
    except Exception:  # as for every other decoder
        return {}


def bytes_and_paths(images: pa.StructArray) -> Iterator[tuple[bytes | None, str | None]]:
    """Yield bytes and path of `image` structs, one at a time; both None for a null struct."""
    for data, path in zip(*images.flatten(), strict=True):
        yield data.as_py(), path.as_py()


def read_file(file: Path) -> bytes:
    """Read the bytes of an image file; UnreadableImage when there is none, or it is too large to be an image."""
    size = file_size(file)
    if size > BYTES:
        raise UnreadableImage(TOO_LONG, f"{size} bytes")
    try:
        return file.read_bytes()
    except OSError as error:
        raise UnreadableImage(NOT_OPENED, error.strerror or str(error)) from None


def file_size(file: Path) -> int:
    """Return an image file's bytes; UnreadableImage when there is none, it is no file (a pipe would never end) or empty."""
    try:
        about = file.stat()
        regular = file.is_file()
    except (FileNotFoundError, NotADirectoryError):
        raise UnreadableImage(NOT_THERE, str(file)) from None
    except (OSError, ValueError) as error:
        raise UnreadableImage(NOT_OPENED, str(error)) from None
    if not regular:
        raise UnreadableImage(NO_FILE, str(file))
    if about.st_size == 0:
        raise UnreadableImage(EMPTY)
    return about.st_size


def below(root: Path, path: str) -> Path:
    """Return the file that an image path means; UnreadableImage when it leads out of ``root``.

    Absolute paths and `..` do, by their letters. Links are followed wherever they point: DVC and people with large disks
    lay data out with them, and what is unpacked from archives has none.
    """
    if path.startswith(("/", "\\")) or path[1:2] == ":" or ".." in path.replace("\\", "/").split("/") or "\0" in path:
        raise UnreadableImage(LEADS_OUT, path)
    return root / path
