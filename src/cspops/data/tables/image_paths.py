"""Paths of images as people write them into tables, brought to the form of `rows.IMAGE`: with /, below one folder."""

import posixpath

import pyarrow as pa
import pyarrow.compute as pc

from cspops.data.tables.records import shortened

ADDRESS = "image is an address, not a file"
ABSOLUTE = "image path is absolute"
OUTSIDE = "image path leads out of its folder"
NUL = "image path holds NUL bytes"


def normalise_paths(paths: pa.Array, folder: str, *, inside: bool = True) -> tuple[pa.Array, dict[int, tuple[str, str]]]:
    r"""Paths below the images' root, and why others are none: by row, a reason and the text at fault.

    Args:
        paths: relative to ``folder``; `\` counts as /.
        folder: below the images' root, with /; empty for the root itself.
        inside: give up paths that lead out of the root; else they begin with `../`.
    """
    text = pc.replace_substring(paths, "\\", "/")
    text = pc.replace_substring_regex(text, r"^(\./+)+", "")
    reasons: dict[int, tuple[str, str]] = {}
    for why, pattern in ((ADDRESS, r"^[A-Za-z][A-Za-z0-9+.-]+:/"), (ABSOLUTE, r"^(/|~/|[A-Za-z]:)"), (NUL, r"\x00")):
        for i in _rows(text, pattern):
            reasons.setdefault(i, (why, shortened(paths[i].as_py().replace("\0", ""))))
    if folder and folder != ".":
        text = pc.binary_join_element_wise(pa.scalar(folder), text, "/")
    roundabout = [i for i in _rows(text, r"(^|/)(\.{0,2})(/|$)") if i not in reasons]
    if roundabout or reasons:
        changed = text.to_pylist()
        for i in roundabout:
            changed[i] = posixpath.normpath(changed[i])
            if inside and (changed[i] == ".." or changed[i].startswith("../")):
                reasons[i] = (OUTSIDE, shortened(paths[i].as_py()))
        for i in reasons:
            changed[i] = None
        text = pa.array(changed, pa.string())
    return text, reasons


def _rows(text: pa.Array, pattern: str) -> list[int]:
    rows: list[int] = pc.indices_nonzero(pc.match_substring_regex(text, pattern)).to_pylist()
    return rows
