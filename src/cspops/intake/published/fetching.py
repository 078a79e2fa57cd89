"""One file from the network: resumed where a connection broke, held to its size and checksums, whole or not there.

A part that is left goes on in a later run. HTTP: RFC 9110, sections 13.1.5 (If-Range), 14.4 (Content-Range), 15.5.17 (416).
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cspops.errors import DataError, EnvironmentProblem
from cspops.intake.published.part import Expected, Fetched, Part
from cspops.progress import Meter

if TYPE_CHECKING:
    from requests import Response, Session

log = logging.getLogger(__name__)


CHUNK = 1 << 17
UNKNOWN = Expected()
AGAIN = "dvc repro download: it goes on where it stopped"


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for. Seconds."""

    attempts: int = 6
    """In a row, without a byte beyond those there were."""
    connect: float = 15.0
    read: float = 60.0
    """Without a byte."""
    pause: float = 1.0
    """After the first failure; doubled after each further one."""
    longest_pause: float = 60.0
    sleep: Callable[[float], object] = time.sleep
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set by another thread to end the waiting, and the fetching."""


class Stopped(Exception):
    """`Patience.stopped` was set; the part is kept."""


class _GiveUp(Exception):
    """This address is of no use."""

    def __init__(self, reason: str, *, wrong_bytes: bool = False) -> None:
        super().__init__(reason)
        self.wrong_bytes = wrong_bytes


class _TryAgain(Exception):
    """The next attempt may do better."""

    def __init__(self, reason: str, *, wait: float | None = None, from_zero: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.from_zero = wait, from_zero


def fetch(
    urls: Sequence[str],
    target: Path,
    expected: Expected = UNKNOWN,
    *,
    shown: bool = True,
    patience: Patience | None = None,
    session: "Session | None" = None,
    hint_wrong_bytes: str = AGAIN,
) -> Fetched:
    """Fetch ``target`` from the first of ``urls`` that gives it whole.

    Args:
        urls: mirrors, in order.
        expected: its size and checksums, where published.
        shown: whether anything is said of how it goes.
        hint_wrong_bytes: the next command when a mirror gave wrong bytes.

    Raises:
        DataError: a mirror gave other bytes than published, and no other one the right ones.
        EnvironmentProblem: no mirror gave the file, or it cannot be written.
        Stopped: see ``patience.stopped``.
    """
    import requests

    patience = patience or Patience()
    own = requests.Session() if session is None else None
    reasons: dict[str, _GiveUp] = {}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Part(target, expected)
        try:
            with Meter(target.name, expected.size, shown=shown) as meter:
                for url in urls:
                    job = _Job(url, part, patience, session or own, meter, shown)
                    try:
                        job.run()
                    except _GiveUp as trouble:
                        reasons[url] = trouble
                        if trouble.wrong_bytes:
                            part.discard()
                    else:
                        return part.finish(url)
        finally:
            part.close()
    except OSError as error:
        raise EnvironmentProblem(
            f"{target} cannot be written: {error.strerror or error}",
            hint="free some space there, or set CSPOPS_DATA_ROOT to another folder",
        ) from None
    finally:
        if own is not None:
            own.close()
    told = "; ".join(f"{url}: {reason}" for url, reason in reasons.items())
    if any(reason.wrong_bytes for reason in reasons.values()):
        raise DataError(f"{target.name} is not to be had as published: {told}", hint=hint_wrong_bytes)
    raise EnvironmentProblem(f"{target.name} is not to be had: {told}", hint=AGAIN)


@dataclass
class _Job:
    """One mirror, tried until it has given the file or been given up."""

    url: str
    part: Part
    patience: Patience
    session: Any
    meter: Meter
    shown: bool
    furthest: int = 0
    failures: int = 0
    pieces_failed: bool = False

    def run(self) -> None:
        part, patience = self.part, self.patience
        self.furthest = part.length if part.may_go_on(self.url) else 0
        while True:
            if self.patience.stopped.is_set():
                raise Stopped
            try:
                self.attempt()
                return
            except _TryAgain as trouble:
                if trouble.from_zero:
                    part.from_zero()
                self.failures = 1 if part.length > self.furthest else self.failures + 1
                self.furthest = max(self.furthest, part.length)
                if self.failures >= patience.attempts:
                    raise _GiveUp(f"{trouble}, {self.failures} times") from None
                wait = patience.pause * 2 ** (self.failures - 1) if trouble.wait is None else trouble.wait
                wait = min(wait, patience.longest_pause)
                if self.shown:
                    log.info(f"{part.target.name}: {trouble}; again in {wait:.0f} s, from byte {part.length}")
                patience.sleep(wait)

    def attempt(self) -> None:
        """Ask once, and write what comes. Returns when the part is whole and right."""
        part = self.part
        headers = {"Accept-Encoding": "identity"}  # ranges and checksums count the bytes of the file
        asked_from = part.length if part.may_go_on(self.url) else 0
        if asked_from and asked_from == part.size:
            self.check()
            return
        if asked_from:
            headers["Range"] = f"bytes={asked_from}-"
            if part.url == self.url and part.validator is not None:
                headers["If-Range"] = part.validator
        with self.answer(headers) as response:
            total = self.whole_length(response, asked_from)
            if total is not None and part.size is not None and total != part.size:
                raise _GiveUp(f"has {total} bytes, not {part.size}", wrong_bytes=True)
            if response.status_code == 206:
                part.resumed = True
            elif response.status_code == 200:
                part.from_zero(self.url, _validator(response))
            limit = part.size if total is None else total
            self.meter.to(part.length, limit)
            for block in _blocks(response, total) if response.status_code != 416 else ():
                part.write(block)
                self.meter.to(part.length)
                if self.patience.stopped.is_set():
                    raise Stopped
                if limit is not None and part.length > limit:
                    raise _TryAgain(f"more than {limit} bytes came", from_zero=True)
        if total is not None and part.length < total:
            raise _TryAgain(f"the connection broke after {part.length} of {total} bytes")
        self.check()

    def answer(self, headers: Mapping[str, str]) -> "Response":
        """The response, when its status and its headers promise the file."""
        from requests import exceptions

        patience = self.patience
        try:
            response: Response = self.session.get(
                self.url, headers=headers, stream=True, timeout=(patience.connect, patience.read)
            )
        except exceptions.ConnectTimeout:
            raise _TryAgain(f"no answer within {patience.connect:g} s") from None
        except exceptions.Timeout:
            raise _TryAgain(f"no byte for {patience.read:g} s") from None
        except (exceptions.SSLError, exceptions.TooManyRedirects, ValueError) as error:
            raise _GiveUp(_shortened(error)) from None
        except exceptions.RequestException as error:
            raise _TryAgain(f"cannot be reached ({_shortened(error)})") from None
        try:
            _must_promise_the_file(response, self.url, self.part.target.name)
        except BaseException:
            response.close()
            raise
        return response

    def whole_length(self, response: "Response", asked_from: int) -> int | None:
        """The size of the whole file as the server tells it, once the range is the one that was asked for."""
        told = response.headers.get("Content-Range", "")
        if response.status_code == 416:
            match = re.fullmatch(r"bytes \*/(\d+)", told)
            if match and asked_from and int(match[1]) == self.part.length:
                return self.part.length
            raise _TryAgain("416: it has no such range", from_zero=True)
        if response.status_code == 206:
            match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", told)
            if not match or not asked_from or int(match[1]) != asked_from:
                raise _TryAgain(f"another range came than was asked for ({told or 'not named'})", from_zero=True)
            return int(match[2]) + 1 if match[3] == "*" else int(match[3])
        length = response.headers.get("Content-Length", "")
        if length.isdecimal():
            return int(length)
        chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        if not chunked and self.part.size is None and not self.part.checksums:
            raise _GiveUp("does not say how long the file is, so that a cut could not be seen")
        return None

    def check(self) -> None:
        wrong = self.part.wrong()
        if wrong is None:
            return
        if self.part.resumed and not self.pieces_failed:
            self.pieces_failed, self.furthest, self.failures = True, 0, 0
            raise _TryAgain(f"the pieces do not make the published file ({wrong})", from_zero=True)
        raise _GiveUp(wrong, wrong_bytes=True)


def _must_promise_the_file(response: "Response", url: str, name: str) -> None:
    status = response.status_code
    if status in (408, 425, 429) or status >= 500:
        after = response.headers.get("Retry-After", "")
        raise _TryAgain(f"{status} {response.reason}", wait=float(after) if after.isdecimal() else None)
    if status not in (200, 206, 416):
        raise _GiveUp(f"{status} {response.reason}")
    if url.startswith("https:") and not response.url.startswith("https:"):
        raise _GiveUp(f"leads to {response.url}, which is not encrypted")
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    # Some servers call a .gz file itself an encoding; its bytes as they come are the file.
    if encoding != "identity" and not (encoding in ("gzip", "x-gzip") and name.endswith((".gz", ".tgz"))):
        raise _GiveUp(f"sends it encoded ({encoding}) unasked")
    if response.headers.get("Content-Type", "").startswith("text/html") and not name.endswith((".html", ".htm")):
        raise _GiveUp("sends a web page instead")


def _validator(response: "Response") -> str | None:
    """What names this version of the file; a weak ETag does not vouch for the bytes."""
    etag = response.headers.get("ETag", "")
    if etag.startswith('"'):
        return str(etag)
    modified = response.headers.get("Last-Modified")
    return str(modified) if modified else None


def _blocks(response: "Response", total: int | None) -> Iterator[bytes]:
    """What comes, as it comes. Ends early where the connection breaks, if ``total`` lets that be seen."""
    from urllib3 import exceptions

    try:
        yield from response.raw.stream(CHUNK, decode_content=False)
    except exceptions.ReadTimeoutError:
        raise _TryAgain("the server fell silent") from None
    except (exceptions.HTTPError, OSError) as error:
        if total is None:
            raise _TryAgain(f"the connection broke ({_shortened(error)})") from None


def _shortened(error: Exception) -> str:
    """The innermost reason, on one short line."""
    reason: BaseException = error
    while reason.__cause__ is not None or reason.__context__ is not None:
        reason = reason.__cause__ or reason.__context__ or reason
    text = " ".join(str(reason).split()) or type(reason).__name__
    return text if len(text) <= 100 else f"{text[:97]}..."
