import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
from loopback import Server, partial, running, status

from cspops.errors import CspopsError, DataError, EnvironmentProblem
from cspops.intake.published import fetching
from cspops.intake.published.fetching import fetch, patient_session

DATA = random.Random(0).randbytes(200_000)
OTHER = random.Random(1).randbytes(200_000)
MD5 = {"md5": hashlib.md5(DATA).hexdigest()}
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetching, "ATTEMPTS", 3)
    monkeypatch.setattr(fetching, "PAUSE", 0)
    with running() as server:
        yield server


def get(urls: str | list[str], folder: Path, **how: Any) -> bytes:
    """Fetches `f.bin` and sees that nothing is left beside it."""
    urls, target = [urls] if isinstance(urls, str) else urls, folder / "f.bin"
    with patient_session() as session:
        facts = fetch(urls, target, session, **how)
    data = target.read_bytes()
    assert facts.pop("url") in urls and facts == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert [file.name for file in folder.iterdir()] == ["f.bin"]
    return data


def fails(urls: str | list[str], folder: Path, kind: type[CspopsError], **how: Any) -> str:
    """The sentence of the error; nothing lies under the final name."""
    with pytest.raises(kind) as caught:
        get(urls, folder, **how)
    assert type(caught.value) is kind and not (folder / "f.bin").exists()
    assert caught.value.hint is not None and "f.bin" in caught.value.message
    return caught.value.message


def left_part(folder: Path, data: bytes, url: str, version: str = '"1"') -> None:
    (folder / "f.bin.part").write_bytes(data)
    (folder / "f.bin.part.version").write_text(f"{url}\n{version}\n")


def test_a_file_arrives_with_one_request(server: Server, tmp_path: Path) -> None:
    assert get(server.serve("/f", DATA), tmp_path, size=len(DATA), checksums=MD5) == DATA
    assert [(asked.range, asked.encoding) for asked in server.asked] == [(None, "identity")]


ARRIVES: dict[str, tuple[dict[str, Any], int]] = {
    "empty": ({"data": b""}, 1),
    "chunked": ({"chunked": True}, 1),
    "busy at first": ({"answers": [status(500), status(429, Retry_After="0")]}, 3),
    "its bytes are called an encoding": ({"headers": {"Content-Encoding": "gzip"}}, 1),
    "its date is its version": ({"etag": None, "cut_after": 150_000}, 2),
}
"""What a server does, and how many requests it takes."""


@pytest.mark.parametrize("case", ARRIVES)
def test_a_file_arrives_all_the_same(server: Server, tmp_path: Path, case: str) -> None:
    how, requests_made = ARRIVES[case]
    url = server.serve("/f", **{"data": DATA, **how})
    assert get(url, tmp_path) == how.get("data", DATA) and len(server.asked) == requests_made


def test_a_cut_connection_goes_on_where_it_broke(server: Server, tmp_path: Path, said: list[str]) -> None:
    """Cut after 40 000 bytes each time: 200 000 bytes take five requests, more than the attempts without progress."""
    url = server.serve("/f", DATA, cut_after=40_000)
    assert get(url, tmp_path) == DATA
    assert [asked.range for asked in server.asked] == [None, *(f"bytes={n}0000-" for n in (4, 8, 12, 16))]
    assert [asked.if_range for asked in server.asked] == [None, *['"1"'] * 4]
    assert len(said) == 4 and "again, from byte 40000" in said[0]


def test_pauses_double_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "ATTEMPTS", 9)
    retries, pauses = fetching._retries(), []
    for _ in range(8):
        retries = retries.increment("GET", "/")
        pauses.append(retries.get_backoff_time())
    assert pauses == [0, 2, 4, 8, 16, 32, 60, 60]


