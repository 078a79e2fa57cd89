"""Sets that are published as hundreds of thousands of objects, named in a list: fetched several at a time, each once."""

import bz2
import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from cspops.errors import CspopsError, DataError
from cspops.intake.published.fetching import fetch, patient_session
from cspops.intake.published.unpacking import leads_out
from cspops.progress import Meter

WORKERS = 16
"""Connections at a time: the objects are small, and each costs a round trip."""
MOST_FAILURES = 20
"""After which the rest is not tried."""
BATCH = 1000
"""Objects that the threads are given at a time; what an interrupt leaves is at most these."""


def listed(listing: Path, patterns: Sequence[str]) -> list[str]:
    """The names in a JSON list (plain or bzip2) that fit one of ``patterns``, sorted.

    `*` matches across folders. DataError when it is no such list, or a name leads out of the folder.
    """
    hint = f"delete {listing}, then dvc repro download"
    try:
        text = bz2.decompress(listing.read_bytes()) if listing.suffix == ".bz2" else listing.read_bytes()
        names = json.loads(text)
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise DataError(f"{listing} cannot be read: {error}", hint=hint) from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{listing} is no list of names", hint=hint)
    wanted = sorted({name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)})
    if not wanted:
        raise DataError(f"{listing} names nothing like {' or '.join(patterns)}", hint=hint)
    for name in wanted:
        if leads_out(PurePosixPath(name)):
            raise DataError(f"{listing} names {name!r}, which leads out of the folder", hint=hint)
    return wanted


def missing_of(names: Sequence[str], root: Path) -> list[str]:
    """Those of ``names`` that are no files below ``root``. Looks into each folder once."""
    here: dict[str, set[str]] = {}
    missing = []
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder not in here:
            below = root / folder
            here[folder] = {found.name for found in below.iterdir()} if below.is_dir() else set()
        if file not in here[folder]:
            missing.append(name)
    return missing


def fetch_objects(names: Sequence[str], root: Path, bases: Sequence[str]) -> None:
    """Fetch ``names`` into ``root`` from below one of ``bases``.

    Raises:
        DataError, EnvironmentProblem: some could not be had; all others are there, unless very many failed.
    """
    from concurrent.futures import ThreadPoolExecutor

    failures: dict[str, CspopsError] = {}

    def bring(name: str) -> None:
        if len(failures) < MOST_FAILURES:
            try:
                fetch([base + quote(name) for base in bases], root / name, session, shown=False)
            except CspopsError as error:
                failures[name] = error

    with (
        patient_session(WORKERS) as session,
        Meter(root.name, len(names), unit="files") as meter,
        ThreadPoolExecutor(WORKERS) as pool,
    ):
        for start in range(0, len(names), BATCH):
            for _ in meter.each(pool.map(bring, names[start : start + BATCH])):
                pass
    if failures:
        first = failures[min(failures)]
        also = "" if len(failures) == 1 else f" ({len(failures)} of {len(names)} objects failed; this is the first)"
        raise type(first)(first.message + also, hint=first.hint)
