import hashlib
import json
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from loopback import Server, partial, running, status

from cspops.errors import CspopsError, DataError, EnvironmentProblem
from cspops.intake.published.fetching import Patience, Stopped, _GiveUp, _must_promise_the_file, fetch
from cspops.intake.published.part import Expected

DATA = random.Random(0).randbytes(200_000)
OTHER = random.Random(1).randbytes(200_000)
MD5 = {"md5": hashlib.md5(DATA).hexdigest()}
SHA256 = hashlib.sha256(DATA).hexdigest()


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
    assert get(url, tmp_path, patience, expected=Expected(len(DATA), MD5)) == DATA
    assert [(asked.range, asked.encoding) for asked in server.asked] == [(None, "identity")]


def test_an_empty_file_arrives(server: Server, tmp_path: Path, patience: Patience) -> None:
    assert get(server.serve("/f", b""), tmp_path, patience) == b""


def test_a_cut_connection_goes_on_where_it_broke(
    server: Server, tmp_path: Path, patience: Patience, slept: list[float], said: list[str]
) -> None:
    """Cut after 60 000 bytes each time: 200 000 bytes take four requests, from 0, 60 000, 120 000 and 180 000."""
    url = server.serve("/f", DATA, cut_after=60_000)
    assert get(url, tmp_path, patience) == DATA
    assert [asked.range for asked in server.asked] == [None, "bytes=60000-", "bytes=120000-", "bytes=180000-"]
    assert [asked.if_range for asked in server.asked] == [None, '"1"', '"1"', '"1"']
    assert slept == [1.0, 1.0, 1.0]  # each attempt brought bytes, so the pause never grows
    assert len(said) == 3 and "again in 1 s, from byte 60000" in said[0]


def test_without_progress_the_pauses_double_until_it_gives_up(server: Server, tmp_path: Path, slept: list[float]) -> None:
    url = server.serve("/f", DATA, answers=[status(503)] * 9)
    patience = Patience(attempts=6, pause=1.0, longest_pause=5.0, sleep=slept.append)
    message = fails(url, tmp_path, patience, EnvironmentProblem)
    assert slept == [1.0, 2.0, 4.0, 5.0, 5.0] and "503" in message and "6 times" in message


def test_a_server_error_may_pass(server: Server, tmp_path: Path, patience: Patience, slept: list[float]) -> None:
    url = server.serve("/f", DATA, answers=[status(500), status(429, Retry_After="7")])
    assert get(url, tmp_path, patience) == DATA
    assert slept == [1.0, 7.0]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 451])
def test_a_refusal_is_not_asked_twice(server: Server, tmp_path: Path, patience: Patience, code: int) -> None:
    url = server.serve("/f", DATA, answers=[status(code)] * 3)
    assert str(code) in fails(url, tmp_path, patience, EnvironmentProblem)
    assert len(server.asked) == 1 and list(tmp_path.iterdir()) == []


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


def _left_part(folder: Path, data: bytes, url: str, validator: str | None) -> None:
    (folder / "f.bin.part").write_bytes(data)
    (folder / "f.bin.part.json").write_text(json.dumps({"url": url, "validator": validator}))


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(server: Server, tmp_path: Path, patience: Patience) -> None:
    """The ETag of the part is that of the older version: If-Range makes the server send all of the newer one."""
    url = server.serve("/f", OTHER, etag='"2"', modified=None)
    _left_part(tmp_path, DATA[:50_000], url, '"1"')
    assert get(url, tmp_path, patience) == OTHER
    assert [(asked.range, asked.if_range) for asked in server.asked] == [("bytes=50000-", '"1"')]


def test_last_modified_serves_where_the_etag_is_weak(server: Server, tmp_path: Path, patience: Patience) -> None:
    url = server.serve("/f", DATA, etag='W/"1"', cut_after=150_000)
    assert get(url, tmp_path, patience) == DATA
    assert server.asked[1].if_range == server.files["/f"].modified


@pytest.mark.parametrize(
    ("validator", "checksums", "ranges"),
    [(None, {}, [None]), (None, MD5, ["bytes=50000-"]), ('"1"', {}, ["bytes=50000-"])],
)
def test_a_part_that_nothing_vouches_for_is_dropped(
    server: Server, tmp_path: Path, patience: Patience, validator: str | None, checksums: Any, ranges: list[Any]
) -> None:
    url = server.serve("/f", DATA)
    _left_part(tmp_path, DATA[:50_000], url, validator)
    assert get(url, tmp_path, patience, expected=Expected(checksums=checksums)) == DATA
    assert [asked.range for asked in server.asked] == ranges


