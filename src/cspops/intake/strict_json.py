"""Json as it is, although Python and pandas also write words that json has not."""

import re
from codecs import BOM_UTF8
from io import BufferedIOBase


class StrictJson:
    """A json file that reads with null in the place of NaN and Infinity, and without the mark of UTF-8 at its start."""

    TOKEN = re.compile(rb"(?<=[\[:,\s])-?(?:NaN|Infinity)(?=\s*[,\]}])")
    KEEP = 64
    """Bytes that are held back: more than a word with the blanks behind it has."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file, self._held = file, file.read(len(BOM_UTF8)).removeprefix(BOM_UTF8)

    def read(self, size: int = -1) -> bytes:
        """About ``size`` bytes; none only at the end."""
        if size == 0:
            return b""
        while True:
            chunk = self._file.read(size)
            whole = self.TOKEN.sub(b"null", self._held + chunk)
            if not chunk:
                self._held = b""
                return whole
            if len(whole) > self.KEEP:
                self._held = whole[-self.KEEP :]
                return whole[: -self.KEEP]
            self._held = whole
