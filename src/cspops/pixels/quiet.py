"""Keeps what libraries of C write to stderr, such as libtiff's remarks, from standing between our own lines."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_lock = threading.Lock()
_depth = 0
_kept: int | None = None


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send the process's stderr nowhere within the block, also what Python itself prints there; errors raise as ever."""
    global _depth, _kept
    with _lock:
        if _depth == 0:
            _kept = _divert()
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0 and _kept is not None:
                _flush()
                os.dup2(_kept, 2)
                os.close(_kept)
                _kept = None


def _divert() -> int | None:
    """Return a copy of stderr, which now leads nowhere; None where it is closed."""
    _flush()
    try:
        kept = os.dup(2)
    except OSError:
        return None
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return kept


def _flush() -> None:
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
