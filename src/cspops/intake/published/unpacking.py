"""Archives from elsewhere, unpacked without trusting them.

An archive may name absolute paths, climb out with `..`, write through links, hold devices, or unfold into more bytes
than the disk has. Data sets need none of these: whatever is no plain file or folder, or lies outside, ends the unpacking.
"""

import bz2
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

from cspops.errors import DataError, EnvironmentProblem

BLOCK = 512
"""Bytes of a tar record; two of zeros end an archive."""
CHUNK = 1 << 20
LONGEST_HEADER = 1 << 22
"""Bytes; tarfile holds a header in memory, however long the archive says it is."""


Wanted = Callable[[PurePosixPath], PurePosixPath | None]
"""Where a path of the archive goes, below the new folder; None: nowhere."""


@dataclass(frozen=True)
class Limits:
    """What an archive may unfold into."""

    ratio: float = 200.0
    """Bytes for each byte of the archive. Deflate itself reaches 1032; JSON compresses about ten times."""
    floor: int = 100_000_000
    """Bytes that are fine whatever the ratio."""
    entries: int = 5_000_000
    spare: int = 500_000_000
    """Bytes of the disk that stay free."""


class _Entry(NamedTuple):
    name: str
    folder: bool
    trouble: str | None
    open: Callable[[], io.BufferedIOBase]


def unpack(
    archive: Path,
    into: Path,
    gives: Sequence[str],
    *,
    members: Sequence[str] = ("*",),
    whole: bool = False,
    limits: Limits | None = None,
    free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
) -> None:
    """Unpack the files or folders named ``gives`` out of a tar (plain, gzip, bzip2, xz) or zip archive, and nothing else.

    Each is written in a temporary folder beside its place and renamed when the whole archive has been read; one that
    is there already is kept as it is. In the archive they may lie below any folder.

    Args:
        into: the folder that gets them.
        members: patterns of the paths, from ``gives`` on, that are wanted; `*` matches across folders.
        whole: ``gives`` is one folder, which gets all that the archive holds.
        free: bytes free on the disk of a folder.

    Raises:
        DataError: hostile, broken or cut archive, or one that lacks what it should give.
        EnvironmentProblem: the disk is too small, or cannot be written.
    """
    limits = limits or Limits()
    new = into / f".{archive.name}.unpacking"
    try:
        into.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        try:
            wanted = partial(_in_folder, folder=gives[0]) if whole else partial(_from_one_of, gives=set(gives))
            _write(archive, new, wanted, members, limits, free)
            for name in gives:
                if not (new / name).exists():
                    raise DataError(f"{archive.name} does not hold {name}", hint=_hint(archive))
            for name in gives:
                if not (into / name).exists():
                    os.replace(new / name, into / name)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"{archive.name} cannot be unpacked in {into}: {error.strerror or error}",
            hint="free some space there, or set CSPOPS_DATA_ROOT to another folder",
        ) from None


def safe_path(name: str) -> PurePosixPath | None:
    """``name`` as a path below a folder, or None when it may lead out of it, on any system."""
    if not name or name.startswith("/") or re.match(r"[A-Za-z]:", name) or re.search(r"[\x00-\x1f\\]", name):
        return None
    path = PurePosixPath(name)
    return None if ".." in path.parts else path


def _write(
    archive: Path, new: Path, wanted: Wanted, members: Sequence[str], limits: Limits, free: Callable[[Path], int]
) -> None:
    most = max(limits.floor, limits.ratio * archive.stat().st_size)
    written, looked_at, room = 0, 0, free(new) - limits.spare
    with _entries(archive, most) as entries:
        for entry in entries:
            looked_at += 1
            if looked_at > limits.entries:
                raise _refused(archive, f"it holds more than {limits.entries} entries")
            path = safe_path(entry.name)
            if path is None:
                raise _refused(archive, f"the path {entry.name!r} leads out of the folder")
            if entry.trouble is not None:
                raise _refused(archive, f"{entry.name!r} is {entry.trouble}")
            path = wanted(path)
            if path is None or (not entry.folder and not any(fnmatchcase(path.as_posix(), pattern) for pattern in members)):
                continue
            if entry.folder:
                _make(archive, new / path)
                continue
            _make(archive, (new / path).parent)
            try:
                out = (new / path).open("xb")
            except (FileExistsError, IsADirectoryError):
                raise _refused(archive, f"it holds {entry.name!r} twice") from None
            with out, entry.open() as inside:
                while block := inside.read(CHUNK):
                    written += len(block)
                    if written > most:
                        raise _bomb(archive, most)
                    if written > room:
                        raise EnvironmentProblem(
                            f"{archive.name} unfolds into more than the {max(room, 0)} bytes that {new.parent} has to spare",
                            hint="free some space there, or set CSPOPS_DATA_ROOT to another folder",
                        )
                    out.write(block)


