"""A stage that makes many folders, one a seed and label ratio, and continues at the one it was killed at."""

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

    A piece appears in ``scratch`` under its name only when it is whole.
    """
    for seed in seeds:
        for ratio in ratios:
            done = scratch / piece(seed, ratio)
            if done.is_dir():
                continue
            with replaced(done) as new:
                make(seed, ratio, new)
    # What a kill left behind has a dot before its name.
    shutil.copytree(scratch, out, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True)


@dataclass(frozen=True)
class Shards:
    """Consecutive rows in shards of ``size``; which of them are done is written into ``folder``."""

    folder: Path
    rows: int
    size: int

    def left(self) -> list[range]:
        """The shards that are not done, in order."""
        starts = range(0, self.rows, self.size)
        return [range(start, min(start + self.size, self.rows)) for start in starts if not self._mark(start).exists()]

    def finish(self, shard: range) -> None:
        """Write down that a shard is done: what it made must be on disk."""
        self._mark(shard.start).touch()

    def _mark(self, start: int) -> Path:
        return self.folder / f"shard-{start}.done"
