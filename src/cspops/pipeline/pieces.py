"""A stage that makes many folders, one a seed and label ratio, and continues at the one it was killed at."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cspops.data.splits import piece


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
            begun = scratch / "begun"
            shutil.rmtree(begun, ignore_errors=True)
            begun.mkdir(parents=True)
            make(seed, ratio, begun)
            done.parent.mkdir(parents=True, exist_ok=True)
            os.replace(begun, done)
    shutil.rmtree(scratch / "begun", ignore_errors=True)
    shutil.copytree(scratch, out, dirs_exist_ok=True)


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
