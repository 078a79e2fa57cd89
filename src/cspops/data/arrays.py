"""Arrays in files, mapped into memory, that are filled bit by bit and survive a kill."""

import errno
import logging
import os
from pathlib import Path

import numpy as np

from cspops.files import whole

log = logging.getLogger(__name__)


def begun(file: Path, shape: tuple[int, ...], dtype: str) -> np.memmap | None:
    """Open an array for reading and writing; None where there is none of this shape and type, or none that can be read."""
    if not file.exists():
        return None
    try:
        np.lib.format.open_memmap(file, mode="r")  # refuses a file that is cut, which r+ would fill up with zeros
        array = np.lib.format.open_memmap(file, mode="r+")
        if (array.shape, array.dtype) == (shape, np.dtype(dtype)):
            return array
        reason = f"{array.dtype} {array.shape}, not {dtype} {shape}"
    except Exception as error:  # numpy parses the header as Python, and may raise anything at other bytes
        reason = type(error).__name__
    log.warning(f"{file} cannot be used ({reason}): it is filled anew")
    return None


def new(file: Path, shape: tuple[int, ...], dtype: str) -> np.memmap:
    """Make an array of zeros, which replaces the file; raise an EnvironmentProblem where the disk has no room for all of it."""
    with whole(file) as path:
        np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape).flush()
        _reserve(path)
    return np.lib.format.open_memmap(file, mode="r+")


def _reserve(file: Path) -> None:
    """Take the blocks of a sparse file: writing to a mapped page that finds the disk full would end the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    with file.open("r+b") as opened:
        try:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
