"""How the files of a published data set come to lie below CSPOPS_DATA_ROOT; `manifest` says which they are.

`checksums.json`, in the set's folder, records what has arrived, so that nothing is fetched twice.
"""

import json
import logging
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from cspops.errors import DataError, EnvironmentProblem, written_into
from cspops.files import write_whole
from cspops.intake.published.fetching import checked, fetch, patient_session
from cspops.intake.published.manifest import Published, PublishedFile
from cspops.intake.published.objects import fetch_objects, listed, missing_of
from cspops.intake.published.unpacking import unpack
from cspops.intake.rows import FileFacts
from cspops.progress import in_bytes

if TYPE_CHECKING:
    import requests

log = logging.getLogger(__name__)

RECORD = "checksums.json"


def ensure(published: Published, form: str, root: Path, *, parts: Collection[str] = ()) -> dict[str, FileFacts]:
    """See to it that the files of a published set are there. Without a look at the network when they are.

    Files that somebody has put there, or into one of its folders, are taken when they agree with size and checksum; unpacked
    ones as they are.

    Args:
        form: images or features.
        root: the set's own folder, below CSPOPS_DATA_ROOT.
        parts: parts of the set beyond those that every use needs (fmow: test).

    Returns:
        size, sha256, url and licence of each file by its name; the first three null where they are not known because
        it was unpacked by hand. For a listing also the number of its objects.

    Raises:
        DataError: a file has to be put there by hand, or its bytes are not those published.
        EnvironmentProblem: the disk is too small, or the network does not give a file.
    """
    wanted = [file for file in published.files if form in file.forms and (file.part is None or file.part in parts)]
    record = _read(root)
    missing = [file for file in wanted if not _is_there(file, root, record)]
    absent = [file for file in missing if file.by_hand is not None]
    _must_be_put_by_hand(published, [file for file in absent if not file.optional], root)
    for file in absent:
        log.info(f"{root / file.name} is not there; {published.title} goes without. {file.by_hand}")
    missing = [file for file in missing if file.by_hand is None]
    if missing:
        _show(published)
        with _alone(root), patient_session() as session:
            record |= _read(root)  # another process may have fetched some meanwhile
            missing = [file for file in missing if not _is_there(file, root, record)]
            _must_fit(published, form, missing, root)
            for file in missing:
                _bring(file, published, root, record, session)
    return {file.name: {**record[file.name], "licence": published.licence.name} for file in wanted if file not in absent}


def begun(root: Path) -> bool:
    """Whether `ensure` has begun to fetch into this folder; otherwise what is there was put there by hand."""
    return any(root.glob("*.part")) or any(known.get("url") is not None for known in _read(root).values())


def _read(root: Path) -> dict[str, FileFacts]:
    """What the record says has arrived; nothing, and a warning, where it is broken: the files are then looked at again."""
    file = root / RECORD
    try:
        record: dict[str, FileFacts] = json.loads(file.read_bytes())
        if not all(_is_facts(facts) for facts in record.values()):
            raise ValueError("it holds other things than sizes, hashes and addresses")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        log.warning(f"{file} cannot be read ({error}): the files are looked at again")
        return {}
    return record


def _is_facts(facts: object) -> bool:
    if not isinstance(facts, dict):
        return False
    size, words = facts.get("size", ""), (facts.get("sha256", 0), facts.get("url", 0))
    return (size is None or isinstance(size, int)) and all(word is None or isinstance(word, str) for word in words)


def _note(root: Path, record: dict[str, FileFacts], name: str, facts: FileFacts) -> None:
    """Write down what has arrived, and with it what was found there before."""
    record[name] = facts
    with written_into(root):
        write_whole(root / RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")


def _place(name: str, root: Path) -> Path:
    """Where a file or folder of the set lies, below ``root`` or in one of its folders; where it belongs when it does not."""
    deeper = (path for path in sorted(root.glob(f"*/{name}")) if not path.relative_to(root).parts[0].startswith("."))
    return next((path for path in (root / name, *deeper) if path.exists()), root / name)


def _is_there(file: PublishedFile, root: Path, record: dict[str, FileFacts]) -> bool:
    """Whether nothing is left to do for a file. What somebody has put there is checked, and taken into the record."""
    if file.objects is not None:
        return "objects" in record.get(file.name, {}) and (root / file.name).is_file()
    if file.gives:
        if not all(_place(given, root).exists() for given in file.gives):
            return False
        record.setdefault(file.name, {"size": None, "sha256": None, "url": None})
        return True
    place = _place(file.name, root)
    if not place.is_file():
        return False
    record[file.name] = _facts(file, place, record)
    return True


def _facts(file: PublishedFile, place: Path, record: dict[str, FileFacts]) -> FileFacts:
    """What is known of a file that is there; unless the record knows it, it is read, and has to be the published one."""
    known = record.get(file.name, {})
    if place.stat().st_size == known.get("size"):
        return known
    hint = f"delete {place}, then dvc repro download" if file.urls else file.by_hand
    return {**checked(place, file.size, file.checksums, hint=hint), "url": None}


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
    with written_into(root):
        root.mkdir(parents=True, exist_ok=True)
        try:
            held = lock.acquire(blocking=False)
        except Timeout:
            log.info(f"another process fetches into {root}: waiting for it")
            held = lock.acquire()
    with held:
        yield


def _must_fit(published: Published, form: str, missing: Sequence[PublishedFile], root: Path) -> None:
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
    _need(f"{published.title} ({form})", peak, root)


def _need(what: str, needed: float, root: Path) -> None:
    there = shutil.disk_usage(root).free
    if needed > there:
        raise EnvironmentProblem(
            f"{what} needs about {in_bytes(needed)} in {root}, where {in_bytes(there)} are free: "
            f"{in_bytes(needed - there)} are missing",
            hint="free some space there, or set CSPOPS_DATA_ROOT to a folder on a larger disk",
        )


def _bring(
    file: PublishedFile, published: Published, root: Path, record: dict[str, FileFacts], session: "requests.Session"
) -> None:
    """Fetch a file, if it is not there, and unpack it or fetch what it lists."""
    place = _place(file.name, root)
    if place.is_file():
        facts = _facts(file, place, record)
    else:
        changed = f"see {published.page} whether it has changed, or fetch it yourself and put it there"
        facts = fetch(file.urls, place, session, size=file.size, checksums=file.checksums, hint_wrong_bytes=changed)
    _note(root, record, file.name, facts)
    if file.gives:
        log.info(f"unpacking {file.name}")
        unpack(place, root, file.gives, members=file.members, whole=file.whole)
        if facts.get("url") is not None:
            (root / file.name).unlink(missing_ok=True)
    if file.objects is not None:
        names = listed(place, file.objects.patterns)
        missing = missing_of(names, root)
        if missing:
            log.info(f"{file.name} lists {len(names)} objects, of which {len(missing)} are to be fetched")
            _need(f"{published.title}", file.objects.about * len(missing) / len(names), root)
            fetch_objects(missing, root, file.objects.bases)
        _note(root, record, file.name, {**facts, "objects": len(names)})
