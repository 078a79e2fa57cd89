"""The resumable parts of a stage: one folder per seed and label ratio, or shards of rows."""

import shutil
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cspops.data.splits import piece
from cspops.files import replaced
from cspops.pipeline.side_by_side import side_by_side
from cspops.site import Site

Make = Callable[[int, float, Path], None]
"""A function that writes the folder of a seed and label ratio."""


def make_pieces(
    seeds: Sequence[int],
    ratios: Sequence[float],
    make: Make,
    site: Site,
    *,
    scratch: Path,
    together: Callable[[int, float], Hashable] = lambda seed, ratio: (seed, ratio),
) -> None:
    """Call ``make(seed, ratio, folder)`` for each piece that ``scratch`` does not hold yet, then copy all to ``site.out``.

    Pieces are made side by side, but for those that ``together`` maps to the same value: ``make`` may share work between
    them. A piece gets its name in ``scratch`` only when it is whole.
    """
    groups: dict[Hashable, list[tuple[int, float]]] = {}
    for ratio in sorted(ratios, reverse=True):  # the longest first
        for seed in seeds:
            if not (scratch / piece(seed, ratio)).is_dir():
                groups.setdefault(together(seed, ratio), []).append((seed, ratio))

    def make_group(group: list[tuple[int, float]]) -> None:
        for seed, ratio in group:
            with replaced(scratch / piece(seed, ratio)) as new:
                make(seed, ratio, new)

    for _ in side_by_side(make_group, [*groups.values()], site.host):
        pass
    # Names of unfinished pieces begin with a dot.
    shutil.copytree(scratch, site.out, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True)


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
