"""Why a decoder failed, as one of the fixed sentences of `unreadable`, and images of formats that none is asked to decode."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from PIL import Image

from cspops.errors import EnvironmentProblem
from cspops.pixels.bare import END, segments
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

EARLY = ("runcated", "EOF", "nd of file", "nsufficient data")
"""What decoders say of a file that is cut."""
_PPM = re.compile(rb"P[1-7]\s")


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
        name = (kind or "ppm").upper()
        raise UnreadableImage(reason, detail or f"it begins as {name} does, and what follows is broken") from None


def _ends_early(content: bytes, kind: Format | None, tags: Mapping[int, Any]) -> bool:
    """Return whether a file that cannot be read lacks what its format ends with."""
    if kind == "tiff":
        for starts, lengths in ((STARTS, LENGTHS), (TILE_STARTS, TILE_LENGTHS)):
            parts = zip(_whole(tags.get(starts)), _whole(tags.get(lengths)), strict=False)
            if any(start + length > len(content) for start, length in parts):
                return True
    if kind == "jpeg":
        found = list(segments(content))
        return not found or found[-1][0] != END or found[-1][2] > len(content)
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
