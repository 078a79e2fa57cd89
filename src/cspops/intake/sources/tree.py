"""A walk of a folder tree: which files are images, and counts of what is left out."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from posixpath import splitext

from cspops.errors import DataError, ParamsError, listed
from cspops.intake.images.exif_blocks import format_of

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif"})

UNREAD_SUFFIXES = frozenset({
    ".arw", ".avif", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".j2k", ".jp2", ".jxl", ".nef", ".orf", ".raf", ".rw2",
})  # fmt: skip
"""Of images in other formats: they become rows with a reason, so that half a photo library is not lost in silence."""

SKIPPED = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir"})
"""What systems leave in folders, beside names with a dot in front."""


@dataclass
class Tree:
    """The images of a folder tree, and counts of everything else."""

    images: list[str] = field(default_factory=list)
    """Paths below the root with /, sorted; undecodable bytes as surrogates."""
    unread: set[str] = field(default_factory=set)
    """Those in other formats."""
    others: Counter[str] = field(default_factory=Counter)
    """Files that are not images, by suffix."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Hidden and system files and folders, by name."""
    left_out: int = 0
    """Images that the pattern does not match."""
    loops: list[str] = field(default_factory=list)
    """Links to a folder above themselves."""


def walk(root: Path, pattern: str, *, leave_out: str | None = None) -> Tree:
    """Find all images below a folder that the pattern fits, and count everything else.

    Linked folders are walked unless they lead back above themselves; what is neither file nor folder is no image.
    """
    if not root.is_dir():
        raise DataError(
            f"{root} is {'not a folder' if root.exists() else 'missing'}", hint="cspops data use PATH, then dvc repro"
        )
    parts = pattern.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ParamsError(
            f"params.yaml: dataset.folder.pattern {pattern!r} is not a pattern of paths below the folder",
            hint='dataset.folder.pattern: "**/*" takes all, "photos/**/*.jpg" some',
        )
    tree = Tree()
    ahead = [("", frozenset({_identity(root)}))]
    while ahead:
        folder, above = ahead.pop()
        for entry in _entries(root / folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith(".") or entry.name.casefold() in SKIPPED:
                tree.skipped[entry.name] += 1
            elif _is_folder(entry):
                identity = _identity(root / path)
                if identity in above:
                    tree.loops.append(path)
                else:
                    ahead.append((path, above | {identity}))
            elif path != leave_out:
                _sort_in(tree, entry, path, fits=_fits(path.split("/"), parts))
    tree.images.sort()
    tree.loops.sort()
    return tree


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}", hint="its permissions") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _identity(folder: Path) -> tuple[int, int]:
    about = folder.stat()
    return about.st_dev, about.st_ino


def _sort_in(tree: Tree, entry: os.DirEntry[str], path: str, *, fits: bool) -> None:
    suffix = splitext(entry.name)[1].lower()
    try:
        # A link to nowhere is looked at where images are inspected; a pipe or device is never opened.
        readable, candidate = entry.is_file(), entry.is_file() or not Path(entry.path).exists()
    except OSError:
        readable, candidate = False, True
    known = suffix in IMAGE_SUFFIXES
    other_format = suffix in UNREAD_SUFFIXES
    if not known and fits and readable and _starts_as_image(entry.path):
        known, other_format = True, False
    if not candidate or not (known or other_format):
        tree.others[printable(suffix)] += fits
    elif not fits:
        tree.left_out += 1
    else:
        tree.images.append(path)
        if other_format:
            tree.unread.add(path)


def _starts_as_image(path: str) -> bool:
    try:
        with Path(path).open("rb") as stream:
            return format_of(stream.read(12)) is not None
    except OSError:
        return False


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return bool(parts) and (len(pattern) == 1 or any(_fits(parts[i:], pattern[1:]) for i in range(len(parts))))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def remarks(tree: Tree, pattern: str) -> list[str]:
    """Return one sentence for each kind of thing that was left out."""
    sentences = []
    others = {suffix: count for suffix, count in tree.others.items() if count}
    if others:
        kinds = [f"{count} {suffix or 'without a suffix'}" for suffix, count in _commonest(others)]
        sentences.append(f"files that are not images, left out: {listed(kinds, 5)}")
    if tree.skipped:
        names = [f"{count} {printable(name)}" for name, count in _commonest(tree.skipped)]
        sentences.append(f"hidden and system files and folders, left out: {listed(names, 5)}")
    if tree.left_out:
        sentences.append(f"images that dataset.folder.pattern {pattern!r} does not fit, left out: {tree.left_out}")
    if tree.loops:
        loops = listed(map(printable, tree.loops), 5)
        sentences.append(f"links to a folder above themselves, not followed: {loops}")
    return sentences


def _commonest(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def printable(path: str) -> str:
    """Return a path, bytes that are not UTF-8 as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
