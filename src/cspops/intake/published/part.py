"""The beginning of a file that is being fetched: `NAME.part`, and in `NAME.part.json` where its bytes come from."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple


class Fetched(NamedTuple):
    """A file that has arrived."""

    size: int
    sha256: str
    url: str


@dataclass(frozen=True)
class Expected:
    """What a publisher says of the bytes of a file."""

    size: int | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    """Hexadecimal, by the algorithm's name (md5, sha256 ...); all are checked."""


class Part:
    """The bytes of a file that are there, and where they come from."""

    def __init__(self, target: Path, expected: Expected) -> None:
        self.target, self.checksums, self.size = target, expected.checksums, expected.size
        self.path = target.with_name(f"{target.name}.part")
        self.about = target.with_name(f"{target.name}.part.json")
        try:
            known = json.loads(self.about.read_text(encoding="utf-8"))
            self.url, self.validator = known["url"], known["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            self.url, self.validator = None, None
        self.file: BinaryIO = self.path.open("r+b" if self.path.exists() else "w+b")
        self.resumed = False
        self._read_again()

    def _read_again(self) -> None:
        self.length, self.hashes = 0, {name: hashlib.new(name, usedforsecurity=False) for name in {"sha256", *self.checksums}}
        self.file.seek(0)
        while block := self.file.read(1 << 20):
            self._count(block)

    def _count(self, block: bytes) -> None:
        for digest in self.hashes.values():
            digest.update(block)
        self.length += len(block)

    def may_go_on(self, url: str) -> bool:
        """Whether the bytes are the beginning of what ``url`` gives: same address and version, or to be checked at the end."""
        known = bool(self.checksums) or (self.url == url and self.validator is not None)
        return self.length > 0 and known and (self.size is None or self.length <= self.size)

    def from_zero(self, url: str | None = None, validator: str | None = None) -> None:
        """Drop what is there; what comes now is from ``url``."""
        self.file.seek(0)
        self.file.truncate()
        self._read_again()
        self.url, self.validator, self.resumed = url, validator, False
        self.about.write_text(json.dumps({"url": url, "validator": validator}) + "\n", encoding="utf-8")

    def write(self, block: bytes) -> None:
        self.file.write(block)
        self._count(block)

    def wrong(self) -> str | None:
        """What does not agree with what is published."""
        if self.size is not None and self.length != self.size:
            return f"{self.length} bytes, not {self.size}"
        for name, published in self.checksums.items():
            if self.hashes[name].hexdigest() != published:
                return f"{name} {self.hashes[name].hexdigest()}, not {published}"
        return None

    def finish(self, url: str) -> Fetched:
        self.file.close()
        os.replace(self.path, self.target)
        self.about.unlink(missing_ok=True)
        return Fetched(self.length, self.hashes["sha256"].hexdigest(), url)

    def discard(self) -> None:
        self.from_zero()

    def close(self) -> None:
        empty = self.length == 0
        self.file.close()
        if empty:
            self.path.unlink(missing_ok=True)
            self.about.unlink(missing_ok=True)
