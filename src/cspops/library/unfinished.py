"""The rows of a file of predictions that is not whole yet: a second start takes them over and predicts the others.

They are kept in the folder `.NAME.part` beside the file NAME until that is whole. Its file `rows` begins with a hash of the
model and the options; each further line is the hash of an input and its row as JSON.
"""

import hashlib
import json
import logging
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import IO, Any

import torch
from torch import nn

from cspops.errors import EnvironmentProblem
from cspops.files import LOCK, disk_problems, locked
from cspops.library.inputs import Input
from cspops.library.model import Model
from cspops.library.prediction_files import Row

log = logging.getLogger(__name__)


class KeptRows:
    """The rows in a file that an earlier start opened with the same ``key``, and those that are added to it."""

    def __init__(self, opened: IO[bytes], key: str) -> None:
        self._opened = opened
        self.count = 0
        """How many rows it holds."""
        opened.seek(0)
        if opened.readline() != f"{key}\n".encode():
            self._cut(0)
            opened.write(f"{key}\n".encode())

    def continued(self, inputs: Iterator[Input], predict: Callable[[Iterator[Input]], Iterator[Row]]) -> Iterator[Row]:
        """Yield one row per input: kept rows up to the first input that has none, from there on those of ``predict``."""
        for one in inputs:
            row = self._take(_stamp(one))
            if row is None:
                inputs = chain([one], inputs)
                break
            self.count += 1
            yield row
        if self.count:
            log.info(f"{self.count:,} rows are there from an earlier start")
        stamps: deque[str] = deque()

        def stamped() -> Iterator[Input]:
            for one in inputs:
                stamps.append(_stamp(one))
                yield one

        for row in predict(stamped()):
            self._opened.write(f"{stamps.popleft()} {json.dumps(row, allow_nan=False)}\n".encode())
            self._opened.flush()
            self.count += 1
            yield row

    def _take(self, stamp: str) -> Row | None:
        """Return the next row where it is of this input and whole; else forget it and all that follow."""
        start = self._opened.tell()
        line = self._opened.readline()
        try:
            known, _, text = line.decode().partition(" ")
            if known == stamp and text.endswith("\n"):
                row: Row = json.loads(text)
                return row
        except ValueError:
            pass
        self._cut(start)
        return None

    def _cut(self, at: int) -> None:
        self._opened.seek(at)
        self._opened.truncate()


@contextmanager
def kept_rows(out: Path, key: str) -> Iterator[KeptRows]:
    """Yield the rows that are kept for ``out``; they are deleted when the block ends well.

    Raises:
        EnvironmentProblem: another process writes ``out``, or the disk refuses to be written.
    """
    folder = out.parent / f".{out.name}.part"
    busy = EnvironmentProblem(
        f"another cspops predict writes {out}", hint="wait until it has ended, or name another file with --out"
    )
    with disk_problems(out):
        folder.mkdir(exist_ok=True)
        with locked(folder / LOCK, busy):
            (folder / "rows").touch()
            with (folder / "rows").open("r+b") as opened:
                kept = KeptRows(opened, key)
                try:
                    yield kept
                except BaseException:
                    if kept.count:
                        log.info(f"{kept.count:,} rows are kept for the next start")
                    else:
                        shutil.rmtree(folder, ignore_errors=True)
                    raise
                shutil.rmtree(folder, ignore_errors=True)


def key_of(model: Model, *options: Any) -> str:
    """Return a hash of all that a row depends on beside its input."""
    modules: list[nn.Module] = [model.classifier or model.encoder]
    if model.image is not None:
        modules += [one for one in (model.image.network, model.image.head) if one is not None]
    used = (model.classes, model.pool, model.weights, model.candidates, model.image and model.image.reading)
    facts = (version("cspops"), options, used)
    digest = hashlib.sha256(repr((facts, [one.config for one in modules])).encode("utf-8", "surrogatepass"))
    places = [] if model.places is None else [("lonlat", model.places.lonlat), ("label", model.places.label)]
    if model.places is not None and model.places.when is not None:
        places.append(("when", model.places.when))
    for name, tensor in chain(places, *(one.state_dict().items() for one in modules)):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _stamp(row: Input) -> str:
    """Return a hash of what is known of a row, and of the bytes of its image, or the path, size and time of its file."""
    image = row.image
    content: Any = image if image is None else hashlib.sha256(image).hexdigest() if isinstance(image, bytes) else _facts(image)
    return hashlib.sha256(repr((replace(row, image=None), content)).encode("utf-8", "surrogatepass")).hexdigest()


def _facts(file: Path) -> tuple[str, int, int]:
    try:
        facts = file.stat()
    except OSError:
        return str(file.absolute()), -1, -1
    return str(file.absolute()), facts.st_size, facts.st_mtime_ns
