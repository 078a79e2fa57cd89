"""What can go wrong for a user: one sentence that names the thing, one hint that names the next command.

CspopsError                 exit code 1   something failed
├── ParamsError             exit code 2   params.yaml (or the command line) asks for something impossible
├── DataError               exit code 3   an input, a model or an artefact is missing, stale or broken
│   └── NotThere                        a file of a published set that can be fetched, or put there
├── EnvironmentProblem      exit code 4   this machine lacks something: a device, a package, disk space
└── ReaderGone              exit code 141 nobody reads what we print, as after `| head`: nothing is said
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class CspopsError(Exception):
    """A failure with a sentence for the user, or several lines, and, where there is one, the way out.

    ``message`` is the sentence, ``hint`` the way out, and the exception's text is both.
    """

    code = 1

    def __init__(self, message: str | Sequence[str], *, hint: str | None = None) -> None:
        self.lines = (message,) if isinstance(message, str) else tuple(message)
        self.message = "\n".join(self.lines)
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class ParamsError(CspopsError):
    """params.yaml holds a wrong key or value."""

    code = 2


class DataError(CspopsError):
    """Raw inputs, artefacts or weights are missing, stale or broken."""

    code = 3


class NotThere(DataError):
    """A file of a published set is missing: it can be fetched, or put in its place."""


class NoImages(DataError):
    """A folder that should hold images holds none."""


class EnvironmentProblem(CspopsError):
    """The machine cannot do what a CSPOPS_* setting asks."""

    code = 4


class ReaderGone(CspopsError):
    """The pipe that we print into has no reader any more."""

    code = 141  # as a shell reports a command that SIGPIPE ended


@contextmanager
def written_into(folder: Path) -> Iterator[None]:
    """Raise EnvironmentProblem, naming ``folder``, for an OSError; around writing alone, never around a source."""
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(
            f"{folder} cannot be written: {error.strerror or error}",
            hint=f"free some space there, or see who may write into {folder}",
        ) from None


def listed(items: Iterable[str], most: int = 10) -> str:
    """Return the first of some names for a message, and how many more there are."""
    names = list(items)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def nearest(word: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.5) -> list[str]:
    """Return the known words most like ``word``, whatever the case of letters, the nearest first: for "did you mean"."""
    lower = {one.lower(): one for one in reversed([*known])}  # of words that differ in case alone, the first
    return [lower[one] for one in difflib.get_close_matches(word.lower(), lower, n=most, cutoff=cutoff)]