def _from_one_of(path: PurePosixPath, gives: set[str]) -> PurePosixPath | None:
    """The path from the first part that is one of ``gives`` on."""
    for place, part in enumerate(path.parts):
        if part in gives:
            return PurePosixPath(*path.parts[place:])
    return None


def _in_folder(path: PurePosixPath, folder: str) -> PurePosixPath:
    return path if path.parts[:1] == (folder,) else folder / path


def _make(archive: Path, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise _refused(archive, f"{folder.name!r} is a file and a folder at once") from None


def _refused(archive: Path, why: str) -> DataError:
    return DataError(f"{archive.name} is not unpacked: {why}", hint=_hint(archive))


def _bomb(archive: Path, most: float) -> DataError:
    return _refused(archive, f"it unfolds into more than {most:.0f} bytes, from {archive.stat().st_size}")


def _hint(archive: Path) -> str:
    return f"delete {archive}, then dvc repro download; or unpack it yourself if you trust it"


@contextmanager
def _entries(archive: Path, most: float) -> Iterator[Iterator[_Entry]]:
    """What the archive holds, in its order. DataError when it is broken, then or later."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                yield _of_zip(opened)
        else:
            with _Watched(archive, most) as stream, tarfile.open(fileobj=cast(IO[bytes], stream), mode="r:") as tar:
                yield _of_tar(archive, tar, stream)
    except (
        EOFError,
        zlib.error,
        lzma.LZMAError,
        tarfile.TarError,
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
    ) as error:
        why = " ".join(str(error).split())
        raise DataError(f"{archive.name} is cut or broken: {why}", hint=_hint(archive)) from None
    except OSError as error:
        if error.errno is not None:
            raise
        # gzip and bz2 say so of bytes that are no gzip or bzip2.
        raise DataError(f"{archive.name} is cut or broken: {error}", hint=_hint(archive)) from None


def _of_zip(opened: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in opened.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        trouble = "encrypted" if info.flag_bits & 1 else None
        if kind and not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
            trouble = "a link" if stat.S_ISLNK(kind) else "no plain file"
        yield _Entry(info.filename, info.is_dir(), trouble, lambda info=info: opened.open(info))  # type: ignore[misc,arg-type]


def _of_tar(archive: Path, tar: tarfile.TarFile, stream: "_Watched") -> Iterator[_Entry]:
    while (member := tar.next()) is not None:
        trouble = None
        if member.issym() or member.islnk():
            trouble = "a link"
        elif not (member.isreg() or member.isdir()) or member.issparse():
            trouble = "no plain file"
        yield _Entry(member.name, member.isdir(), trouble, lambda member=member: _inside(tar, member))  # type: ignore[misc]
        tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
    # tarfile takes a cut between two members, and a broken header, for the end.
    if stream.last != bytes(BLOCK):
        raise DataError(f"{archive.name} is cut or broken: it has no end mark", hint=_hint(archive))
    while stream.read(CHUNK):  # the checksum of the compressed bytes comes last
        pass


def _inside(tar: tarfile.TarFile, member: tarfile.TarInfo) -> io.BufferedIOBase:
    found = tar.extractfile(member)
    if found is None:
        raise tarfile.ReadError(f"{member.name} holds nothing")
    return cast(io.BufferedIOBase, found)


class _Watched:
    """The decompressed bytes for tarfile, which remembers the last ones it gave and ends a bomb."""

    def __init__(self, archive: Path, most: float) -> None:
        self.archive, self.most, self.last = archive, most, b""
        self.stream = _decompressed(archive)
        self.seek, self.tell = self.stream.seek, self.stream.tell

    def read(self, n: int = -1) -> bytes:
        if not 0 <= n <= LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {n} bytes")
        self.last = self.stream.read(n)
        if self.tell() > self.most:
            raise _bomb(self.archive, self.most)
        return self.last

    def __enter__(self) -> "_Watched":
        return self

    def __exit__(self, *of_error: object) -> None:
        self.stream.close()


def _decompressed(archive: Path) -> io.BufferedIOBase:
    with archive.open("rb") as opened:
        start = opened.read(6)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(archive)
    if start.startswith(b"BZh"):
        return bz2.open(archive)
    if start == b"\xfd7zXZ\x00":
        return lzma.open(archive)
    return archive.open("rb")
