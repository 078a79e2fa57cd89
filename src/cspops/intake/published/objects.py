"""Sets that are published as hundreds of thousands of objects, named in a list: fetched several at a time, each once."""

import bz2
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

from cspops.errors import CspopsError, DataError
from cspops.intake.published.fetching import AGAIN, Patience, Stopped, fetch
from cspops.intake.published.part import Expected
from cspops.intake.published.unpacking import safe_path
from cspops.progress import Meter

WORKERS = 16
"""Connections at a time: the objects are small, and each costs a round trip."""
MOST_FAILURES = 20
"""After which the rest is not tried."""


def listed(listing: Path, patterns: Sequence[str]) -> list[str]:
    """The names in a JSON list (plain or bzip2) that fit one of ``patterns``, sorted.

    `*` matches across folders. DataError when it is no such list, or a name leads out of the folder.
    """
    hint = f"delete {listing}, then dvc repro download"
    try:
        text = bz2.decompress(listing.read_bytes()) if listing.suffix == ".bz2" else listing.read_bytes()
        names = json.loads(text)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{listing} cannot be read: {error}", hint=hint) from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{listing} is no list of names", hint=hint)
    wanted = sorted({name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)})
    if not wanted:
        raise DataError(f"{listing} names nothing like {' or '.join(patterns)}", hint=hint)
    for name in wanted:
        if safe_path(name) is None:
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


def fetch_objects(
    names: Sequence[str],
    root: Path,
    bases: Sequence[str],
    log: Path,
    *,
    patience: Patience | None = None,
    workers: int = WORKERS,
) -> None:
    """Fetch ``names`` into ``root`` from below one of ``bases``.

    Args:
        log: a file of lines `sha256 size name` that grows; an object that it has is held to its sha256.

    Raises:
        DataError, EnvironmentProblem: some could not be had; all others are there.
    """
    import requests

    patience = patience or Patience()
    stopped, lock = threading.Event(), threading.Lock()
    patience = replace(patience, stopped=stopped, sleep=stopped.wait if patience.sleep is time.sleep else patience.sleep)
    known = _known(log)
    pending: Iterator[str] = iter(names)
    failures: dict[str, CspopsError] = {}
    log.parent.mkdir(parents=True, exist_ok=True)

    with Meter(root.name, len(names), unit="files") as meter, log.open("a", encoding="utf-8") as lines:
        done = 0
        meter.to(done)
        if log.stat().st_size and not log.read_bytes().endswith(b"\n"):
            lines.write("\n")  # a kill cut the last one short

        def work() -> None:
            nonlocal done
            with requests.Session() as session:
                while not stopped.is_set():
                    with lock:
                        name = next(pending, None)
                    if name is None:
                        return
                    try:
                        got = fetch(
                            [base + quote(name) for base in bases],
                            root / name,
                            Expected(checksums={"sha256": known[name]} if name in known else {}),
                            shown=False,
                            patience=patience,
                            session=session,
                            hint_wrong_bytes=f"if the publisher has changed it, delete its line in {log}; then {AGAIN}",
                        )
                    except CspopsError as error:
                        with lock:
                            failures[name] = error
                            if len(failures) >= MOST_FAILURES:
                                stopped.set()
                        continue
                    except Stopped:
                        return
                    with lock:
                        if name not in known:
                            lines.write(f"{got.sha256} {got.size} {name}\n")
                            lines.flush()
                        done += 1
                        meter.to(done)

        _in_threads(work, workers, stopped)
    if failures:
        first = failures[min(failures)]
        also = "" if len(failures) == 1 else f" ({len(failures)} of {len(names)} objects failed; this is the first)"
        raise type(first)(first.message + also, hint=first.hint or AGAIN)


def _in_threads(work: Callable[[], None], workers: int, stopped: threading.Event) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        try:
            for future in [pool.submit(work) for _ in range(workers)]:
                future.result()
        except BaseException:
            stopped.set()
            raise


def _known(log: Path) -> Mapping[str, str]:
    """The sha256 of each object in the log. A line that a kill cut short is passed over."""
    if not log.is_file():
        return {}
    known: dict[str, str] = {}
    for line in log.read_text(encoding="utf-8").split("\n"):
        sha256, _, rest = line.partition(" ")
        _, _, name = rest.partition(" ")
        if len(sha256) == 64 and name:
            known.setdefault(name, sha256)
    return known