Answer = Callable[[], dict[str, Any]]
REFUSED: dict[str, tuple[Answer, str, int]] = {
    **{str(code): (lambda code=code: {"answers": [status(code)]}, str(code), 1) for code in (400, 403, 404, 410)},
    "busy for ever": (lambda: {"answers": [status(503)] * 9}, "503", 3),
    "redirects in a circle": (lambda: {"answers": [status(302, Location="/f")] * 40}, "redirects", 31),
    "cuts, and takes no ranges": (lambda: {"ranges": False, "cut_after": 60_000}, "60000 bytes read", 3),
    "cuts chunks": (lambda: {"chunked": True, "etag": None, "modified": None, "cut_after": 10_000}, "bytes read", 3),
    "no length": (lambda: {"length": False}, "does not say how long", 1),
}
"""What a server does, what is said of it, and after how many requests (30 redirects are followed)."""


@pytest.mark.parametrize("case", REFUSED)
def test_an_address_is_given_up(server: Server, tmp_path: Path, case: str) -> None:
    how, told, requests_made = REFUSED[case]
    url = server.serve("/f", DATA, **how())
    message = fails(url, tmp_path, EnvironmentProblem)
    assert told in message and url in message and len(server.asked) == requests_made


def test_a_server_that_falls_silent_or_does_not_answer_is_left(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT", (20.0, 0.2))
    assert "timed out" in fails(server.serve("/f", DATA, stall_after=30_000, stall=0.5), tmp_path, EnvironmentProblem)
    with running() as gone:
        url = gone.address("/f")
    assert "refused" in fails(url, tmp_path, EnvironmentProblem)


def test_a_later_run_goes_on_with_the_part(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.serve("/f", DATA, cut_after=50_000)

    def interrupt(retries: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("urllib3.Retry.sleep", interrupt)
        get(url, tmp_path)
    assert (tmp_path / "f.bin.part").read_bytes() == DATA[:50_000] and not (tmp_path / "f.bin").exists()
    server.files["/f"].cut_after = None
    assert get(url, tmp_path) == DATA and server.asked[-1].range == "bytes=50000-"


PARTS: dict[str, tuple[bytes, str, dict[str, Any], list[str | None]]] = {
    "the beginning": (DATA[:50_000], '"1"', {}, ["bytes=50000-"]),
    "of an older version": (OTHER[:50_000], '"0"', {}, ["bytes=50000-"]),
    "of a server that takes no ranges": (OTHER[:50_000], '"1"', {"ranges": False}, ["bytes=50000-"]),
    "of an unknown version": (OTHER[:50_000], "", {}, [None]),
    "whole": (DATA, '"1"', {}, ["bytes=200000-"]),
}
"""What a kill left, its version, how the server is, and what is asked for."""


@pytest.mark.parametrize("case", PARTS)
def test_a_part_that_was_left(server: Server, tmp_path: Path, case: str) -> None:
    part, version, how, ranges = PARTS[case]
    url = server.serve("/f", DATA, **how)
    left_part(tmp_path, part, url, version)
    assert get(url, tmp_path) == DATA and [asked.range for asked in server.asked] == ranges


def test_of_a_whole_part_of_known_size_nothing_is_asked(server: Server, tmp_path: Path) -> None:
    url = server.serve("/f", DATA)
    left_part(tmp_path, DATA, url)
    assert get(url, tmp_path, size=len(DATA)) == DATA and server.asked == []


def test_a_part_from_elsewhere_or_with_a_broken_note_is_dropped(server: Server, tmp_path: Path) -> None:
    url = server.serve("/f", DATA)
    left_part(tmp_path, OTHER[:50_000], "https://example.org/f")
    assert get(url, tmp_path) == DATA
    (tmp_path / "f.bin.part").write_bytes(OTHER[:10])
    (tmp_path / "f.bin.part.version").write_bytes(b"\xff")
    assert get(url, tmp_path) == DATA and [asked.range for asked in server.asked] == [None, None]


@pytest.mark.parametrize(
    ("part", "answer", "told"),
    [
        (DATA[:50_000], partial(OTHER[:1000], "bytes 0-199999/200000"), "another range"),
        (DATA[:50_000], partial(OTHER[:1000], "bytes 70000-70999/200000"), "another range"),
        (DATA[:50_000], partial(DATA[50_000:120_000], "bytes 50000-119999/200000"), "another range"),
        (DATA[:50_000], partial(OTHER[:1000], ""), "another range"),
        (DATA + b"x", None, "416"),
    ],
)
def test_a_range_that_is_not_the_rest_is_not_written(
    server: Server, tmp_path: Path, part: bytes, answer: Any, told: str
) -> None:
    """The part is dropped, so that the next run begins anew."""
    url = server.serve("/f", DATA, answers=[answer] if answer else [])
    left_part(tmp_path, part, url)
    assert told in fails(url, tmp_path, EnvironmentProblem)
    assert get(url, tmp_path) == DATA


def test_a_range_that_nobody_asked_for_is_no_file(server: Server, tmp_path: Path) -> None:
    url = server.serve("/f", DATA, answers=[partial(DATA[:10], "bytes 0-9/10")])
    assert "206" in fails(url, tmp_path, EnvironmentProblem)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "size": ({"size": 200_001}, "has 200000 bytes, the published file 200001"),
    "md5": ({"checksums": MD5}, f"f.bin has md5 {hashlib.md5(OTHER).hexdigest()}, not {MD5['md5']}"),
    "one of two": ({"checksums": {"md5": hashlib.md5(OTHER).hexdigest(), "sha256": SHA256}}, "sha256"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("how", [{}, {"cut_after": 150_000}, {"chunked": True}])
def test_wrong_bytes_are_no_file(server: Server, tmp_path: Path, case: str, how: dict[str, Any]) -> None:
    published, told = WRONG[case]
    url = server.serve("/f", OTHER, **how)
    assert told in fails(url, tmp_path, DataError, hint_wrong_bytes="see", **published)
    assert list(tmp_path.iterdir()) == []


def test_the_next_mirror_is_tried_from_its_start(server: Server, tmp_path: Path) -> None:
    cut = server.serve("/cut", OTHER, cut_after=60_000, ranges=False)
    urls = [server.address("/none"), cut, server.serve("/wrong", OTHER), server.serve("/right", DATA), server.address("/more")]
    assert get(urls, tmp_path, checksums=MD5) == DATA
    assert [asked.path for asked in server.asked] == ["/none", *["/cut"] * 3, "/wrong", "/right"]
    assert server.asked[-1].range is None


def test_all_mirrors_failed_names_each(server: Server, tmp_path: Path) -> None:
    urls = [server.address("/none"), server.serve("/busy", DATA, answers=[status(503)] * 9)]
    message = fails(urls, tmp_path, EnvironmentProblem)
    assert f"{urls[0]}: 404" in message and f"{urls[1]}: 503" in message


def test_redirects_are_followed(server: Server, tmp_path: Path) -> None:
    there = server.serve("/there", DATA, cut_after=150_000)
    url = server.serve("/f", b"", answers=[status(302, Location=there), status(301, Location=there)])
    assert get(url, tmp_path) == DATA and server.asked[-1].range == "bytes=150000-"


@pytest.mark.parametrize("hops", [["http://a.org/f"], ["http://a.org/f", "https://example.org/g"]])
def test_an_encrypted_address_may_not_lead_to_a_plain_one(tmp_path: Path, hops: list[str]) -> None:
    class Session:
        def get(self, url: str, **how: object) -> requests.Response:
            response = requests.Response()
            response.raw, response.status_code, response.url = SimpleNamespace(close=lambda: None), 200, hops[-1]
            response.history = [cast(requests.Response, SimpleNamespace(url=hop)) for hop in hops[:-1]]
            return response

    with pytest.raises(EnvironmentProblem, match="leads to an address that is not encrypted"):
        fetch(["https://example.org/f"], tmp_path / "f.bin", cast(requests.Session, Session()))


def test_a_folder_that_cannot_be_made_is_an_error_of_this_machine(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentProblem, match="cannot be written"), patient_session() as session:
        fetch([server.serve("/f", DATA)], tmp_path / "file" / "f.bin", session)
    assert server.asked == []
