"""What is printed cannot steer a terminal, and no stream is one that a command stumbles over."""

import errno
import io
import os
import sys
from pathlib import Path

import pytest

from cspops import terminal
from cspops.errors import CspopsError, EnvironmentProblem, ReaderGone
from cspops.terminal import Output, lines_of_stdin, note, prepare, say, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m\x85\x7f\x00", r"\x9b31m\x85\x7f\x00"),
        ("a\nerror: b\r\tc", r"a\nerror: b\r\tc"),
        ("gpj.\u202egnp\u202c \u2066x\u2069", r"gpj.\u202egnp\u202c \u2066x\u2069"),
        ("one\u2028two\u2029", r"one\u2028two\u2029"),
        ("caf\udce9.png", r"caf\xe9.png"),
        ("half \ud83d", r"half \ud83d"),
        ("[red]x[/] :warning: $a$", "[red]x[/] :warning: $a$"),
        *(
            (text, text)
            for text in ("Ключ ö", "動物　園", "می‌خواهم", "क्‍ष", "👩‍🔬🏴󠁧󠁢󠁥󠁮󠁧󠁿", "שלום\u200f", "a\u00a0b\u202fc", "\\x1b", "")
        ),
    ],
)
def test_what_steers_a_terminal_becomes_an_escape_and_every_script_stays(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


def test_ends_of_lines_are_kept_where_asked_for() -> None:
    assert visible("a\n\x1b\tb", keep="\n\t") == "a\n\\x1b\tb"


class Stream(io.TextIOWrapper):
    """A standard stream of some encoding, maybe a terminal, that maybe fails with an errno."""

    def __init__(self, encoding: str = "utf-8", *, terminal: bool = False, fails: int = 0) -> None:
        self._bytes, self._terminal, self._fails = io.BytesIO(), terminal, fails
        super().__init__(self._bytes, encoding, newline="\n")

    def isatty(self) -> bool:
        return self._terminal

    def flush(self) -> None:
        if self._fails:
            raise OSError(self._fails, os.strerror(self._fails))
        super().flush()

    @property
    def text(self) -> str:
        self.flush()
        return self._bytes.getvalue().decode(self.encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "utf-16"])
def test_a_stream_takes_every_text_as_far_as_its_encoding_goes(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    out, err = Stream(encoding), Stream(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    prepare()
    say("é動😀", "\x1b")
    Output().write("caf\udce9\n")
    note("動")
    wide = {"ascii": r"\u00e9\u52d5\ud83d\ude00", "latin-1": r"é\u52d5\ud83d\ude00", "cp1252": r"é\u52d5\ud83d\ude00"}
    assert out.text == f"{wide.get(encoding, 'é動😀')}\n\\x1b\ncaf\\udce9\n"
    assert err.text == ("動\n" if encoding.startswith("utf") else "\\u52d5\n")


@pytest.mark.parametrize(("tty", "shown"), [(False, "a\x1b,b\n"), (True, "a\\x1b,b\n")])
def test_data_are_changed_for_a_terminal_alone(monkeypatch: pytest.MonkeyPatch, tty: bool, shown: str) -> None:
    out = Stream(terminal=tty)
    monkeypatch.setattr(sys, "stdout", out)
    Output().write("a\x1b,b\n")
    assert out.text == shown


@pytest.mark.parametrize(
    ("fails", "kind", "code"),
    [(errno.EPIPE, ReaderGone, 141), (errno.ENOSPC, EnvironmentProblem, 4), (errno.EIO, EnvironmentProblem, 4)],
)
def test_a_stdout_that_fails_is_an_error_of_ours_and_a_stderr_is_none(
    monkeypatch: pytest.MonkeyPatch, fails: int, kind: type[CspopsError], code: int
) -> None:
    out = Stream(fails=fails)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", Stream(fails=fails))
    note("not heard")
    with pytest.raises(kind) as caught:
        say("a")
    assert caught.value.code == code
    for stream in (sys.stdout, sys.stderr):
        stream._fails = 0  # type: ignore[union-attr]  # else closing it fails


def test_closed_streams_take_what_is_printed_and_have_no_paths() -> None:
    opened: list[int] = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in ("stdin", "stdout", "stderr"):
            monkeypatch.setattr(sys, name, None)
        monkeypatch.setattr(terminal.os, "set_inheritable", lambda number, _: opened.append(number))
        prepare()
        say("lost")
        note("lost")
        with pytest.raises(EnvironmentProblem, match="standard input is closed"):
            next(lines_of_stdin())
        terminals = [stream.isatty() for stream in (sys.stdout, sys.stderr)]
        for stream in (sys.stdout, sys.stderr):
            stream.close()
    os.close(opened[0])
    assert terminals == [False, False] and len(opened) == 3


def test_paths_on_stdin_are_read_as_arguments_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes("é.png\n".encode() + b"caf\xe9.png\n")
    with (tmp_path / "list").open(encoding="ascii") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        prepare()
        assert [line.rstrip() for line in lines_of_stdin()] == ["é.png", os.fsdecode(b"caf\xe9.png")]


def test_a_stdin_that_cannot_be_read_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(EnvironmentProblem, match="standard input cannot be read"):
            next(lines_of_stdin())


@pytest.mark.parametrize(
    ("columns", "kept"),
    [
        ("80", True),
        ("0", False),
        ("-3", False),
        ("²", False),
        ("wide", False),
        ("", False),
        ("9" * 5000, False),
        (" 80", False),
    ],
)
def test_a_width_that_is_no_number_is_not_there(monkeypatch: pytest.MonkeyPatch, columns: str, kept: bool) -> None:
    for name in ("COLUMNS", "LINES", "TERMINAL_WIDTH"):
        monkeypatch.setenv(name, columns)
    prepare()
    assert {os.environ.get(name) for name in ("COLUMNS", "LINES", "TERMINAL_WIDTH")} == {columns if kept else None}
