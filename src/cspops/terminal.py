"""What goes to the standard streams. Names in it come from files, tables, servers and git, and steer no terminal here.

A stream may be closed, full, a pipe whose reader has gone, or of an encoding that lacks a letter: lines on stderr are then
lost in silence, as no line is worth a run; what was asked for on stdout is an error.
"""

import codecs
import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator

from cspops.errors import EnvironmentProblem, ReaderGone

STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]")
"""Control characters, ends of lines, what turns the direction of a line, and what no encoding can write."""
NUMBER = re.compile("[1-9][0-9]{0,4}")


def visible(text: str, *, keep: str = "") -> str:
    r"""Return ``text`` with each steering character but those of ``keep`` as its escape: `\x1b`, `\n`, `\u202e`.

    Everything that scripts are written with stays as it is, joiners and direction marks too.
    """
    return STEERING.sub(lambda one: one[0] if one[0] in keep else _escape(one[0]), text)


def _escape(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()


def note(line: str) -> None:
    """Print one line on stderr, if that can be written."""
    try:
        print(f"{visible(line)}\n", end="", file=sys.stderr, flush=True)  # at once: others may print beside us
    except (OSError, ValueError):
        _into_the_void("stderr")


def say(*lines: str) -> None:
    """Print lines on stdout."""
    out = Output()
    out.write("".join(f"{visible(line)}\n" for line in lines))
    out.flush()


class Output:
    """Standard output: data as they are for a file or a pipe, made visible for a terminal.

    Raises:
        ReaderGone: it is a pipe, and what reads it has ended.
        EnvironmentProblem: it cannot be written.
    """

    def write(self, text: str, /) -> int:
        """Write some text."""
        with _writing():
            return sys.stdout.write(visible(text, keep="\n\t") if sys.stdout.isatty() else text)

    def styled(self, text: str, /) -> None:
        """Write lines whose only control characters are the colours that we have set ourselves."""
        with _writing():
            sys.stdout.write(text)
            sys.stdout.flush()

    def flush(self) -> None:
        """Hand on what is written."""
        with _writing():
            sys.stdout.flush()


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _into_the_void("stdout")
        if isinstance(error, BrokenPipeError):
            raise ReaderGone("nobody reads the output") from None
        raise EnvironmentProblem(
            f"standard output cannot be written: {error.strerror or error}",
            hint="send it to a disk with room",
        ) from None


def lines_of_stdin() -> Iterator[str]:
    """Yield the lines of standard input; EnvironmentProblem where it is closed, or not for reading."""
    if sys.stdin is None:
        raise EnvironmentProblem("standard input is closed: - reads paths from it", hint="find photos/ | cspops predict -")
    try:
        yield from sys.stdin
    except OSError as error:
        raise EnvironmentProblem(f"standard input cannot be read: {error.strerror or error}") from None


def _into_the_void(name: str) -> None:
    """Make what the stream still holds, which the interpreter writes when it ends, go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        number = getattr(sys, name).fileno()
        void = os.open(os.devnull, os.O_WRONLY)
        os.dup2(void, number)
        os.close(void)


def prepare() -> None:
    """Make the standard streams and the variables on the terminal's width such that no library stumbles over them.

    The number of a closed stream is given to the null device, before a file takes it; what is written to it goes there.
    What an encoding lacks is written as an escape. Paths on stdin are read as those on the command line are.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            void = os.open(os.devnull, os.O_RDWR)  # the least number that is free: that of the stream
            os.set_inheritable(void, True)
            if name != "stdin":
                setattr(sys, name, open(void, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    codecs.register_error("escaped", _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="escaped")
    if isinstance(sys.stdin, io.TextIOWrapper):
        with contextlib.suppress(io.UnsupportedOperation):  # once something was read
            sys.stdin.reconfigure(encoding=sys.getfilesystemencoding(), errors=sys.getfilesystemencodeerrors())
    for name in ("COLUMNS", "LINES", "TERMINAL_WIDTH"):
        if not NUMBER.fullmatch(os.environ.get(name, "1")):
            del os.environ[name]


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""Return what an encoding lacks as JSON writes it, `\u00e9`, so that a document stays one."""
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end