@pytest.mark.parametrize("about", ["", "[]", "{}", '{"url": 1}'])
def test_a_broken_note_beside_the_part_is_no_note(server: Server, tmp_path: Path, patience: Patience, about: str) -> None:
    url = server.serve("/f", DATA)
    (tmp_path / "f.bin.part").write_bytes(OTHER[:10])
    (tmp_path / "f.bin.part.json").write_text(about)
    assert get(url, tmp_path, patience) == DATA


def test_a_part_with_wrong_bytes_costs_one_more_request(server: Server, tmp_path: Path, patience: Patience) -> None:
    """The part is of another file: the whole fails its md5, is dropped, and the mirror gives it from the start."""
    url = server.serve("/f", DATA)
    _left_part(tmp_path, OTHER[:50_000], url, None)
    assert get(url, tmp_path, patience, expected=Expected(checksums=MD5)) == DATA
    assert [asked.range for asked in server.asked] == ["bytes=50000-", None]


def test_wrong_bytes_in_pieces_are_fetched_once_more_and_no_further(server: Server, tmp_path: Path, patience: Patience) -> None:
    """Each round takes two requests, as the server cuts at 150 000: two rounds."""
    url = server.serve("/f", OTHER, cut_after=150_000)
    assert "md5" in fails(url, tmp_path, patience, DataError, expected=Expected(checksums=MD5))
    assert [asked.range for asked in server.asked] == [None, "bytes=150000-"] * 2


@pytest.mark.parametrize("known", [True, False])
def test_a_part_that_is_whole_already(server: Server, tmp_path: Path, patience: Patience, known: bool) -> None:
    """With a published size nothing is asked; without, the server's 416 tells that the part is as long as the file."""
    url = server.serve("/f", DATA)
    _left_part(tmp_path, DATA, url, '"1"')
    assert get(url, tmp_path, patience, expected=Expected(len(DATA) if known else None)) == DATA
    assert [asked.range for asked in server.asked] == ([] if known else ["bytes=200000-"])


def test_a_part_longer_than_the_file_is_dropped(server: Server, tmp_path: Path, patience: Patience) -> None:
    url = server.serve("/f", DATA)
    _left_part(tmp_path, DATA + b"x", url, '"1"')
    assert get(url, tmp_path, patience) == DATA
    assert [asked.range for asked in server.asked] == ["bytes=200001-", None]


def test_a_server_that_ignores_ranges_is_read_from_the_start(server: Server, tmp_path: Path, patience: Patience) -> None:
    url = server.serve("/f", DATA, ranges=False)
    _left_part(tmp_path, OTHER[:50_000], url, '"1"')
    assert get(url, tmp_path, patience) == DATA
    assert len(server.asked) == 1


def test_a_server_that_ignores_ranges_and_always_cuts_is_given_up(server: Server, tmp_path: Path, patience: Patience) -> None:
    """It never gets beyond the furthest byte, so that its bytes count as no progress: three attempts."""
    url = server.serve("/f", DATA, ranges=False, cut_after=60_000)
    assert "broke after 60000 of 200000 bytes, 3 times" in fails(url, tmp_path, patience, EnvironmentProblem)
    assert len(server.asked) == 3


@pytest.mark.parametrize("told", ["bytes 0-199999/200000", "bytes 70000-199999/200000", "", "lines 1-2/3", "bytes */200000"])
def test_a_range_that_was_not_asked_for_is_not_written(server: Server, tmp_path: Path, patience: Patience, told: str) -> None:
    url = server.serve("/f", DATA, answers=[partial(OTHER[:1000], told)])
    _left_part(tmp_path, DATA[:50_000], url, '"1"')
    assert get(url, tmp_path, patience) == DATA
    assert [asked.range for asked in server.asked] == ["bytes=50000-", None]


def test_wrong_ranges_for_ever_are_given_up(server: Server, tmp_path: Path, patience: Patience) -> None:
    url = server.serve("/f", DATA, answers=[partial(b"x", "bytes 9-9/200000")] * 9)
    assert "another range" in fails(url, tmp_path, patience, EnvironmentProblem)
    assert len(server.asked) == 3


