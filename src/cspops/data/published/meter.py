"""How far a long transfer is: a bar on a terminal, a plain line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from cspops.progress import Report, silent

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY = 5.0
"""Seconds between two lines."""


def in_bytes(n: float) -> str:
    """`1.5 GB`: decimal units, as disks and publishers count."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n:.0f} bytes"


class Meter:
    """Shows how much of a whole is done. To be used in a `with` block, from one thread at a time."""

    def __init__(
        self,
        name: str,
        total: int | None,
        report: Report,
        *,
        unit: Literal["bytes", "files"] = "bytes",
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.total, self.unit = name, total, unit
        self._report, self._every, self._clock = report, every, clock
        self._start: tuple[float, int] | None = None
        self._last = clock()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> "Meter":
        if self._report is not silent and sys.stderr.isatty():
            from rich import progress
            from rich.console import Console

            amount = progress.DownloadColumn() if self.unit == "bytes" else progress.MofNCompleteColumn()
            columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), amount, progress.TimeRemainingColumn())
            self._bar = progress.Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self.name, total=self.total)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def to(self, done: int, total: int | None = None) -> None:
        """So much is done. ``total`` when it has become known."""
        self.total = self.total if total is None else total
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

    def _line(self, done: int, now: float) -> str:
        start, at_start = self._start or (now, done)
        shown = in_bytes if self.unit == "bytes" else lambda n: f"{n:.0f}"
        line = f"{self.name}: {shown(done)}"
        if self.total:
            line += f" of {shown(self.total)} ({done / self.total:.0%})"
        speed = (done - at_start) / (now - start) if now > start else 0.0
        if speed > 0:
            line += f", {shown(speed)}{'' if self.unit == 'bytes' else ' files'}/s"
            if self.total:
                line += f", {(self.total - done) / speed / 60:.0f} min left"
        return line
