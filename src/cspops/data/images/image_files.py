"""Where the images of a catalogue lie, and their bytes."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from cspops.data.images.unreadable import BYTES, EMPTY, LEADS_OUT, NO_FILE, NOT_OPENED, NOT_THERE, TOO_LONG, UnreadableImage


def bytes_and_paths(images: pa.StructArray) -> Iterator[tuple[bytes | None, str | None]]:
    """Of `image` structs, one at a time; both None for a null struct."""
    for data, path in zip(*images.flatten(), strict=True):
        yield data.as_py(), path.as_py()


def read_file(file: Path) -> bytes:
    """The bytes of an image file; UnreadableImage when there is none, or it is too large to be an image."""
    size = file_size(file)
    if size > BYTES:
        raise UnreadableImage(TOO_LONG, f"{size} bytes")
    try:
        return file.read_bytes()
    except OSError as error:
        raise UnreadableImage(NOT_OPENED, error.strerror or str(error)) from None


def file_size(file: Path) -> int:
    """Bytes of an image file; UnreadableImage when there is none, it is no file (a pipe would never end) or empty."""
    try:
        about = file.stat()
        regular = file.is_file()
    except (FileNotFoundError, NotADirectoryError):
        raise UnreadableImage(NOT_THERE, str(file)) from None
    except (OSError, ValueError) as error:
        raise UnreadableImage(NOT_OPENED, str(error)) from None
    if not regular:
        raise UnreadableImage(NO_FILE, str(file))
    if about.st_size == 0:
        raise UnreadableImage(EMPTY)
    return about.st_size


def below(root: Path, path: str) -> Path:
    """The file that an image path means; UnreadableImage when it leads out of ``root``.

    Absolute paths and `..` do, by their letters. Links are followed wherever they point: DVC and people with large disks
    lay data out with them, and what is unpacked from archives has none.
    """
    if path.startswith(("/", "\\")) or path[1:2] == ":" or ".." in path.replace("\\", "/").split("/") or "\0" in path:
        raise UnreadableImage(LEADS_OUT, path)
    return root / path
