"""The disk that a catalogue is written to may be full."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cspops.errors import EnvironmentProblem


@contextmanager
def written_into(folder: Path) -> Iterator[None]:
    """EnvironmentProblem that names ``folder`` in the place of an OSError; around writing alone, never around a source."""
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(
            f"{folder} cannot be written: {error.strerror or error}",
            hint=f"free some space there, or see who may write into {folder}",
        ) from None
