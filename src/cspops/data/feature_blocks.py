"""Image features on their way: blocks of rows, each a file, of which shards are made, by any number of processes.

Processes of one or several machines may work in one folder, on one disk or an object store mounted as one. Nothing is locked
and no clock is read: a file is written under a name that no other process has, and renamed when it is whole. So a block or
shard that is there is finished and never made again, one that a killed process was at is made anew, and where two processes
make the same one, they write the same bytes and the later name stands. A shard's name holds its hash.

    block-0000003.npy                a block
    00001-<sha256>.npy               a shard; its blocks are deleted
    by-<hash>.txt                    a way in which some of them were computed
"""

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cspops.data import features
from cspops.files import sha256_of, write_among_others

log = logging.getLogger(__name__)

SHARD = re.compile(r"(?P<number>[0-9]{5,})-(?P<sha256>[0-9a-f]{64})\.npy")


@dataclass(frozen=True)
class FeatureBlocks:
    """The features of ``rows`` observations in a folder, as far as they are there."""

    folder: Path
    rows: int
    width: int
    rows_per_block: int
    """So many rows a killed process loses at most."""

    @property
    def blocks(self) -> int:
        """How many blocks there are, done or not."""
        return -(-self.rows // self.rows_per_block)

    @property
    def rows_per_shard(self) -> int:
        """A whole number of blocks."""
        return self.rows_per_block * self._blocks_per_shard

    @property
    def shards(self) -> int:
        """How many shards there are, done or not."""
        return -(-self.blocks // self._blocks_per_shard)

    def rows_of(self, blocks: range) -> range:
        """Return the rows of consecutive blocks."""
        return range(*(min(block * self.rows_per_block, self.rows) for block in (blocks.start, blocks.stop)))

    def left(self, shard: int, among: range) -> list[range]:
        """Return the rows of each block of a shard that is not there, of those blocks that are in ``among``, in its order."""
        names = self._names()
        if shard in _finished(names):
            return []
        both = (block for block in self._blocks_of(shard)[:: among.step] if block in among)
        return [self.rows_of(range(block, block + 1)) for block in both if self._block(block).name not in names]

    def noted(self, way: str) -> list[str]:
        """Note in which way features are computed here, and return the others that were noted: their numbers may differ."""
        own = _note_of(way)
        if own not in self._names():

            def write(new: Path) -> str:
                new.write_text(way)
                return own

            write_among_others(self.folder, write)
        return [file.read_text() for file in sorted(self.folder.glob("by-*.txt")) if file.name != own]

    def forget(self, way: str) -> None:
        """Take back that features are computed in a way."""
        (self.folder / _note_of(way)).unlink(missing_ok=True)

    def rows_left(self) -> int:
        """Return how many rows are in no block and no shard."""
        return sum(len(rows) for shard in range(self.shards) for rows in self.left(shard, range(self.blocks)))

    def write(self, rows: range, block: np.ndarray) -> None:
        """Write one block; raise an EnvironmentProblem where the disk refuses it."""
        file = self._block(rows.start // self.rows_per_block)

        def write(new: Path) -> str:
            features.write_matrix(new, (len(rows), self.width), [block])
            return file.name

        write_among_others(self.folder, write)

    def close(self, shard: int) -> bool:
        """Make a shard of its blocks, and return whether it is done: not where a block is missing, or broken and so dropped."""
        names, numbers = self._names(), self._blocks_of(shard)
        if shard in _finished(names):
            return True
        if not all(self._block(block).name in names for block in numbers):
            return False
        rows = len(self.rows_of(numbers))

        def write(new: Path) -> str:
            return f"{shard:05}-{features.write_matrix(new, (rows, self.width), self._read(numbers))}.npy"

        try:
            write_among_others(self.folder, write)
        except _Dropped:
            return shard in _finished(self._names())  # another process may have made it meanwhile, and deleted its blocks
        for block in numbers:
            self._block(block).unlink(missing_ok=True)
        return True

    def join(self, out: Path, obs_id: Sequence[str]) -> bool:
        """Fill ``out`` with all shards and their index, which may be done twice; a shard that has changed is dropped instead.

        Returns:
            whether all shards were there, and as they were written.
        """
        done, whole = _finished(self._names()), True
        for name in done.values():
            if _sha256_in(name) != sha256_of(self.folder / name):
                log.warning(f"{self.folder / name} is not as it was written: it is made anew")
                (self.folder / name).unlink(missing_ok=True)
                whole = False
        if not whole or len(done) != self.shards:
            return False
        for number in range(self.shards):
            _link(self.folder / done[number], out / features.name_of(number))
        hashes = [_sha256_in(done[number]) for number in range(self.shards)]
        features.write_index(out, obs_id, self.width, self.rows_per_shard, hashes)
        return True

    @property
    def _blocks_per_shard(self) -> int:
        return max(1, features.SHARD_BYTES // (features.DTYPE.itemsize * self.width * self.rows_per_block))

    def _blocks_of(self, shard: int) -> range:
        first = shard * self._blocks_per_shard
        return range(first, min(first + self._blocks_per_shard, self.blocks))

    def _block(self, block: int) -> Path:
        return self.folder / f"block-{block:07}.npy"

    def _names(self) -> set[str]:
        return {file.name for file in self.folder.iterdir()}

    def _read(self, blocks: range) -> Iterator[np.ndarray]:
        """Yield blocks; not mapped into memory, as another process may delete them."""
        for block in blocks:
            file, shape = self._block(block), (len(self.rows_of(range(block, block + 1))), self.width)
            try:
                content = np.load(file, allow_pickle=False)
                if (content.shape, content.dtype) != (shape, features.DTYPE):
                    raise ValueError(f"{content.dtype} {content.shape}, not {features.DTYPE} {shape}")
            except Exception as error:  # numpy parses the header as Python, and may raise anything at other bytes
                if file.exists():
                    log.warning(f"{file} cannot be used ({type(error).__name__}): it is made anew")
                    file.unlink(missing_ok=True)
                raise _Dropped from None
            yield content


class _Dropped(Exception):
    """A block cannot be read."""


def _finished(names: set[str]) -> dict[int, str]:
    """Return the name of each shard that is done; where processes of unlike machines have made it twice, the first."""
    return {int(match["number"]): match[0] for match in map(SHARD.fullmatch, sorted(names, reverse=True)) if match}


def _note_of(way: str) -> str:
    return f"by-{hashlib.sha256(way.encode()).hexdigest()[:8]}.txt"


def _sha256_in(name: str) -> str:
    match = SHARD.fullmatch(name)
    assert match is not None
    return match["sha256"]


def _link(file: Path, to: Path) -> None:
    """Give a file a second name, or copy it where the disk has no such names."""
    to.unlink(missing_ok=True)
    with suppress(OSError):
        os.link(file, to)
        return
    shutil.copyfile(file, to)
