"""What worker processes do in tests; a module of its own, so that they need not import pytest."""

import os
import signal
import sys
import time
from pathlib import Path

from cspops.errors import DataError
from cspops.pixels.reading import Reading
from cspops.pixels.rgb import open_rgb
from cspops.pixels.unreadable import UnreadableImage
from cspops.pixels.workers import Workers


def ordered_map(function, items, *, workers, chunk=32):
    """`Workers.map` with processes of its own."""
    with Workers(workers) as started:
        yield from started.map(function, items, chunk=chunk)


def slow_square(number):
    """The earlier, the longer."""
    time.sleep(0.02 if number < 8 else 0)
    return number * number


def reason_of(data):
    """Why an image cannot be used; None where it can."""
    try:
        open_rgb(data, reading=Reading())
    except UnreadableImage as error:
        return error.reason
    return None


def who(_):
    return os.getpid()


def modules(_):
    return sorted(sys.modules)


def dies(number, *, at, how):
    if number == at:
        os.kill(os.getpid(), how)
    return number


def dies_beside_a_slow_one(number):
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def leaves(_):
    os._exit(3)


def refuses(number, *, at):
    if number == at:
        raise DataError(f"no {number}", hint="another")
    return number


class Odd(Exception):
    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def odd(_):
    raise Odd(1, 2)


def gives_what_cannot_be_sent(_):
    return lambda: None


def prints(number):
    print("a library says something")
    os.write(1, b"and so does C")
    return number


def naps(_):
    Path(os.environ["NAPPING"], str(os.getpid())).touch()
    time.sleep(60)
