"""A walk of a folder tree: which files are images, what lies beside them, and counts of what is left out."""

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from posixpath import splitext

from cspops.errors import DataError, ParamsError, listed
from cspops.intake.images import takeout
from cspops.pixels.formats import HEAD, RAW, format_of, other_format

IMAGE_SUFFIXES = frozenset({
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp",
})  # fmt: skip

RAW_SUFFIXES = frozenset({
    ".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srw", ".x3f",
})  # fmt: skip
"""Of cameras' raw files. Many begin as a TIFF, with a thumbnail as their first image."""
UNREAD_SUFFIXES = RAW_SUFFIXES | {".j2k", ".jp2", ".jpf", ".jpx", ".jxl", ".psd"}
"""Of images in other formats: they become rows with a reason, so that half a photo library is not lost in silence."""

SKIPPED = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir"})
"""What systems leave in folders, beside names with a dot in front."""


@dataclass
class Tree:
    """The images of a folder tree, and counts of everything else."""

    images: list[str] = field(default_factory=list)
    """Paths below the root with /, sorted; undecodable bytes as surrogates."""
    unread: dict[str, str] = field(default_factory=dict)
    """Those in other formats: what they are and what to do."""
    takeout: dict[str, str] = field(default_factory=dict)
    """The JSON of Google Takeout about an image, by the image's path."""
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
        entries, before = _entries(root / folder), len(tree.images)
        for entry in entries:
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
        _find_takeout(tree, tree.images[before:], {entry.name for entry in entries if entry.name.endswith(".json")}, parts)
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
    known, unread = suffix in IMAGE_SUFFIXES, None
    if not known and fits and readable:
        known, unread = _by_first_bytes(entry.path, suffix)
    elif suffix in UNREAD_SUFFIXES:
        unread = ""
    if not candidate or not (known or unread is not None):
        tree.others[printable(suffix)] += fits
    elif not fits:
        tree.left_out += 1
    else:
        tree.images.append(path)
        if unread is not None:
            tree.unread[path] = unread


def _by_first_bytes(path: str, suffix: str) -> tuple[bool, str | None]:
    """Return whether a file is an image that is read and, of an image that is not, what it is."""
    try:
        with Path(path).open("rb") as stream:
            head = stream.read(HEAD)
    except OSError:
        head = b""
    kind = format_of(head)
    if kind == "tiff" and suffix in RAW_SUFFIXES:
        return False, RAW.detail
    if kind is not None:
        return True, None
    other = other_format(head)
    return False, other.detail if other.image or suffix in UNREAD_SUFFIXES else None


def _find_takeout(tree: Tree, images: Sequence[str], names: Collection[str], pattern: Sequence[str]) -> None:
    """Find the JSON of Google Takeout about each image of a folder, out of the names there."""
    used = set()
    for path in images if names else ():
        folder, _, name = path.rpartition("/")
        if found := takeout.beside(name, names):
            tree.takeout[path] = f"{folder}/{found}" if folder else found
            used.add(tree.takeout[path])
    if used:
        tree.others[".json"] -= sum(_fits(path.split("/"), pattern) for path in used)


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return bool(parts) and (len(pattern) == 1 or any(_fits(parts[i:], pattern[1:]) for i in range(len(parts))))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def remarks(tree: Tree, pattern: str) -> list[str]:
    """Return one sentence for each kind of thing that was left out."""
    sentences = []
    others = {suffix: count for suffix, count in tree.others.items() if count > 0}
    if others:
        kinds = [f"{count} {suffix or 'without a suffix'}" for suffix, count in _commonest(others)]
        sentences.append(f"files that are not images, left out: {listed(kinds, 5)}")
    if tree.takeout:
        count = len(set(tree.takeout.values()))
        sentences.append(f"JSON files beside images, looked at for what Google Takeout writes: {count}")
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
