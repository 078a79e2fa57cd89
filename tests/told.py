"""What the package logs, heard by a test."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def told(tell: Callable[[str], object]) -> Iterator[None]:
    """Call ``tell`` with each line of progress or warning while the block runs; what it raises stops the code that logs."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tell(record.getMessage())

    ours, handler = logging.getLogger("cspops"), Handler(logging.INFO)
    level = ours.level
    ours.setLevel(logging.INFO)
    ours.addHandler(handler)
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.setLevel(level)
