"""Archives from elsewhere, unpacked below one folder and no further; `tarfile` and `zipfile` see to most of it."""

import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cspops.errors import DataError, written_into

RATIO = 200
"""Bytes for each byte of the archive. Deflate itself reaches 1032; JSON compresses about ten times."""
ALWAYS = 100_000_000
"""Bytes that are fine whatever the ratio."""
MOST_MEMBERS = 5_000_000
BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, RuntimeError)


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
            for name in gives:
                if not (into / name).exists():
                    os.replace(new / name, into / name)
        except (*BROKEN, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
                    raise _refused(archive, "it holds a file and a folder at once") from None
                raise  # gzip and bz2 raise one without a number for bytes that are no gzip or bzip2
            raise _refused(archive, f"it is cut or broken ({' '.join(str(error).split())})") from None
        finally:
            shutil.rmtree(new, ignore_errors=True)


def leads_out(path: PurePosixPath) -> bool:
    """Whether a path, put below a folder, may lie outside of it."""
    return path.is_absolute() or ".." in path.parts


def _write(archive: Path, new: Path, gives: Sequence[str], members: Sequence[str], whole: bool) -> None:
    most, size = max(ALWAYS, RATIO * archive.stat().st_size), 0
    for count, member in enumerate(_of_zip(archive, new) if zipfile.is_zipfile(archive) else _of_tar(archive, new)):
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
            member.extract(path.as_posix())


def _of_tar(archive: Path, new: Path) -> Iterator[_Member]:
    with tarfile.open(archive) as tar:
        while (info := tar.next()) is not None:
            if not info.isdir():
                yield _Member(
                    info.name,
                    info.size,
                    info.isreg(),
                    lambda path, info=info: tar.extract(info.replace(name=path, deep=False), new, filter="data"),  # type: ignore[misc]
                )
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all


def _of_zip(archive: Path, new: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():

            def extract(path: str, info: zipfile.ZipInfo = info) -> None:
                info.filename = path
                opened.extract(info, new)

            if not info.is_dir():
                yield _Member(info.filename, info.file_size, True, extract)


def _refused(archive: Path, why: str) -> DataError:
    hint = f"delete {archive}, then dvc repro download; or unpack it yourself if you trust it"
    return DataError(f"{archive.name} is not unpacked: {why}", hint=hint)
