"""How long-running code says where it is: lines, or a bar on a terminal."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Item = TypeVar("Item")

Report = Callable[[str], None]
"""Takes a line about progress; one that begins with `WARNING` is a warning."""

Step = Callable[[int], None]
"""Takes how many more are done."""

WARNING = "warning: "

EVERY = 5.0
"""Seconds between two lines."""


def silent(line: str) -> None:
    """A `Report` that says nothing."""


def only_warnings(line: str) -> None:
    """A `Report` that says warnings alone, on stderr."""
    if line.startswith(WARNING):
        print(line, file=sys.stderr, flush=True)


def uncounted(more: int) -> None:
    """A `Step` that nobody looks at."""


def in_bytes(n: float) -> str:
    """`1.5 GB`: decimal units, as disks and publishers count."""
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
        report: Report,
        *,
        unit: str = "bytes",
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.total, self.unit, self.done = name, total, unit, 0
        self._report, self._every, self._clock = report, every, clock
        self._start: tuple[float, int] | None = None
        self._last = clock()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> "Meter":
        if self._report not in (silent, only_warnings) and sys.stderr.isatty():
            from rich import progress
            from rich.console import Console

            amount = progress.DownloadColumn() if self.unit == "bytes" else progress.MofNCompleteColumn()
            columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), amount, progress.TimeRemainingColumn())
            console = Console(stderr=True)
            self._bar = progress.Progress(*columns, console=console, transient=True, redirect_stdout=False)
            self._task = self._bar.add_task(self.name, total=self.total)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def to(self, done: int, total: int | None = None) -> None:
        """So much is done. ``total`` when it has become known."""
        self.done, self.total = done, self.total if total is None else total
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=self.total)
            return
        now = self._clock()
        if self._start is None or done < self._start[1]:
            self._start = (now, done)
        if now - self._last < self._every:
            return
        self._last = now
        self._report(self._line(done, now))

    def step(self, more: int) -> None:
        """So many more are done: a `Step`."""
        self.to(self.done + more)

    def each(self, items: Iterable[Item], size: Callable[[Item], int] = lambda item: 1) -> Iterator[Item]:
        """The same items, each counted as ``size`` says when the next one is asked for."""
        for item in items:
            yield item
            self.step(size(item))

    def _line(self, done: int, now: float) -> str:
        start, at_start = self._start or (now, done)
        shown = in_bytes if self.unit == "bytes" else lambda n: f"{n:.0f}"
        line = f"{self.name}: {shown(done)}"
        if self.total:
            line += f" of {shown(self.total)} ({done / self.total:.0%})"
        speed = (done - at_start) / (now - start) if now > start else 0.0
        if speed > 0:
            line += f", {shown(speed)}{'' if self.unit == 'bytes' else f' {self.unit}'}/s"
            if self.total:
                line += f", {(self.total - done) / speed / 60:.0f} min left"
        return line
