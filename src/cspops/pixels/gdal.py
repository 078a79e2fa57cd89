"""GDAL, asked for one file and nothing beside it, and kept from writing on stderr."""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_asked = 0
_hooks: tuple[Any, Any] = (None, None)
_level = logging.NOTSET
_log = logging.getLogger("rasterio._err")


@contextmanager
def gdal_alone() -> Iterator[None]:
    """Read rasters without what lies beside them (.tfw, .aux.xml), and as `gdal_silent`."""
    import rasterio

    # Unless it is told that nothing else is there, GDAL lists the folder for every file, and a neighbour changes the answer.
    settings = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
    with gdal_silent(), rasterio.Env(**settings):
        yield


@contextmanager
def gdal_silent() -> Iterator[None]:
    """Read rasters without words of GDAL's on stderr.

    GDAL tells rasterio of odd tags, and rasterio its logger. Where the message is not UTF-8, since it quotes the tag, that
    fails inside rasterio, in a callback that nobody can catch: Python prints it, unless the two hooks look away. They are
    put in place for the first who asks, in whatever thread, until the last has gone.
    """
    from rasterio.errors import NotGeoreferencedWarning

    global _asked, _hooks, _level
    with _lock:
        _asked += 1
        if _asked == 1:
            _hooks, _level = (sys.excepthook, sys.unraisablehook), _log.level
            _log.setLevel(logging.INFO)  # `heard` wants errors, which are INFO there, since most are raised as well
            sys.excepthook, sys.unraisablehook = _excepthook, _unraisablehook
    try:
        with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
            yield
    finally:
        with _lock:
            _asked -= 1
            if _asked == 0:
                sys.excepthook, sys.unraisablehook = _hooks
                _log.setLevel(_level)


@contextmanager
def heard() -> Iterator[list[str]]:
    """Collect what GDAL says of faults while this thread reads pixels: of half a JPEG, say, it gives the rest as grey."""
    messages: list[str] = []
    handler, thread = logging.Handler(), threading.get_ident()
    handler.emit = lambda record: messages.append(record.getMessage()) if record.thread == thread else None  # type: ignore[method-assign]
    _log.addHandler(handler)
    try:
        yield messages
    finally:
        _log.removeHandler(handler)


def _excepthook(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    if not (kind is UnicodeDecodeError and traceback is None):
        _hooks[0](kind, error, traceback)


def _unraisablehook(unraisable: Any) -> None:
    if not (unraisable.exc_type is UnicodeDecodeError and str(unraisable.object).startswith("rasterio.")):
        _hooks[1](unraisable)
