"""Which row of a side-car table is about which image of a folder tree."""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from posixpath import basename, dirname, join, normpath, splitext
from typing import NamedTuple

import pyarrow as pa

from cspops.intake.sources.tree import IMAGE_SUFFIXES, UNREAD_SUFFIXES

NOT_THERE = "the side-car names an image that is not there"
NOT_LOOKED_AT = "the side-car names an image that the pattern leaves out"
AMBIGUOUS = "the side-car names an image by a name that several have"
NAMED_TWICE = "another row of the side-car names the same image"
NO_NAME = "the side-car names no image"
BY_NAME = "found by its file name: the side-car has another path"


class Joined(NamedTuple):
    rows: pa.Table
    """All rows of the side-car, `ROWS`; lon and lat of one kind."""
    of_image: dict[str, list[int]]
    """The rows of each image that has any, by its path, in the side-car's order."""
    by_name: set[int]
    """Rows that fit an image by its name alone, though they give a path."""
    lost: dict[int, str]
    """The other rows, with the reason."""


def attach(batches: Iterable[pa.RecordBatch], images: Sequence[str], *, folder: str, exists: Callable[[str], bool]) -> Joined:
    """Find the image of each row of a side-car.

    An image is found by its path below the side-car's own folder or below the root; else, among the images that no row
    names so, by a file name that only one image has; a name without an image's suffix is compared with the names
    without theirs. Unicode forms never matter, upper and lower case do not matter for names. Where rows name an image by
    a file name in several spellings, those spelled as the first keep it; none does where they give it different folders,
    since then at most one of these is about it.

    Args:
        batches: of `ROWS`; `image.path` is the text of the side-car, with /.
        images: paths below the root.
        folder: of the side-car, below the root; empty: the root.
        exists: whether a path below the root is a file, asked for rows that fit no image.
    """
    rows = _one_table(batches)
    exact = {unicodedata.normalize("NFC", path): path for path in images}
    without_suffix = _unique((splitext(text)[0], path) for text, path in exact.items())
    names = rows["image"].combine_chunks().field("path").to_pylist()
    of_image: dict[str, list[int]] = defaultdict(list)
    open_rows: list[tuple[int, str]] = []
    lost: dict[int, str] = {}
    for row, name in enumerate(names):
        if not name or not name.strip():
            lost[row] = NO_NAME
            continue
        text = unicodedata.normalize("NFC", name.strip())
        for candidate in (normpath(join(folder, text)), normpath(text)):
            image = exact.get(candidate) or (None if _has_suffix(text) else without_suffix.get(candidate))
            if image:
                of_image[image].append(row)
                break
        else:
            open_rows.append((row, text))

    free = [path for path in images if path not in of_image]
    named = _unique((_key(basename(path)), path) for path in free)
    stems = _unique((_key(splitext(basename(path))[0]), path) for path in free)
    everywhere = _unique((_key(basename(path)), path) for path in images)
    takers: dict[str, list[str]] = defaultdict(list)
    fits: list[tuple[int, str, str | None]] = []
    for row, text in open_rows:
        key = _key(basename(text))
        image = named.get(key, "") if key in named else None
        if image is None and not _has_suffix(text):
            image = stems.get(key, "") if key in stems else None
        fits.append((row, text, image))
        if image:
            takers[image].append(text)
    keeps = {
        path: texts[0] for path, texts in takers.items() if len({_key(dirname(text)) for text in texts if "/" in text}) < 2
    }
    by_name = set()
    for row, text, image in fits:
        if image and keeps.get(image) == text:
            of_image[image].append(row)
            if "/" in text:
                by_name.add(row)
        elif image is not None:
            lost[row] = NAMED_TWICE if image else AMBIGUOUS
        else:
            there = any(exists(normpath(path)) for path in (text, join(folder, text)) if _inside(path))
            twice = "/" not in text and bool(everywhere.get(_key(text)))
            lost[row] = NOT_LOOKED_AT if there else NAMED_TWICE if twice else NOT_THERE
    return Joined(rows, dict(of_image), by_name, lost)


def _one_table(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """Return the batches as one table, with numbers as text where some batch has text."""
    read = list(batches)
    kinds = {batch.schema.field(axis).type for batch in read for axis in ("lon", "lat")}
    if len(kinds) > 1:
        read = [_with_text(batch) for batch in read]
    return pa.Table.from_batches(read)


def _with_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    schema = batch.schema
    for axis in ("lon", "lat"):
        schema = schema.set(schema.get_field_index(axis), pa.field(axis, pa.string()))
    return batch.cast(schema)


def _unique(pairs: Iterator[tuple[str, str]]) -> dict[str, str]:
    """Return what each key stands for; empty text where it stands for several."""
    known: dict[str, str] = {}
    for key, value in pairs:
        known[key] = "" if key in known else value
    return known


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _has_suffix(text: str) -> bool:
    return splitext(text)[1].lower() in IMAGE_SUFFIXES | UNREAD_SUFFIXES


def _inside(path: str) -> bool:
    return not PurePosixPath(path).is_absolute() and not normpath(path).startswith("..")
