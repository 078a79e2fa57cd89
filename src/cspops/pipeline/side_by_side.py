"""Independent parts of a stage in processes side by side: how portable mode, with one thread a process, uses the cores."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from cspops import numerics
from cspops.errors import EnvironmentProblem
from cspops.host import Host, end_with_parent

T = TypeVar("T")
R = TypeVar("R")

_work: Callable[..., Any]
"""What the processes do. They are forked when it has been set: it need not pickle, and what it reads is not copied."""


def side_by_side(work: Callable[[T], R], items: Sequence[T], host: Host) -> Iterator[R]:
    """Yield ``work(item)`` of each item, in order; ``work`` must not depend on what it did before.

    Only portable processes on Linux's CPU run side by side: a forked process must not use threads that it has not. One of
    several that train together takes the items one after another, as the others do.

    Raises:
        EnvironmentProblem: a process was killed.
    """
    global _work
    processes = 1 if multiprocessing.parent_process() else min(host.side_by_side(), len(items))
    if processes < 2 or not sys.platform.startswith("linux") or not numerics.portable():
        yield from map(work, items)
        return
    _work = work
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), _follow, (os.getpid(),))
    try:
        yield from pool.map(_call, items)
    except BrokenProcessPool:
        raise EnvironmentProblem(
            "a process that works beside others was killed, as a system does that runs out of memory",
            hint=f"export CSPOPS_WORKERS={processes - 1}; the same command continues",
        ) from None
    finally:
        for process in (pool._processes or {}).values():
            process.terminate()
        pool.shutdown(cancel_futures=True)


def _call(item: Any) -> Any:
    return _work(item)


def _follow(parent: int) -> None:
    """End with the parent, however that ends, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent(parent)
