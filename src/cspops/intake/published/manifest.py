"""What is known of a published data set: its files, where they are, with which sizes and checksums, under which licence."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MANIFESTS = Path(__file__).parent
"""A file `NAME.json` for each set; its keys are the fields of `Published`."""


@dataclass(frozen=True)
class Licence:
    """What a set may be used for."""

    name: str
    terms: str
    address: str
    non_commercial: bool


@dataclass(frozen=True)
class Objects:
    """What a listing names."""

    bases: Sequence[str]
    """Addresses below which the objects are, in order of preference."""
    patterns: Sequence[str]
    """Which of its names are wanted; `*` matches across folders."""
    about: int
    """Bytes of all of them, at most; for the check of the disk. 0: another listing of the set counts them."""


@dataclass(frozen=True)
class PublishedFile:
    """One file of a set, as its publisher gives it."""

    name: str
    """Its place below the set's folder."""
    forms: Sequence[str]
    """The forms of the set that need it."""
    urls: Sequence[str] = ()
    """Mirrors, in order."""
    size: int | None = None
    """Bytes; null: not published."""
    checksums: Mapping[str, str] = field(default_factory=dict)
    """Hexadecimal, by algorithm."""
    gives: Sequence[str] = ()
    """The files and folders it unpacks to. Once they are there, it is never fetched."""
    members: Sequence[str] = ("*",)
    whole: bool = False
    """See `unpack`."""
    grows: float = 1.0
    """How many times its own size these have, at most: an estimate, for the check of the disk."""
    objects: Objects | None = None
    part: str | None = None
    """Only wanted when this part of the set is asked for."""
    by_hand: str | None = None
    """How to get it, where there is no address of the file itself."""
    optional: bool = False


@dataclass(frozen=True)
class Published:
    """A data set."""

    name: str
    title: str
    page: str
    licence: Licence
    citation: str
    sources: str
    """Where the sizes and checksums come from."""
    files: Sequence[PublishedFile]


def read_manifest(name: str) -> Published:
    """What is known of the set called ``name``."""
    about = json.loads((MANIFESTS / f"{name}.json").read_text(encoding="utf-8"))
    files = []
    for file in about.pop("files"):
        objects = file.pop("objects", None)
        files.append(PublishedFile(**file, objects=Objects(**objects) if objects else None))
    return Published(**{**about, "licence": Licence(**about["licence"])}, files=files)
