"""How errors end a command: a sentence, a hint, an exit code, and nothing raw."""

import errno
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from in_process import Command, command_line

from cspops.commands import main, stages
from cspops.commands.app import SECOND_START
from cspops.errors import DataError, ReaderGone


@pytest.fixture
def cspops(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return command_line(monkeypatch, capsys)


def fails_with(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> None:
    """Make stage split do this."""
    monkeypatch.setattr(stages, "run_stage", lambda stage: act())


def raises(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def chained(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("command", ["embed --grid 1 --box 5 40 --out w.npz", "map --all --box 5 40", "map --box w 1 2 3"])
def test_a_box_that_is_not_four_numbers_is_told_what_one_is(cspops: Command, command: str) -> None:
    code, _, err = cspops(*command.split())
    assert (code, err) == (2, "error: --box takes four numbers: WEST SOUTH EAST NORTH\nhint: --box 5 40 15 48\n")


@pytest.mark.parametrize("odd", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("embed --lat 3", "--lon"),
        ("predict a.jpg --lon 3", "--lat"),
        ("embed", "--grid"),
        ("probe t.csv", "--buffer-km"),
        ("probe t.csv", "--leave-out-km"),
        ("predict a.jpg", "--label-ratio"),
    ],
)
def test_what_is_no_number_is_said_to_be_none(cspops: Command, command: str, option: str, odd: str) -> None:
    code, _, err = cspops(*command.split(), f"{option}={odd}")
    assert code == 2
    assert err.startswith(f"error: invalid value for '{option}': {odd} is not a finite number\nhint: cspops ")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("a\x1b[31m\nb", hint="c\x9b"), 3, "error: a\\x1b[31m\\nb\nhint: c\\x9b\n"),
        (DataError(["first:", "  \x1bsecond"]), 3, "error: first:\nerror:   \\x1bsecond\n"),
        (DataError("[red]x[/] :warning:"), 3, "error: [red]x[/] :warning:\n"),
        (MemoryError(), 4, "error: not enough memory\nhint: "),
        (MemoryError("Unable to allocate 8 TiB"), 4, "error: not enough memory: Unable to allocate 8 TiB\n"),
        (chained(SystemError("error return without exception set"), MemoryError()), 4, "error: not enough memory\n"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: x"), 4, "error: not enough memory: [enforce"),
        (RuntimeError("CUDA out of memory. Tried"), 4, "error: not enough memory: CUDA"),
        (RuntimeError("can't start new thread"), 4, "error: not enough memory: can't"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), 4, "error: not enough memory: libtorch"),
        (OSError("libgomp.so: cannot allocate memory in static TLS block"), 4, "error: not enough memory: libgomp"),
        (
            ImportError("libcudart.so: cannot open\nmore"),
            4,
            "error: a package cannot be loaded: libcudart.so: ",
        ),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a\x1bb"), 4, "error: No space left on device: a\\x1bb\n"),
        (OSError("odd"), 4, "error: odd\n"),
        (KeyboardInterrupt(), 130, "stopped: the same command starts over\n"),
        (EOFError(), 1, "\nerror: the command was aborted\n"),
        (ReaderGone("nobody"), 141, ""),
    ],
    ids=lambda one: repr(one)[:40] if isinstance(one, BaseException) else "",
)
def test_an_error_is_a_sentence(
    cspops: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    fails_with(monkeypatch, raises(error))
    status, out, err = cspops("split")
    assert (status, out) == (code, "")
    assert err.startswith(said)
    assert len(err.splitlines()) <= 2 and "Traceback" not in err
    assert said or not err


@pytest.mark.parametrize("command", [*SECOND_START, "split"])
def test_what_was_stopped_says_what_a_second_start_does(cspops: Command, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """At Ctrl-C, and where the command is long in its help."""
    monkeypatch.setenv("COLUMNS", "200")
    said = f"the same command {SECOND_START.get(command, 'starts over')}"
    assert (f"If it is stopped, {said}." in cspops(command, "-h")[1]) == (command in SECOND_START)

    def stops(self: object, context: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(typer.core.TyperCommand, "invoke", stops)
    words = {
        "predict": ["a.jpg"],
        "map": ["oak", "--out", "a.png"],
        "export": ["--out", "a"],
        "locate": ["a.jpg", "--within", "1,2,3,4"],
    }.get(command, [])
    status, out, err = cspops("-v", command, *words)
    assert (status, out) == (130, "")
    assert f"stopped: {said}\n" in err


def test_an_error_of_the_code_is_not_hidden(cspops: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fails_with(monkeypatch, raises(RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        cspops("split")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evalute"], "error: no such command 'evalute'. Did you mean 'evaluate'?\nhint: cspops -h\n"),
        (["split", "--jsn"], "error: no such option: --jsn\nhint: cspops split -h\n"),
        (["split", "a\x1b[31m"], "error: got unexpected extra argument(s) (a\\x1b[31m)\nhint: cspops split -h\n"),
        (["evaluate", "--seed", "[red]"], "error: invalid value for '--seed': "),
        (
            ["map", "oak", "--out", "a.png", "--combine", "x"],
            "error: invalid value for '--combine': 'x' is not one of 'pool', ",
        ),
        (["predict"], "error: missing argument 'PATH...'\nhint: cspops predict -h\n"),
        (["tables", "x"], "error: invalid value for 'NUMBER': it should be a valid integer\nhint: cspops tables -h\n"),
        (["-q", "embed", "--box", "1"], "error: --box takes four numbers: WEST SOUTH EAST NORTH\nhint: --box 5 40 15 48\n"),
        (["data", "check", "--map"], "error: option '--map' requires an argument\nhint: cspops data check -h\n"),
        (["--nothing"], "error: no such option: --nothing\nhint: cspops -h\n"),
        (["data", "chek"], "error: no such command 'chek'. Did you mean 'check'?\nhint: cspops data -h\n"),
    ],
)
def test_a_wrong_command_line_is_told_as_any_other_error(cspops: Command, arguments: list[str], said: str) -> None:
    status, out, err = cspops(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(said) and len(err.splitlines()) == 2


def test_a_command_that_needs_another_shows_its_help(cspops: Command) -> None:
    status, out, err = cspops("data")
    assert (status, err) == (2, "") and "Usage" in out


def test_a_variable_for_an_option_is_of_the_environment(cspops: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSPOPS_QUIET", "may\x1bbe")
    status, _, err = cspops("split")
    assert status == 4
    assert err.startswith("error: CSPOPS_QUIET=may\\x1bbe: ") and err.endswith("\nhint: unset CSPOPS_QUIET\n")


def test_libraries_speak_by_our_log(cspops: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def speak() -> None:
        warnings.simplefilter("always")
        warnings.warn("odd\nfont \x1b[31m", UserWarning, stacklevel=1)
        logging.getLogger("urllib3.x").warning("again \x1b")
        sys.unraisablehook(type("Args", (), {"exc_type": KeyError, "exc_value": KeyError("k"), "object": speak}))  # type: ignore[arg-type]

    monkeypatch.setattr(logging.getLogger("urllib3.x"), "propagate", False)  # pytest listens at the root
    fails_with(monkeypatch, speak)
    assert cspops("split") == (0, "", "warning: UserWarning: odd font \\x1b[31m\nwarning: again \\x1b\n")


def test_what_is_left_in_stdout_at_the_end_may_not_be_lost(cspops: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Help is written by a library, and a full disk seen only when all is flushed."""

    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fails_with(monkeypatch, lambda: monkeypatch.setattr(sys, "stdout", Full()))
    monkeypatch.setattr(sys, "argv", ["cspops", "split"])
    assert main() == 4
