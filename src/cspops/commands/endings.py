"""How an error ends a command: lines on stderr and an exit code (see `errors`)."""

import math
import os
import re
from collections.abc import Iterator
from typing import Any

import typer

from cspops.errors import CspopsError, EnvironmentProblem, ParamsError, ReaderGone
from cspops.terminal import note

MEMORY = re.compile(
    "out of memory|not enough memory|(?:can't|cannot) allocate memory|failed to map segment|can't start new thread|bad_alloc",
    re.IGNORECASE,
)
"""What libraries say for want of memory; the loader of shared libraries, too."""


def end(error: CspopsError) -> int:
    """Print the error and return its exit code; nothing for a pipe that nobody reads."""
    if not isinstance(error, ReaderGone):
        for line in error.lines:
            note(f"error: {line}")
        if error.hint:
            note(f"hint: {error.hint}")
    return error.code


def lacking(error: BaseException) -> EnvironmentProblem | None:
    """Return what the machine lacks, or None where the error is not about that."""
    for one in _chain(error):  # libraries make other errors of a MemoryError
        if isinstance(one, MemoryError) or MEMORY.search(str(one)):
            why = f": {_said(one)}" if _said(one) else ""
            return EnvironmentProblem(f"not enough memory{why}", hint="free some memory; ulimit -v shows a limit that is set")
    said = _said(error)
    if isinstance(error, ImportError):
        return EnvironmentProblem(f"a package cannot be loaded: {said}", hint="pip install --force-reinstall cspops")
    if isinstance(error, OSError):
        return EnvironmentProblem(f"{error.strerror or said}{f': {error.filename}' if error.filename else ''}")
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _said(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")[:200]


def of_usage(error: typer.TyperException, *, called: str) -> CspopsError:
    """Return an error of the command line, or of a variable that stands for an option, as one of ours.

    ``called`` are the words that name the command, for an error that does not know them.
    """
    context: Any = getattr(error, "ctx", None)
    variable = getattr(getattr(error, "param", None), "envvar", None)
    if variable and context is not None and context.get_parameter_source(error.param.name).name == "ENVIRONMENT":  # type: ignore[attr-defined]
        return EnvironmentProblem(f"{variable}={os.environ[variable]}: {_plain(error.message)}", hint=f"unset {variable}")
    option = getattr(error, "option_name", None) or (getattr(getattr(error, "param", None), "opts", None) or [""])[0]
    if option == "--box":
        return ParamsError("--box takes four numbers: WEST SOUTH EAST NORTH", hint="--box 5 40 15 48")
    path = f"cspops {called}".rstrip() if context is None else context.command_path
    odd = _no_number(error.__cause__)
    said = f"invalid value for '{option}': {odd} is not a finite number" if odd else _plain(error.format_message())
    return ParamsError(said, hint=f"{path} -h")


def _no_number(error: Any) -> str | None:
    """Return what was given where pydantic compared it with a bound, and it is nan or infinite."""
    for one in error.errors() if hasattr(error, "errors") else ():
        if one["type"] in ("less_than_equal", "greater_than_equal") and not math.isfinite(float(one["input"])):
            return str(one["input"])
    return None


def _plain(text: str) -> str:
    """Return what Typer and pydantic say, as a clause of ours."""
    text = " ".join(text.split()).replace("': Value error, ", "': ").replace("Input should be", "it should be")
    text = text.partition(", unable to ")[0]
    return f"{text[:1].lower()}{text[1:]}".removesuffix(".")
