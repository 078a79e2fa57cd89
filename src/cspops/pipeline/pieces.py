"""The resumable parts of a stage: one folder per seed and label ratio, or shards of rows."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cspops.data.splits import piece
from cspops.files import replaced


def make_pieces(
    seeds: Sequence[int], ratios: Sequence[float], make: Callable[[int, float, Path], None], *, scratch: Path, out: Path
) -> None:
    """Call ``make(seed, ratio, folder)`` for each piece that ``scratch`` does not hold yet, then copy all to ``out``.

    A piece gets its name in ``scratch`` only when it is whole.
    """
    for seed in seeds:
        for ratio in ratios:
            done = scratch / piece(seed, ratio)
            if done.is_dir():
                continue
            with replaced(done) as new:
                make(seed, ratio, new)
    # Names of unfinished pieces begin with a dot.
    shutil.copytree(scratch, out, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True)


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

    def _mark(self, start: int) -> Path:
        return self.folder / f"shard-{start}.done"