def test_shorter_ranges_than_asked_for_add_up(server: Server, tmp_path: Path, patience: Patience) -> None:
    """A server may give less than the range: 50 000 to 119 999, and then the rest."""
    url = server.serve("/f", DATA, answers=[partial(DATA[50_000:120_000], "bytes 50000-119999/200000")])
    _left_part(tmp_path, DATA[:50_000], url, '"1"')
    assert get(url, tmp_path, patience) == DATA
    assert server.asked[1].range == "bytes=120000-"


def test_redirects_are_followed(server: Server, tmp_path: Path, patience: Patience) -> None:
    there = server.serve("/there", DATA, cut_after=150_000)
    url = server.serve("/f", b"", answers=[status(302, Location=there), status(301, Location=there)])
    assert get(url, tmp_path, patience) == DATA
    assert server.asked[-1].range == "bytes=150000-"


def test_redirects_in_a_circle_are_given_up(server: Server, tmp_path: Path, patience: Patience) -> None:
    url = server.address("/f")
    server.serve("/f", b"", answers=[status(302, Location=url)] * 40)
    assert "redirects" in fails(url, tmp_path, patience, EnvironmentProblem)


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
    fetch([url], tmp_path / "f.tar.gz", expected=Expected(len(packed)), patience=patience)
    assert (tmp_path / "f.tar.gz").read_bytes() == packed
    assert "encoded (gzip) unasked" in fails(url, tmp_path, patience, EnvironmentProblem)


def test_a_web_page_is_not_the_file(server: Server, tmp_path: Path, patience: Patience) -> None:
    url = server.serve("/f", b"<html>log in</html>", headers={"Content-Type": "text/html; charset=utf-8"})
    assert "web page" in fails(url, tmp_path, patience, EnvironmentProblem)


def test_chunks_are_a_length_too(server: Server, tmp_path: Path, patience: Patience) -> None:
    url = server.serve("/f", DATA, chunked=True, etag=None, modified=None)
    assert get(url, tmp_path, patience) == DATA
    server.files["/f"].cut_after = 10_000
    (tmp_path / "f.bin").unlink()
    assert "connection broke" in fails(url, tmp_path, patience, EnvironmentProblem)


def test_without_any_length_a_cut_could_not_be_seen(server: Server, tmp_path: Path, patience: Patience) -> None:
    url = server.serve("/f", DATA, length=False)
    assert "does not say how long" in fails(url, tmp_path, patience, EnvironmentProblem)
    assert get(url, tmp_path, patience, expected=Expected(len(DATA))) == DATA


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        (Expected(200_001), "has 200000 bytes, not 200001"),
        (Expected(checksums=MD5), f"md5 {hashlib.md5(OTHER).hexdigest()}, not {MD5['md5']}"),
        (Expected(checksums={"md5": hashlib.md5(OTHER).hexdigest(), "sha256": SHA256}), "sha256"),
    ],
)
def test_wrong_bytes_are_no_file(server: Server, tmp_path: Path, patience: Patience, expected: Expected, told: str) -> None:
    url = server.serve("/f", OTHER)
    assert told in fails(url, tmp_path, patience, DataError, hint_wrong_bytes="see", expected=expected)
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_published_end_early(server: Server, tmp_path: Path, patience: Patience) -> None:
    """Without a length in the answer, an endless body must not fill the disk."""
    url = server.serve("/f", DATA * 20, length=False)
    assert "more than 1000 bytes came" in fails(url, tmp_path, patience, EnvironmentProblem, expected=Expected(1000))


def test_the_next_mirror_is_tried(server: Server, tmp_path: Path, patience: Patience) -> None:
    urls = [server.address("/none"), server.serve("/wrong", OTHER), server.serve("/right", DATA), server.serve("/more", DATA)]
    assert get(urls, tmp_path, patience, expected=Expected(checksums=MD5)) == DATA
    assert [asked.path for asked in server.asked] == ["/none", "/wrong", "/right"]


def test_the_next_mirror_goes_on_with_the_bytes_when_a_checksum_will_tell(
    server: Server, tmp_path: Path, patience: Patience
) -> None:
    cut = server.serve("/cut", DATA, cut_after=60_000, ranges=False)
    whole = server.serve("/whole", DATA)
    assert get([cut, whole], tmp_path, patience, expected=Expected(checksums=MD5)) == DATA
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
        fetch([url], tmp_path / "f.bin", patience=replace(patience, stopped=stopped))
    assert server.asked == []
