"""Words that json has not become null, wherever the reads cut the file; the same words in texts stay."""

import io
import json

import pytest

from cspops.intake.strict_json import StrictJson

ROWS = [{"lon": float("nan"), "lat": -float("inf"), "x": [float("inf"), 1.5], "name": "NaN, or: Infinity"}] * 7
EXPECTED = [{"lon": None, "lat": None, "x": [None, 1.5], "name": "NaN, or: Infinity"}] * 7


def read(text: bytes, size: int) -> bytes:
    file = StrictJson(io.BytesIO(text))
    parts = []
    while part := file.read(size):
        parts.append(part)
    assert file.read(0) == b""
    return b"".join(parts)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("size", [1, 2, 7, 63, 64, 65, 100, -1])
def test_the_words_are_null_however_the_file_is_cut(size: int, indent: int | None) -> None:
    text = json.dumps(ROWS, indent=indent)
    assert "NaN" in text and "-Infinity" in text
    assert json.loads(read(text.encode(), size)) == EXPECTED


def test_a_file_without_them_stays_as_it_is() -> None:
    text = json.dumps({"a": "x" * 500, "b": [1, None, "é"]}, ensure_ascii=False).encode()
    assert read(text, 10) == text
    assert read(b"", 10) == b""


@pytest.mark.parametrize("size", [1, 3, 64, -1])
def test_the_mark_of_utf8_is_skipped_at_the_start_alone(size: int) -> None:
    text = json.dumps([*ROWS[:1], {"name": "\ufeff"}], ensure_ascii=False).encode()
    assert json.loads(read(b"\xef\xbb\xbf" + text, size)) == [*EXPECTED[:1], {"name": "\ufeff"}]
    assert read(b"\xef\xbb\xbf", size) == b""
    assert read(b"7", size) == b"7"
