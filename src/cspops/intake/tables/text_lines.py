"""The lines of a text file as they are met in practice: any byte order mark, any line end, two encodings in one file."""

import codecs
import gzip
import zlib
from collections.abc import Iterator
from io import BufferedIOBase, StringIO
from pathlib import Path
from typing import NamedTuple

from cspops.errors import DataError

BLOCK = 1 << 22
"""Bytes that are read at a time: some 50 000 short rows."""

LONGEST = 1 << 26
"""Bytes without a line end that are no text file."""

DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)
"""What reading a gzip file that is broken or cut off raises."""

MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


class Lines(NamedTuple):
    """Consecutive lines, each with its line end."""

    text: list[str]
    has_nul: bool
    last: bool
    """Whether the file ends here."""


def open_bytes(file: Path) -> BufferedIOBase:
    """Open a file's bytes, unpacked where it is gzip (by its first bytes)."""
    with file.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(file) if packed else file.open("rb")


def read_lines(file: Path, remarks: list[str]) -> Iterator[Lines]:
    r"""Yield all lines, `\n`, `\r\n` and `\r` ending one, in blocks.

    UTF-8, UTF-16 and UTF-32 by their byte order mark, UTF-16 also without; a line that is not UTF-8 is read as cp1252,
    and ``remarks`` says how many were. DataError when a gzip file is damaged or the bytes have no lines.
    """
    first_odd, odd, seen = 0, 0, 0
    rest = b""
    chunks = _utf8(file, remarks)
    chunk = next(chunks, b"")
    while True:
        following = next(chunks, None)
        data = rest + chunk
        cut = len(data) if following is None else _last_line_end(data)
        whole, rest = data[:cut], data[cut:]
        if len(rest) > LONGEST:
            raise DataError(f"{file.name}: line {seen + 1} is longer than {LONGEST >> 20} MiB: not a text table")
        try:
            text = list(StringIO(whole.decode(), newline=""))
        except UnicodeDecodeError:
            text = []
            for line in whole.splitlines(keepends=True):
                try:
                    text.append(line.decode())
                except UnicodeDecodeError:
                    text.append(line.decode("cp1252", errors="replace"))
                    odd += 1
                    first_odd = first_odd or seen + len(text)
        if text or following is None:
            yield Lines(text, b"\0" in whole, following is None)
        seen += len(text)
        if following is None:
            break
        chunk = following
    if odd:
        lines = f"{odd} lines are" if odd > 1 else "1 line is"
        remarks.append(f"{file.name}: {lines} not UTF-8 and read as cp1252, from line {first_odd} on")


def _utf8(file: Path, remarks: list[str]) -> Iterator[bytes]:
    """Yield the file in blocks, without byte order mark; UTF-16 and UTF-32 become UTF-8."""
    with open_bytes(file) as stream:
        try:
            chunk = stream.read(BLOCK)
            mark = next((mark for mark in MARKS if chunk.startswith(mark)), b"")
            encoding = MARKS.get(mark) or _bare_utf16(chunk)
            if encoding and not mark:
                remarks.append(f"{file.name}: read as {encoding}, although it has no byte order mark")
            chunk = chunk[len(mark) :]
            if encoding in (None, "utf-8"):
                while chunk:
                    yield chunk
                    chunk = stream.read(BLOCK)
                return
            decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
            while chunk:
                yield decoder.decode(chunk).encode()
                chunk = stream.read(BLOCK)
            yield decoder.decode(b"", final=True).encode()
        except DAMAGED as error:
            raise DataError(f"{file.name}: the gzip file is damaged or cut off: {error}", hint="fetch it again") from None


def _bare_utf16(head: bytes) -> str | None:
    """Recognise UTF-16 without a mark: every other byte of Latin text is zero. A few bytes tell nothing."""
    head = head[:1000]
    pairs = max(len(head) // 2, 8)
    high, low = head[1::2].count(0) / pairs, head[0::2].count(0) / pairs
    if high > 0.4 and low < 0.1:
        return "utf-16-le"
    return "utf-16-be" if low > 0.4 and high < 0.1 else None


def _last_line_end(data: bytes) -> int:
    """Return where the last whole line ends. A carriage return at the very end may be half a Windows line end."""
    return data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, len(data) - 1) + 1
