"""Files and folders that appear whole or not at all, whenever the process is killed; hashes of files, cells of tables."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Yield a path beside ``file``, of the same suffix, to write to; it takes the place of ``file`` when the block ends well.

    After an exception ``file`` is as it was. The bytes are on the disk before the name changes, as power may fail, too.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.stem}.new-{os.getpid()}{file.suffix}")
    try:
        yield new
        with new.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(new, file)
    finally:
        new.unlink(missing_ok=True)


def write_whole(file: Path, text: str) -> None:
    """Replace the text of a file, all of it or nothing."""
    with whole(file) as new:
        new.write_text(text, encoding="utf-8")


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside ``folder`` that takes its place when the block ends well; else ``folder`` is as it was."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new, old = (folder.parent / f".{folder.name}.{kind}-{os.getpid()}" for kind in ("new", "old"))
    shutil.rmtree(new, ignore_errors=True)  # of a process of the same number that was killed
    new.mkdir()
    try:
        yield new
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


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
