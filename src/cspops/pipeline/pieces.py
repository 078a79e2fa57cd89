"""The resumable parts of a stage: one folder per seed and label ratio, or shards of rows."""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cspops.data.splits import piece
from cspops.files import replaced, sha256_of

log = logging.getLogger(__name__)

HASHES = ".sha256.json"
"""In the folder of a piece: the hash of each of its files."""


def make_pieces(
    seeds: Sequence[int], ratios: Sequence[float], make: Callable[[int, float, Path], None], *, scratch: Path, out: Path
) -> None:
    """Call ``make(seed, ratio, folder)`` for each piece that ``scratch`` does not hold yet, then copy all to ``out``.

    A piece gets its name in ``scratch`` only when it is whole; one that is no longer as it was written is made anew.
    """
    for seed in seeds:
        for ratio in ratios:
            done = scratch / piece(seed, ratio)
            if done.is_dir():
                if _is_as_written(done):
                    continue
                log.warning(f"{done} is not as it was written: it is made anew")
            with replaced(done) as new:
                make(seed, ratio, new)
                (new / HASHES).write_text(json.dumps(_hashes(new)))
    # Names of unfinished pieces and of hashes begin with a dot.
    shutil.copytree(scratch, out, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True)


def _hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of a piece but `HASHES`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != HASHES)
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def _is_as_written(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / HASHES).read_bytes()) == _hashes(folder))
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Shards:
    """Consecutive rows in shards of ``size``; ``folder`` records which are done."""

    folder: Path
    rows: int
    size: int

    def left(self) -> list[range]:
        """Return the shards that are not done, in order."""
        starts = range(0, self.rows, self.size)
        return [range(start, min(start + self.size, self.rows)) for start in starts if not self._mark(start).exists()]

    def finish(self, shard: range) -> None:
        """Record that a shard is done; its output must be on disk."""
        self._mark(shard.start).touch()

    def forget(self) -> None:
        """Record that none is done."""
        for mark in self.folder.glob("shard-*.done"):
            mark.unlink()

    def _mark(self, start: int) -> Path:
        return self.folder / f"shard-{start}.done"
