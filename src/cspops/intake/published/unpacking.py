"""Archives from elsewhere, unpacked below one folder and no further; `tarfile` and `zipfile` see to most of it."""

import bz2
import errno
import gzip
import io
import lzma
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from cspops.errors import CspopsError, DataError, written_into
from cspops.files import DISK

RATIO = 200
"""Bytes for each byte of the archive. Deflate itself reaches 1032; JSON compresses about ten times."""
ALWAYS = 100_000_000
"""Bytes that are fine whatever the ratio."""
MOST_MEMBERS = 5_000_000
LONGEST_HEADER = 1 << 20
"""Bytes of a name or of other words about a member of a tar, which `tarfile` reads into memory at once."""
OF_THE_DISK = {*DISK, errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
"""All other errors of the system are about names that no archive of ours holds."""
COMPRESSED: dict[bytes, Callable[[Path, str], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


class _Member(NamedTuple):
    name: str
    size: int
    plain: bool
    """A file; else a link or a device. Folders come with their files."""
    extract: Callable[[str], object]
    """Writes it under another path, below the new folder."""


def unpack(archive: Path, into: Path, gives: Sequence[str], *, members: Sequence[str] = ("*",), whole: bool = False) -> None:
    """Unpack the files or folders named ``gives`` out of a tar (plain, gzip, bzip2, xz) or zip archive, and nothing else.

    Each is written in a temporary folder beside its place and renamed when the whole archive has been read; one that
    is there already is kept as it is. In the archive they may lie below any folder.

    Args:
        into: the folder that gets them.
        members: patterns of the paths, from ``gives`` on, that are wanted; `*` matches across folders.
        whole: ``gives`` is one folder, which gets all that the archive holds.

    Raises:
        DataError: hostile, broken or cut archive, or one that lacks what it should give.
        EnvironmentProblem: the disk is too small, or cannot be written.
    """
    new = into / f".{archive.name}.unpacking"
    with written_into(into):
        into.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        try:
            _write(archive, new, gives, members, whole)
            for name in gives:
                if not (new / name).exists():
                    raise _refused(archive, f"it does not hold {name}")
            if hasattr(os, "sync"):
                os.sync()  # once for all files: of an archive they may be a million
            for name in gives:
                if not (into / name).exists():
                    os.replace(new / name, into / name)
        except CspopsError:
            raise
        except Exception as error:  # `tarfile` and `zipfile` may raise anything at headers that nobody has written on purpose
            if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
                raise _refused(archive, "it holds a file and a folder at once") from None
            if isinstance(error, OSError) and error.errno in OF_THE_DISK:
                raise
            reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
            raise _refused(archive, f"it is cut or broken ({reason or type(error).__name__})") from None
        finally:
            shutil.rmtree(new, ignore_errors=True)


def leads_out(path: PurePosixPath) -> bool:
    """Whether a path, put below a folder, may lie outside of it, on any system."""
    windows = PureWindowsPath(path)
    return path.is_absolute() or bool(windows.anchor) or ".." in windows.parts


def _write(archive: Path, new: Path, gives: Sequence[str], members: Sequence[str], whole: bool) -> None:
    most, size = max(ALWAYS, RATIO * archive.stat().st_size), 0
    for count, member in enumerate(_of_zip(archive, new) if zipfile.is_zipfile(archive) else _of_tar(archive, new)):
        if member.size < 0 or not member.name or "\0" in member.name:
            raise _refused(archive, f"it holds {member.name!r} of {member.size} bytes")
        size += member.size
        if size > most or count >= MOST_MEMBERS:
            raise _refused(archive, f"it unfolds into more than {most} bytes or {MOST_MEMBERS} members")
        path = PurePosixPath(member.name)
        if leads_out(path):
            raise _refused(archive, f"the path {member.name!r} leads out of the folder")
        if whole:
            path = path if path.parts[:1] == (gives[0],) else gives[0] / path
        else:  # from the first part that is one of those on
            first = next((place for place, part in enumerate(path.parts) if part in gives), len(path.parts))
            path = PurePosixPath(*path.parts[first:])
        if any(fnmatchcase(path.as_posix(), pattern) for pattern in members) and path.parts:
            if not member.plain:
                raise _refused(archive, f"{member.name!r} is a link or a device")
            if (new / path).is_file():
                raise _refused(archive, f"it holds {path.as_posix()!r} twice")
            member.extract(path.as_posix())


def _of_tar(archive: Path, new: Path) -> Iterator[_Member]:
    with _plain(archive) as raw, tarfile.open(fileobj=_Headers(raw, 1 << 16), mode="r:") as tar:
        while (info := tar.next()) is not None:
            if not info.isdir():
                yield _Member(
                    info.name,
                    info.size,
                    info.isreg(),
                    lambda path, info=info: tar.extract(info.replace(name=path, deep=False), new, filter="data"),  # type: ignore[misc]
                )
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all


class _Headers(io.BufferedReader):
    """A file that is read in small pieces: a long one would be a header that fills the memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def _plain(archive: Path) -> Any:
    """Open an archive to be read without its compression."""
    with archive.open("rb") as opened:
        start = opened.read(8)
    way = next((way for magic, way in COMPRESSED.items() if start.startswith(magic)), Path.open)
    return way(archive, "rb")


def _of_zip(archive: Path, new: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():

            def extract(path: str, info: zipfile.ZipInfo = info) -> None:
                info.filename = path
                opened.extract(info, new)

            if not info.filename.endswith("/"):  # as is_dir, which fails for an empty name
                yield _Member(info.orig_filename, info.file_size, True, extract)


def _refused(archive: Path, why: str) -> DataError:
    hint = f"delete {archive}, then dvc repro download; or unpack it yourself if you trust it"
    return DataError(f"{archive.name} is not unpacked: {why}", hint=hint)
