import hashlib
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from loopback import Server, partial, running, status

from cspops.errors import CspopsError, DataError, EnvironmentProblem
from cspops.intake.published.fetching import Patience, Stopped, _GiveUp, _must_promise_the_file, fetch

DATA = random.Random(0).randbytes(200_000)
OTHER = random.Random(1).randbytes(200_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
MD5 = {"md5": hashlib.md5(DATA).hexdigest()}


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def patience(slept: list[float]) -> Patience:
    return Patience(attempts=3, connect=20.0, read=20.0, sleep=slept.append)


def get(urls: str | list[str], folder: Path, patience: Patience, **how: Any) -> bytes:
    """Fetches `f.bin` and sees that nothing is left beside it."""
    target = folder / "f.bin"
    got = fetch([urls] if isinstance(urls, str) else urls, target, patience=patience, **how)
    data = target.read_bytes()
    assert got.size == len(data) and got.sha256 == hashlib.sha256(data).hexdigest()
    assert [file.name for file in folder.iterdir()] == ["f.bin"]
    return data


def fails(urls: str | list[str], folder: Path, patience: Patience, kind: type[CspopsError], **how: Any) -> str:
    """The sentence of the error; nothing lies under the final name."""
    with pytest.raises(kind) as caught:
        fetch([urls] if isinstance(urls, str) else urls, folder / "f.bin", patience=patience, **how)
    assert type(caught.value) is kind and not (folder / "f.bin").exists()
    assert caught.value.hint is not None and "f.bin" in caught.value.message
    return caught.value.message


def test_a_file_arrives_with_one_request(server: Server, tmp_path: Path, patience: Patience) -> None:
    url = server.serve("/f", DATA)
    assert get(url, tmp_path, patience, size=len(DATA), checksums=MD5) == DATA
    assert [(asked.range, asked.encoding) for asked in server.asked] == [(None, "identity")]


def test_a_cut_connection_goes_on_where_it_broke(
    server: Server, tmp_path: Path, patience: Patience, slept: list[float]
) -> None:
    """Cut after 60 000 bytes each time: 200 000 bytes take four requests, from 0, 60 000, 120 000 and 180 000."""
    lines: list[str] = []
    url = server.serve("/f", DATA, cut_after=60_000)
    assert get(url, tmp_path, patience, report=lines.append) == DATA
    assert [asked.range for asked in server.asked] == [None, "bytes=60000-", "bytes=120000-", "bytes=180000-"]
    assert [asked.if_range for asked in server.asked] == [None, '"1"', '"1"', '"1"']
    assert slept == [1.0, 1.0, 1.0]  # each attempt brought bytes, so the pause never grows
    assert len(lines) == 3 and "again in 1 s, from byte 60000" in lines[0]


def test_without_progress_the_pauses_double_until_it_gives_up(server: Server, tmp_path: Path, slept: list[float]) -> None:
    url = server.serve("/f", DATA, answers=[status(503)] * 9)
    patience = Patience(attempts=6, pause=1.0, longest_pause=5.0, sleep=slept.append)
    message = fails(url, tmp_path, patience, EnvironmentProblem)
    assert slept == [1.0, 2.0, 4.0, 5.0, 5.0] and "503" in message and "6 times" in message


def test_a_server_error_may_pass(server: Server, tmp_path: Path, patience: Patience, slept: list[float]) -> None:
    url = server.serve("/f", DATA, answers=[status(500), status(429, Retry_After="7")])
    assert get(url, tmp_path, patience) == DATA
    assert slept == [1.0, 7.0]


def test_a_later_run_goes_on_with_the_part(server: Server, tmp_path: Path, patience: Patience) -> None:
    served_url = server.serve("/f", DATA, cut_after=50_000)
    with pytest.raises(KeyboardInterrupt):
        fetch([served_url], tmp_path / "f.bin", patience=Patience(sleep=_interrupt))
    assert (tmp_path / "f.bin.part").read_bytes() == DATA[:50_000] and not (tmp_path / "f.bin").exists()
    server.files["/f"].cut_after = None
    assert get(served_url, tmp_path, patience) == DATA
    assert server.asked[-1].range == "bytes=50000-"


def _interrupt(seconds: float) -> None:
    raise KeyboardInterrupt


def wrong_range(told: str) -> dict[str, Any]:
    return {"answers": [partial(OTHER[:1000], told)]}


FROM_50_000, AGAIN = ["bytes=50000-"], ["bytes=50000-", None]
PARTS: dict[str, tuple[dict[str, Any], bytes, Any, dict[str, Any], list[Any]]] = {
    # how the file is served, the part of it that is there, its validator or whole note, how it is fetched, ranges asked for
    "the file changed, If-Range tells": ({"etag": '"2"', "modified": None}, OTHER[:50_000], '"1"', {}, FROM_50_000),
    "the same ETag": ({}, DATA[:50_000], '"1"', {}, FROM_50_000),
    "a checksum vouches for it": ({}, DATA[:50_000], None, {"checksums": MD5}, FROM_50_000),
    "nothing vouches for it": ({}, DATA[:50_000], None, {}, [None]),
    "wrong bytes cost one more request": ({}, OTHER[:50_000], None, {"checksums": MD5}, AGAIN),
    "whole, of a published size: nothing is asked": ({}, DATA, '"1"', {"size": len(DATA)}, []),
    "whole, as the server's 416 tells": ({}, DATA, '"1"', {}, ["bytes=200000-"]),
    "longer than the file": ({}, DATA + b"x", '"1"', {}, ["bytes=200001-", None]),
    "ranges are ignored": ({"ranges": False}, OTHER[:50_000], '"1"', {}, FROM_50_000),
    "a server may give less than the range": (
        {"answers": [partial(DATA[50_000:120_000], "bytes 50000-119999/200000")]}, DATA[:50_000], '"1"', {},
        ["bytes=50000-", "bytes=120000-"],
    ),
    "a range from the start": (wrong_range("bytes 0-199999/200000"), DATA[:50_000], '"1"', {}, AGAIN),
    "a range from elsewhere": (wrong_range("bytes 70000-199999/200000"), DATA[:50_000], '"1"', {}, AGAIN),
    "an empty range": (wrong_range(""), DATA[:50_000], '"1"', {}, AGAIN),
    "no range of bytes": (wrong_range("lines 1-2/3"), DATA[:50_000], '"1"', {}, AGAIN),
    "an unsatisfied range": (wrong_range("bytes */200000"), DATA[:50_000], '"1"', {}, AGAIN),
    "an empty note": ({}, OTHER[:10], b"", {}, [None]),
    "a note that is a list": ({}, OTHER[:10], b"[]", {}, [None]),
    "a note of nothing": ({}, OTHER[:10], b"{}", {}, [None]),
    "a note of another kind": ({}, OTHER[:10], b'{"url": 1}', {}, [None]),
}  # fmt: skip


@pytest.mark.parametrize("case", PARTS)
def test_a_part_of_an_earlier_run(server: Server, tmp_path: Path, patience: Patience, case: str) -> None:
    """It is gone on with where that is right, and what comes is the file."""
    served, part, note, how, ranges = PARTS[case]
    url = server.serve("/f", DATA, **served)
    (tmp_path / "f.bin.part").write_bytes(part)
    about = note if isinstance(note, bytes) else json.dumps({"url": url, "validator": note}).encode()
    (tmp_path / "f.bin.part.json").write_bytes(about)
    assert get(url, tmp_path, patience, **how) == DATA
    assert [asked.range for asked in server.asked] == ranges


REFUSED: dict[str, tuple[bytes, dict[str, Any], dict[str, Any], type[CspopsError], int]] = {
    # part of what is said: data, how it is served, how it is fetched, the kind of error, requests
    **{
        str(code): (DATA, {"answers": [status(code)] * 3}, {}, EnvironmentProblem, 1) for code in (400, 401, 403, 404, 410, 451)
    },
    "broke after 60000 of 200000 bytes, 3 times": (DATA, {"ranges": False, "cut_after": 60_000}, {}, EnvironmentProblem, 3),
    "another range": (DATA, {"answers": [partial(b"x", "bytes 9-9/200000")] * 9}, {}, EnvironmentProblem, 3),
    "web page": (b"<html>", {"headers": {"Content-Type": "text/html; charset=utf-8"}}, {}, EnvironmentProblem, 1),
    "does not say how long": (DATA, {"length": False}, {}, EnvironmentProblem, 1),
    "more than 1000 bytes came": (DATA * 20, {"length": False}, {"size": 1000}, EnvironmentProblem, 3),
    "has 200000 bytes, not 200001": (OTHER, {}, {"size": 200_001}, DataError, 1),
    f"md5 {hashlib.md5(OTHER).hexdigest()}, not {MD5['md5']}": (OTHER, {}, {"checksums": MD5}, DataError, 1),
    "sha256": (OTHER, {}, {"checksums": {"md5": hashlib.md5(OTHER).hexdigest(), "sha256": SHA256}}, DataError, 1),
    # in pieces they are fetched once more and no further: two rounds of two requests
    "md5": (OTHER, {"cut_after": 150_000}, {"checksums": MD5}, DataError, 4),
}


@pytest.mark.parametrize("says", REFUSED)
def test_what_is_not_the_file_is_refused(server: Server, tmp_path: Path, patience: Patience, says: str) -> None:
    data, served, how, kind, requests_ = REFUSED[says]
    url = server.serve("/f", data, **served)
    assert says in fails(url, tmp_path, patience, kind, hint_wrong_bytes="see", **how)
    assert len(server.asked) == requests_
    assert kind is EnvironmentProblem or list(tmp_path.iterdir()) == []


def test_of_a_known_size_no_length_need_be_told_and_an_empty_file_arrives(
    server: Server, tmp_path: Path, patience: Patience
) -> None:
    assert get(server.serve("/f", DATA, length=False), tmp_path, patience, size=len(DATA)) == DATA
    (tmp_path / "f.bin").unlink()
    assert get(server.serve("/f", b""), tmp_path, patience) == b""


def test_redirects_in_a_circle_are_given_up(server: Server, tmp_path: Path, patience: Patience) -> None:
    url = server.address("/f")
    server.serve("/f", b"", answers=[status(302, Location=url)] * 40)
    assert "redirects" in fails(url, tmp_path, patience, EnvironmentProblem)


def test_last_modified_serves_where_the_etag_is_weak(server: Server, tmp_path: Path, patience: Patience) -> None:
    url = server.serve("/f", DATA, etag='W/"1"', cut_after=150_000)
    assert get(url, tmp_path, patience) == DATA
    assert server.asked[1].if_range == server.files["/f"].modified


def test_redirects_are_followed(server: Server, tmp_path: Path, patience: Patience) -> None:
    there = server.serve("/there", DATA, cut_after=150_000)
    url = server.serve("/f", b"", answers=[status(302, Location=there), status(301, Location=there)])
    assert get(url, tmp_path, patience) == DATA
    assert server.asked[-1].range == "bytes=150000-"


def test_an_encrypted_address_may_not_lead_to_a_plain_one() -> None:
    response = requests.Response()
    response.status_code, response.url = 200, "http://example.org/f"
    with pytest.raises(_GiveUp, match=r"leads to http://example\.org/f, which is not encrypted"):
        _must_promise_the_file(response, "https://example.org/f", "f.bin")


def test_a_slow_server_is_left_after_the_read_timeout(server: Server, tmp_path: Path) -> None:
    """It sends 30 000 bytes and then nothing. What had arrived in whole chunks may be lost; the attempts are counted."""
    url = server.serve("/f", DATA, stall_after=30_000, stall=0.5)
    message = fails(url, tmp_path, Patience(attempts=2, read=0.2, sleep=lambda s: None), EnvironmentProblem)
    assert "fell silent, 2 times" in message


def test_a_server_that_does_not_answer_is_left(tmp_path: Path, patience: Patience) -> None:
    with running() as server:
        url = server.address("/f")
    assert "cannot be reached" in fails(url, tmp_path, patience, EnvironmentProblem)


def test_sizes_count_the_bytes_of_the_file_not_of_an_encoding(server: Server, tmp_path: Path, patience: Patience) -> None:
    """Some servers label a .tar.gz with Content-Encoding: gzip. The bytes on the wire are the file."""
    import gzip

    packed = gzip.compress(DATA, mtime=0)
    url = server.serve("/f", packed, headers={"Content-Encoding": "gzip"})
    fetch([url], tmp_path / "f.tar.gz", size=len(packed), patience=patience)
    assert (tmp_path / "f.tar.gz").read_bytes() == packed
    assert "encoded (gzip) unasked" in fails(url, tmp_path, patience, EnvironmentProblem)


def test_chunks_are_a_length_too(server: Server, tmp_path: Path, patience: Patience) -> None:
    url = server.serve("/f", DATA, chunked=True, etag=None, modified=None)
    assert get(url, tmp_path, patience) == DATA
    server.files["/f"].cut_after = 10_000
    (tmp_path / "f.bin").unlink()
    assert "connection broke" in fails(url, tmp_path, patience, EnvironmentProblem)


def test_the_next_mirror_is_tried(server: Server, tmp_path: Path, patience: Patience) -> None:
    urls = [server.address("/none"), server.serve("/wrong", OTHER), server.serve("/right", DATA), server.serve("/more", DATA)]
    assert get(urls, tmp_path, patience, checksums=MD5) == DATA
    assert [asked.path for asked in server.asked] == ["/none", "/wrong", "/right"]


def test_the_next_mirror_goes_on_with_the_bytes_when_a_checksum_will_tell(
    server: Server, tmp_path: Path, patience: Patience
) -> None:
    cut = server.serve("/cut", DATA, cut_after=60_000, ranges=False)
    whole = server.serve("/whole", DATA)
    assert get([cut, whole], tmp_path, patience, checksums=MD5) == DATA
    assert (server.asked[-1].path, server.asked[-1].range, server.asked[-1].if_range) == ("/whole", "bytes=60000-", None)


def test_without_a_checksum_mirrors_are_not_mixed(server: Server, tmp_path: Path, patience: Patience) -> None:
    cut = server.serve("/cut", OTHER, cut_after=60_000, ranges=False)
    whole = server.serve("/whole", DATA)
    assert get([cut, whole], tmp_path, patience) == DATA
    assert server.asked[-1].range is None


def test_all_mirrors_failed_names_each(server: Server, tmp_path: Path, patience: Patience) -> None:
    urls = [server.address("/none"), server.serve("/busy", DATA, answers=[status(503)] * 9)]
    message = fails(urls, tmp_path, patience, EnvironmentProblem)
    assert f"{urls[0]}: 404" in message and f"{urls[1]}: 503" in message


def test_a_folder_that_cannot_be_made_is_an_error_of_this_machine(server: Server, tmp_path: Path, patience: Patience) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentProblem, match="cannot be written") as caught:
        fetch([server.serve("/f", DATA)], tmp_path / "file" / "f.bin", patience=patience)
    assert "CSPOPS_DATA_ROOT" in (caught.value.hint or "") and server.asked == []


def test_another_thread_may_stop_it(server: Server, tmp_path: Path, patience: Patience) -> None:
    url, stopped = server.serve("/f", DATA), threading.Event()
    stopped.set()
    with pytest.raises(Stopped):
        fetch([url], tmp_path / "f.bin", patience=patience, stopped=stopped)
    assert server.asked == []
