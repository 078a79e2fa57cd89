"""How the files of a published data set come to lie below CSPOPS_DATA_ROOT; `manifest` says which they are.

`checksums.json`, in the set's folder, records what has arrived, so that nothing is fetched twice; where the publisher gives
no checksum, it holds later downloads to the bytes of the first.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from cspops.errors import DataError, EnvironmentProblem
from cspops.files import write_whole
from cspops.intake.published.fetching import AGAIN, Patience, fetch
from cspops.intake.published.manifest import Published, PublishedFile
from cspops.intake.published.objects import fetch_objects, listed, missing_of
from cspops.intake.published.part import Expected
from cspops.intake.published.unpacking import unpack
from cspops.intake.rows import FileFacts
from cspops.progress import in_bytes

log = logging.getLogger(__name__)

RECORD = "checksums.json"


def ensure(
    published: Published,
    form: str,
    root: Path,
    *,
    parts: Collection[str] = (),
    patience: Patience | None = None,
    free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
) -> dict[str, FileFacts]:
    """See to it that the files of a published set are there. Without a look at the network when they are.

    Files that somebody has put there, or into one of its folders, are taken when they agree with size and checksum; unpacked
    ones as they are.

    Args:
        form: images or features.
        root: the set's own folder, below CSPOPS_DATA_ROOT.
        parts: parts of the set beyond those that every use needs (fmow: test).
        free: bytes free on the disk of a folder.

    Returns:
        size, sha256, url and licence of each file by its name; the first three null where they are not known because
        it was unpacked by hand. For a listing also the number of its objects.

    Raises:
        DataError: a file has to be put there by hand, or its bytes are not those published.
        EnvironmentProblem: the disk is too small, or the network does not give a file.
    """
    wanted = [file for file in published.files if form in file.forms and (file.part is None or file.part in parts)]
    record = _Record(root)
    missing = [file for file in wanted if not _is_there(file, root, record)]
    absent = [file for file in missing if file.by_hand is not None]
    _must_be_put_by_hand(published, [file for file in absent if not file.optional], root)
    for file in absent:
        log.info(f"{root / file.name} is not there; {published.title} goes without. {file.by_hand}")
    missing = [file for file in missing if file.by_hand is None]
    if missing:
        _show(published)
        with _alone(root):
            record.read_again()  # another process may have fetched some meanwhile
            missing = [file for file in missing if not _is_there(file, root, record)]
            _must_fit(published, form, missing, root, free)
            for file in missing:
                _bring(file, published, root, record, patience, free)
    record.keep()
    facts = {}
    for file in wanted:
        if file not in absent:
            known: FileFacts = {**record.of(file.name), "licence": published.licence.name}
            known.pop("unpacked", None)
            facts[file.name] = known
    return facts


def begun(root: Path) -> bool:
    """Whether `ensure` has begun to fetch into this folder; otherwise what is there was put there by hand."""
    return any(root.glob("*.part")) or any(known.get("url") is not None for known in _Record(root).entries.values())


class _Record:
    """checksums.json of a set's folder: what has arrived."""

    def __init__(self, root: Path) -> None:
        self.file = root / RECORD
        self.entries = self._read()
        self._learned: dict[str, FileFacts] = {}
        """What the file said of each entry that is new in memory alone."""

    def _read(self) -> dict[str, FileFacts]:
        try:
            return dict(json.loads(self.file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            raise DataError(
                f"{self.file} cannot be read: {error}", hint=f"delete {self.file}: the files are looked at again"
            ) from None

    def read_again(self) -> None:
        """What another process has written meanwhile takes the place of what was learned."""
        old, self.entries = self.entries, self._read()
        self._learned = {name: was for name, was in self._learned.items() if self.of(name) == was}
        self.entries |= {name: old[name] for name in self._learned}

    def of(self, name: str) -> FileFacts:
        return self.entries.get(name, {})

    def learn(self, name: str, facts: FileFacts) -> None:
        """Note what lies there without having been fetched: not in the file yet, since the call may yet fail."""
        self._learned.setdefault(name, self.of(name))
        self.entries[name] = {**self.of(name), **facts}

    def keep(self) -> None:
        """Write down what was learned; it does not matter when that cannot be."""
        if self._learned:
            self.read_again()
            with suppress(OSError):  # files that somebody shares, for reading alone
                self._write()

    def note(self, name: str, facts: FileFacts) -> None:
        """Write down what was fetched, and with it what was learned before."""
        self.entries[name] = {**self.of(name), **facts}
        try:
            self._write()
        except OSError as error:
            raise EnvironmentProblem(
                f"{self.file} cannot be written: {error.strerror}", hint="see who may write there"
            ) from None

    def _write(self) -> None:
        write_whole(self.file, json.dumps(self.entries, indent=1, sort_keys=True) + "\n")
        self._learned.clear()


def _place(name: str, root: Path) -> Path:
    """Where a file or folder of the set lies, below ``root`` or in one of its folders; where it belongs when it does not."""
    deeper = (path for path in sorted(root.glob(f"*/{name}")) if not path.relative_to(root).parts[0].startswith("."))
    return next((path for path in (root / name, *deeper) if path.exists()), root / name)


def _is_there(file: PublishedFile, root: Path, record: _Record) -> bool:
    """Whether nothing is left to do for a file. Notes what somebody has put there."""
    known = record.of(file.name)
    if file.objects is not None:
        return "objects" in known and (root / file.name).is_file()
    if file.gives:
        if not all(_place(given, root).exists() for given in file.gives):
            return False
        if not known.get("unpacked"):
            if known.get("url") is not None:
                (root / file.name).unlink(missing_ok=True)  # a kill came between unpacking and deleting
            record.learn(file.name, {"size": None, "sha256": None, "url": None, **known, "unpacked": True})
        return True
    place = _place(file.name, root)
    if not place.is_file():
        return False
    if place.stat().st_size != known.get("size"):
        record.learn(file.name, _checked(file, place, root, known.get("sha256")))
    return True


def _checked(file: PublishedFile, place: Path, root: Path, first_sha256: str | None) -> FileFacts:
    """Facts about a file that is there. DataError when it is not the published one."""
    sums = dict(file.checksums or ({"sha256": first_sha256} if first_sha256 else {}))
    hashes = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in {"sha256", *sums}}
    size = place.stat().st_size
    hint = f"delete {place}, then dvc repro download" if file.urls else f"{file.by_hand}"
    if file.size not in (None, size):
        raise DataError(f"{place} has {size} bytes, the published file {file.size}", hint=hint)
    with place.open("rb") as opened:
        while block := opened.read(1 << 20):
            for digest in hashes.values():
                digest.update(block)
    for algorithm, expected in sums.items():
        found = hashes[algorithm].hexdigest()
        if found != expected:
            if not file.checksums:
                hint = f"if that is right, remove its entry from {root / RECORD}; else {hint}"
            raise DataError(f"{place} has {algorithm} {found}, not {expected}", hint=hint)
    return {"size": size, "sha256": hashes["sha256"].hexdigest(), "url": None}


def _must_be_put_by_hand(published: Published, files: Sequence[PublishedFile], root: Path) -> None:
    if files:
        ways = " ".join(dict.fromkeys(file.by_hand or "" for file in files))
        names = ", ".join(str(root / file.name) for file in files)
        raise DataError(f"{names}: not there, and {published.title} has no address to fetch it from", hint=ways)


def _show(published: Published) -> None:
    licence = published.licence
    log.info(f"{published.title}, {published.page}")
    log.info(f"licence: {licence.name}{', NON-COMMERCIAL USE ONLY' if licence.non_commercial else ''}, {licence.address}")
    log.info(f"terms: {licence.terms}")
    log.info(f"cite: {published.citation}")


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Keeps other processes from fetching into the same folder."""
    lock = FileLock(root / ".lock")
    try:
        root.mkdir(parents=True, exist_ok=True)
        try:
            held = lock.acquire(blocking=False)
        except Timeout:
            log.info(f"another process fetches into {root}: waiting for it")
            held = lock.acquire()
    except OSError as error:
        raise EnvironmentProblem(
            f"{root} cannot be written: {error.strerror}", hint="set CSPOPS_DATA_ROOT to a folder that you may write"
        ) from None
    with held:
        yield


def _must_fit(
    published: Published, form: str, missing: Sequence[PublishedFile], root: Path, free: Callable[[Path], int]
) -> None:
    """EnvironmentProblem when the disk is too small for what is to come, archives being deleted one after the other."""
    peak, lasting = 0.0, 0.0
    for file in missing:
        part = root / f"{file.name}.part"
        here = part.stat().st_size if part.exists() else 0
        archive = 0 if _place(file.name, root).exists() else max((file.size or 0) - here, 0)
        unpacked = (file.size or 0) * file.grows if file.gives else 0.0
        if file.objects is not None and not any((root / pattern.split("/")[0]).exists() for pattern in file.objects.patterns):
            unpacked = float(file.objects.about)
        peak = max(peak, lasting + archive + unpacked)
        lasting += unpacked if file.gives else archive + unpacked
    _need(f"{published.title} ({form})", peak, root, free)


def _need(what: str, needed: float, root: Path, free: Callable[[Path], int]) -> None:
    there = free(root)
    if needed > there:
        raise EnvironmentProblem(
            f"{what} needs about {in_bytes(needed)} in {root}, where {in_bytes(there)} are free: "
            f"{in_bytes(needed - there)} are missing",
            hint="free some space there, or set CSPOPS_DATA_ROOT to a folder on a larger disk",
        )


def _bring(
    file: PublishedFile,
    published: Published,
    root: Path,
    record: _Record,
    patience: Patience | None,
    free: Callable[[Path], int],
) -> None:
    """Fetch a file, if it is not there, and unpack it or fetch what it lists."""
    place, first = _place(file.name, root), record.of(file.name).get("sha256")
    if place.is_file():
        facts = _checked(file, place, root, first)
        fetched_here = record.of(file.name).get("url") is not None
        record.note(file.name, {**facts, "url": record.of(file.name)["url"]} if fetched_here else facts)
    else:
        changed = f"see {published.page} whether it has changed, or fetch it yourself and put it there"
        if not file.checksums and first:
            changed = f"if the publisher has really changed it, remove its entry from {root / RECORD}; then {AGAIN}"
        got = fetch(
            file.urls,
            place,
            Expected(file.size, file.checksums or ({"sha256": first} if first else {})),
            patience=patience,
            hint_wrong_bytes=changed,
        )
        record.note(file.name, {"size": got.size, "sha256": got.sha256, "url": got.url})
    if file.gives:
        log.info(f"unpacking {file.name}")
        unpack(place, root, file.gives, members=file.members, whole=file.whole, free=free)
        record.note(file.name, {"unpacked": True})
        if record.of(file.name)["url"] is not None:
            (root / file.name).unlink(missing_ok=True)
    if file.objects is not None:
        names = listed(place, file.objects.patterns)
        missing = missing_of(names, root)
        if missing:
            log.info(f"{file.name} lists {len(names)} objects, of which {len(missing)} are to be fetched")
            _need(f"{published.title}", file.objects.about * len(missing) / len(names), root, free)
            sums = root / f"{file.name}.sha256"
            fetch_objects(missing, root, file.objects.bases, sums, patience=patience)
        record.note(file.name, {"objects": len(names)})
