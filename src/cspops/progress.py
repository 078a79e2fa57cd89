"""How long-running code says where it is."""

from collections.abc import Callable

Report = Callable[[str], None]
"""Takes a line about progress."""


def silent(line: str) -> None:
    """A `Report` that says nothing."""
