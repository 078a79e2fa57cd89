"""One file from the network: resumed where a connection broke, held to its size and checksums, whole or not there.

The bytes that have arrived are in `NAME.part`, and a later run goes on from there; `NAME.part.version` holds the address
they are from and what named their version there (If-Range: RFC 9110, section 13.1.5).
"""

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cspops.errors import DataError, EnvironmentProblem, written_into
from cspops.files import sync
from cspops.intake.rows import FileFacts
from cspops.progress import Meter

if TYPE_CHECKING:
    from requests import Response, Session
    from urllib3 import Retry

log = logging.getLogger(__name__)

CHUNK = 1 << 17
AGAIN = "dvc repro download: it goes on where it stopped"
TIMEOUT = (15.0, 60.0)
"""Seconds for a connection, and without a byte."""
ATTEMPTS = 6
"""In a row, without a byte beyond those there were."""
PAUSE = 1.0
"""Seconds; doubled after each further failure."""
LONGEST_PAUSE = 60
"""Seconds, whatever the server asks for."""
NONE: Mapping[str, str] = {}


def _retries() -> "Retry":
    from urllib3 import Retry

    return Retry(
        ATTEMPTS - 1,
        backoff_factor=PAUSE,
        backoff_max=LONGEST_PAUSE,
        retry_after_max=LONGEST_PAUSE,
        status_forcelist=[408, 425, 429, 500, 502, 503, 504],
        raise_on_status=False,
    )


def patient_session(connections: int = 1) -> "Session":
    """Return a session that asks a server again that cannot be reached or is busy."""
    from requests import Session
    from requests.adapters import HTTPAdapter

    session = Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=connections, max_retries=_retries()))
    return session


def fetch(
    urls: Sequence[str],
    target: Path,
    session: "Session",
    *,
    size: int | None = None,
    checksums: Mapping[str, str] = NONE,
    shown: bool = True,
    hint_wrong_bytes: str = AGAIN,
) -> FileFacts:
    """Fetch ``target`` from the first of the mirrors ``urls`` that gives it whole, and return its size, sha256 and address.

    Args:
        size: as published; so are the checksums, hexadecimal by algorithm.
        shown: whether anything is said of how it goes.
        hint_wrong_bytes: the next command when a mirror gave wrong bytes.

    Raises:
        DataError: a mirror gave other bytes than published, and no other one the right ones.
        EnvironmentProblem: no mirror gave the file, or it cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    troubles: dict[str, type] = {}
    with written_into(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        for url in urls:
            try:
                with Meter(target.name, size, shown=shown) as meter:
                    _download(url, part, session, size, meter, shown)
                facts = checked(part, size, checksums, shown=shown)
            except (DataError, EnvironmentProblem) as error:
                if isinstance(error, DataError):
                    part.unlink(missing_ok=True)
                    _version_file(part).unlink(missing_ok=True)
                troubles[f"{url}: {error.message}"] = type(error)
                continue
            sync(part)
            os.replace(part, target)
            _version_file(part).unlink(missing_ok=True)
            return {**facts, "url": url}
    told = f"{target.name} is not to be had: {'; '.join(troubles)}"
    raise DataError(told, hint=hint_wrong_bytes) if DataError in troubles.values() else EnvironmentProblem(told, hint=AGAIN)


def checked(
    file: Path, size: int | None, checksums: Mapping[str, str], *, hint: str | None = None, shown: bool = True
) -> FileFacts:
    """Return size and sha256 of a file. DataError, with ``hint``, when they are not the published ones."""
    name, found = str(file).removesuffix(".part"), file.stat().st_size
    if size not in (None, found):
        raise DataError(f"{name} has {found} bytes, the published file {size}", hint=hint)
    hashes = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in {"sha256", *checksums}}
    with file.open("rb") as opened, Meter(f"checking {Path(name).name}", found, shown=shown) as meter:
        for block in meter.each(iter(lambda: opened.read(1 << 20), b""), len):
            for digest in hashes.values():
                digest.update(block)
    for algorithm, published in checksums.items():
        if hashes[algorithm].hexdigest() != published:
            raise DataError(f"{name} has {algorithm} {hashes[algorithm].hexdigest()}, not {published}", hint=hint)
    return {"size": found, "sha256": hashes["sha256"].hexdigest()}


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _download(url: str, part: Path, session: "Session", size: int | None, meter: Meter, shown: bool) -> None:
    """Write all that ``url`` gives to ``part``, asking again from the last byte on while each attempt brings more."""
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    retries, furthest = _retries(), 0
    while True:
        begun, version = _begun(part, url)
        if begun and begun == size:
            return
        headers = {"Accept-Encoding": "identity"}  # ranges and checksums count the bytes of the file
        if begun:
            headers |= {"Range": f"bytes={begun}-", "If-Range": version}
        try:
            with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
                if _is_whole(response, begun):
                    return
                total = _promised(response, part, url, begun, size)
                with part.open("ab" if response.status_code == 206 else "wb") as out:
                    if response.status_code == 200:
                        version = response.headers.get("ETag") or response.headers.get("Last-Modified", "")
                        _version_file(part).write_text(f"{url}\n{version}\n", encoding="utf-8")
                    meter.to(out.tell(), total)
                    try:
                        for block in response.raw.stream(CHUNK, decode_content=False):
                            out.write(block)
                            meter.to(out.tell(), total)
                        return
                    except HTTPError as error:
                        trouble = error
            here = part.stat().st_size
            retries = (_retries() if here > furthest else retries).increment("GET", url, error=trouble)
        except (RequestException, HTTPError) as error:
            raise EnvironmentProblem(_shortened(error)) from None
        furthest = max(furthest, here)
        if shown:
            log.info(f"{meter.name}: {_shortened(trouble)}; again, from byte {here}")
        retries.sleep()


def _begun(part: Path, url: str) -> tuple[int, str]:
    """Return how many bytes of ``part`` are from ``url``, and what names their version there."""
    try:
        of, version, *_ = _version_file(part).read_text(encoding="utf-8").split("\n")
        return (part.stat().st_size, version) if of == url and version else (0, "")
    except (OSError, ValueError):
        return 0, ""


def _is_whole(response: "Response", begun: int) -> bool:
    """Whether the server says that the bytes there are are all of the file."""
    return begun > 0 and response.status_code == 416 and response.headers.get("Content-Range") == f"bytes */{begun}"


def _promised(response: "Response", part: Path, url: str, begun: int, size: int | None) -> int | None:
    """Return the length of the whole file, once the answer promises it or the rest of it; null when chunks end it."""
    if url.startswith("https:") and not all(hop.url.startswith("https:") for hop in (*response.history, response)):
        raise EnvironmentProblem("leads to an address that is not encrypted")
    if response.status_code not in ((200, 206) if begun else (200,)):
        if response.status_code == 416:
            part.unlink()
        raise EnvironmentProblem(f"{response.status_code} {response.reason}")
    length: int | None = response.raw.length_remaining
    if length is None and not response.raw.chunked:
        raise EnvironmentProblem("does not say how long the file is, so that a cut could not be seen")
    total = None if length is None else length + (begun if response.status_code == 206 else 0)
    told = response.headers.get("Content-Range", "")
    if response.status_code == 206 and (total is None or told != f"bytes {begun}-{total - 1}/{total}"):
        part.unlink()
        raise EnvironmentProblem(f"another range came than was asked for ({told or 'not named'})")
    if None not in (size, total) and size != total:
        raise DataError(f"has {total} bytes, the published file {size}")
    return total


def _shortened(error: BaseException) -> str:
    """The innermost reason, on one short line."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 100 else f"{text[:97]}..."
