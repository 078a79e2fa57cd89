"""How long-running code shows where it is: lines of the logger `cspops` on stderr, or a bar on a terminal."""

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar

from cspops.terminal import note, visible

Item = TypeVar("Item")

Done = Callable[[int, int], None]
"""Takes how many are done, and of how many."""

EVERY = 5.0
"""Seconds between two lines."""

log = logging.getLogger(__name__)


class Lines(logging.Handler):
    """Writes each record as one line on stderr, a warning under its name.

    Not rich's handler: that wraps lines at the width it takes a file or a pipe to have.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write it."""
        name = "warning: " if record.levelno >= logging.WARNING else ""
        note(f"{name}{record.getMessage()}")


def show_from(level: int) -> None:
    """Show on stderr what the package logs at this level or above."""
    ours = logging.getLogger("cspops")
    ours.setLevel(level)
    if not any(isinstance(handler, Lines) for handler in ours.handlers):
        ours.addHandler(Lines())


@contextmanager
def libraries_in_our_log() -> Iterator[None]:
    """Log what libraries warn of, each as one line, instead of what they and the interpreter would print."""

    def warned(message: Warning | str, category: type[Warning], *where: object) -> None:
        log.warning(f"{category.__name__}: {' '.join(str(message).split())}")

    def ignored(problem: "sys.UnraisableHookArgs") -> None:
        log.debug(f"ignored: {problem.exc_type.__name__} in {problem.object!r}: {problem.exc_value}")

    last, hook = logging.lastResort, sys.unraisablehook
    with warnings.catch_warnings():
        logging.lastResort, sys.unraisablehook = Lines(logging.WARNING), ignored
        warnings.showwarning = warned  # type: ignore[assignment]
        try:
            yield
        finally:
            logging.lastResort, sys.unraisablehook = last, hook


@contextmanager
def silence() -> Iterator[None]:
    """Log nothing while the block runs."""
    ours = logging.getLogger("cspops")
    level = ours.level
    ours.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ours.setLevel(level)


def uncounted(done: int, total: int) -> None:
    """Ignore a `Done`."""


def in_bytes(n: float) -> str:
    """Write a size as `1.5 GB`: decimal units, as disks and publishers count."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n:.0f} bytes"


class Meter:
    """Shows how much of a whole is done: a bar on a terminal, a plain line every few seconds elsewhere.

    To be used in a `with` block, from one thread at a time. What is counted is the ``unit``: `bytes`, `files`, `images` ...
    """

    def __init__(
        self,
        name: str,
        total: int | None,
        *,
        unit: str = "bytes",
        shown: bool = True,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from rich import progress
        from rich.console import Console

        self.name, self.unit = name, unit
        self._shown, self._every, self._clock, self._last = shown, every, clock, clock()
        self._is_bar = shown and log.isEnabledFor(logging.INFO) and sys.stderr.isatty()
        amount = progress.DownloadColumn() if unit == "bytes" else progress.MofNCompleteColumn()
        title = progress.TextColumn("{task.description}", markup=False)
        columns = (title, progress.BarColumn(), amount, progress.TimeRemainingColumn())
        self._bar = progress.Progress(
            *columns,
            console=Console(stderr=True),
            get_time=clock,
            transient=True,
            redirect_stdout=False,
            disable=not self._is_bar,
        )
        self._bar.add_task(visible(name), total=total)
        (self._task,) = self._bar.tasks

    def __enter__(self) -> "Meter":
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._bar.stop()

    def to(self, done: int, total: int | None = None) -> None:
        """Show that so much is done. ``total`` when it has become known."""
        self._bar.update(self._task.id, completed=done, total=total)
        now = self._clock()
        if self._shown and not self._is_bar and now - self._last >= self._every:
            self._last = now
            log.info(self._line())

    def step(self, more: int) -> None:
        """Show that so many more are done."""
        self.to(int(self._task.completed) + more)

    def each(self, items: Iterable[Item], size: Callable[[Item], int] = lambda item: 1) -> Iterator[Item]:
        """Yield the same items, each counted as ``size`` says when the next one is asked for."""
        for item in items:
            yield item
            self.step(size(item))

    def _line(self) -> str:
        shown = in_bytes if self.unit == "bytes" else lambda n: f"{n:.0f}"
        task = self._task
        line = f"{self.name}: {shown(task.completed)}"
        if task.total:
            line += f" of {shown(task.total)} ({task.completed / task.total:.0%})"
        elif not task.speed and self.unit != "bytes":
            line += f" {self.unit}"
        if task.speed:
            line += f", {shown(task.speed)}{'' if self.unit == 'bytes' else f' {self.unit}'}/s"
            if task.total:
                line += f", {(task.total - task.completed) / task.speed / 60:.0f} min left"
        return line
