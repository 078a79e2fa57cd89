"""Long work row by row, which continues at the shard it was killed at."""

from dataclasses import dataclass
from pathlib import Path


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
