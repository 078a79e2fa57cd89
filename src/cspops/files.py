"""Files and folders that appear whole or not at all, whenever the process is killed; hashes of files, cells of tables."""

import errno
import glob
import hashlib
import logging
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from cspops.errors import EnvironmentProblem

log = logging.getLogger(__name__)

LOCK = ".lock"
UNLOCKED = 60.0
"""Seconds after which an unfinished folder without a lock belongs to nobody."""
DISK = {
    errno.ENOSPC: "free some space there, then run the same command again",
    errno.EDQUOT: "free some space there or ask for a larger quota, then run the same command again",
    errno.EROFS: "the disk is mounted read-only: use a folder on another one",
    errno.EFBIG: "ulimit -f, or the file system, allows no larger file",
    errno.EIO: "the disk may be broken: use a folder on another one",
}
"""What a disk may refuse while something is written, each with a hint."""
CUT = re.compile(r"unexpected pos \d+ vs|PytorchStreamWriter|\d+ requested and \d+ written")
"""How torch and numpy say that fewer bytes were written than they gave; the system's reason is lost."""


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Yield a path of the same name, in a hidden folder beside ``file``, to write to; it takes the place of ``file`` when
    the block ends well.

    After an exception ``file`` is as it was. The bytes are on the disk before the name changes, as power may fail, too.
    Of several processes that write the same file, the last one wins.

    Raises:
        EnvironmentProblem: the disk is full or refuses to be written.
    """
    with disk_problems(file), _beside(file) as folder:
        new = folder / file.name
        yield new
        sync(new)
        os.replace(new, file)
        sync(file.parent)


def write_whole(file: Path, text: str) -> None:
    """Replace the text of a file, all of it or nothing."""
    with whole(file) as new:
        new.write_text(text, encoding="utf-8", newline="\n")


def write_among_others(folder: Path, write: Callable[[Path], str]) -> None:
    """Add a file to a folder that processes of several machines write to; no lock and no clock is needed.

    ``write`` fills a path of no other process, which holds machine, process and a random number, and returns the name that the
    file then gets, where it replaces one of the same name. What a killed process leaves is deleted with the folder.

    Raises:
        EnvironmentProblem: the disk is full or refuses to be written.
    """
    new = folder / f".{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    with disk_problems(folder):
        try:
            name = write(new)
            sync(new)
            os.replace(new, folder / name)
            sync(folder)
        except BaseException:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield a new folder that takes the place of ``folder`` when the block ends well; else ``folder`` is as it was.

    Raises:
        EnvironmentProblem: the disk is full or refuses to be written.
    """
    with disk_problems(folder), _beside(folder) as hidden:
        new = hidden / "new"
        new.mkdir()
        yield new
        for path in sorted(new.rglob("*")):
            if not path.is_symlink():
                sync(path)
        sync(new)
        _put(new, folder, hidden / "old")
        sync(folder.parent)


@contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """Yield a new hidden folder beside ``place``, which is deleted when the block ends."""
    place.parent.mkdir(parents=True, exist_ok=True)
    sweep(place)
    with unfinished(place.parent, place.name) as folder:
        yield folder


@contextmanager
def unfinished(parent: Path, name: str) -> Iterator[Path]:
    """Yield a new hidden folder in ``parent`` for what is to be called ``name``, which is deleted when the block ends.

    It is locked for as long as this process lives, so that `sweep` can tell it from what a killed one left. A process number
    would not tell: containers on one disk give all their processes the same.
    """
    folder = Path(tempfile.mkdtemp(prefix=f".{name}.begun-", dir=parent))
    lock = FileLock(folder / LOCK)
    try:
        try:
            lock.acquire(blocking=False)
        except (OSError, NotImplementedError):  # a file system without locks
            (folder / LOCK).unlink(missing_ok=True)
        folder = folder.rename(parent / f".{name}.new-{folder.name.rpartition('-')[2]}")  # by this name once it is locked
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def sweep(place: Path) -> None:
    """Delete what killed processes left of ``place`` while they wrote it; an old folder that one had moved away comes back."""
    name = glob.escape(place.name)
    for folder in (*place.parent.glob(f".{name}.new-*"), *place.parent.glob(f".{name}.begun-*")):
        lock = folder / LOCK
        with suppress(OSError, NotImplementedError):  # Timeout is one: its process is at work
            old = time.time() - folder.stat().st_mtime > UNLOCKED
            if lock.is_file() and (old or ".new-" in folder.name):
                with FileLock(lock).acquire(blocking=False):
                    if (folder / "old").is_dir() and not place.exists():
                        os.replace(folder / "old", place)
                    shutil.rmtree(folder, ignore_errors=True)
            elif old:
                folder.rmdir()  # only when it is empty


@contextmanager
def locked(lock: Path, taken: EnvironmentProblem) -> Iterator[None]:
    """Hold the lock of a file while the block runs; raise ``taken`` where another process holds it.

    It ends with its process, however that ends. A file system without locks keeps nobody out.
    """
    try:
        held: AbstractContextManager[object] = FileLock(lock).acquire(blocking=False)
    except Timeout:
        raise taken from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOLCK, errno.ENOTSUP):
            raise
        log.debug(f"{lock.parent} has no locks: whether another process is at work there is not known")
        held = nullcontext()
    with held:
        yield


def _put(new: Path, folder: Path, old: Path) -> None:
    """Rename ``new`` to ``folder``; what was there is in ``old`` meanwhile, and comes back where that fails."""
    while True:
        with suppress(FileNotFoundError):
            os.replace(folder, old)
        try:
            os.replace(new, folder)
            return
        except BaseException as error:
            if not folder.exists() and old.exists():
                old.rename(folder)
            if not (isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST)):
                raise
            shutil.rmtree(old, ignore_errors=True)  # another process has put a folder there in between: this one is later


def sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name != "posix":
        return
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP)):  # some file systems sync files alone
            raise
    finally:
        os.close(opened)


@contextmanager
def disk_problems(place: Path) -> Iterator[None]:
    """Raise an EnvironmentProblem that names ``place`` for what a disk refuses; libraries wrap it in errors of their own."""
    try:
        yield
    except Exception as error:
        number = error.errno if isinstance(error, OSError) and error.errno else _number_in(str(error))
        if number is None and CUT.search(str(error)):
            why, hint = "the disk took a part of it only", DISK[errno.ENOSPC]
        elif number in DISK:
            why, hint = os.strerror(number), DISK[number]
        else:
            raise
        raise EnvironmentProblem(f"{place} cannot be written: {why}", hint=hint) from None


def _number_in(message: str) -> int | None:
    """Return the number of the system's error in the message of a library, such as safetensors, or None."""
    found = re.search(r"\(os error (\d+)\)|\[errno (\d+)\]", message, re.IGNORECASE)
    return int(found[1] or found[2]) if found else None


def sha256_of(file: Path) -> str:
    """Return the hash of a file's content."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def no_formula(cell: object) -> object:
    """Return a cell for CSV or TSV: a text that a spreadsheet would compute with ' before it, anything else as it is."""
    if isinstance(cell, str) and FORMULA.match(cell) and not NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell
