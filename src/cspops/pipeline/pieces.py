"""The resumable parts of a stage: one folder per seed and label ratio, or shards of rows."""

import json
import logging
import shutil
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cspops.data.splits import piece
from cspops.files import replaced, sha256_of
from cspops.pipeline.side_by_side import side_by_side
from cspops.ranks import Processes
from cspops.site import Site

log = logging.getLogger(__name__)

Make = Callable[[int, float, Path], None]
"""A function that writes the folder of a seed and label ratio."""
HASHES = ".sha256.json"
"""In the folder of a piece: the hash of each of its files."""


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
    them. A piece gets its name in ``scratch`` only when it is whole; one that is no longer as it was written is made anew.
    Processes that train together make each piece together, and the first one's is kept.
    """
    groups: dict[Hashable, list[tuple[int, float]]] = {}
    every = [(seed, ratio) for ratio in sorted(ratios, reverse=True) for seed in seeds]  # the longest first
    for seed, ratio in _left(every, scratch, site.processes):
        groups.setdefault(together(seed, ratio), []).append((seed, ratio))

    def make_group(group: list[tuple[int, float]]) -> None:
        for seed, ratio in group:
            if not site.processes.first:
                folder = site.out / piece(seed, ratio)
                folder.mkdir(parents=True)
                make(seed, ratio, folder)
                continue
            with replaced(scratch / piece(seed, ratio)) as new:
                make(seed, ratio, new)
                (new / HASHES).write_text(json.dumps(_hashes(new)))

    for _ in side_by_side(make_group, [*groups.values()], site.host):
        pass
    if not site.processes.first:
        return
    # Names of unfinished pieces and of hashes begin with a dot.
    shutil.copytree(scratch, site.out, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True)


def _left(every: Sequence[tuple[int, float]], scratch: Path, processes: Processes) -> list[tuple[int, float]]:
    """Return the pieces that are not made yet; of several processes, the first one looks."""
    done = [_is_done(scratch / piece(seed, ratio)) for seed, ratio in every] if processes.first else []
    said = processes.told(bytes(done)) or b""
    return [one for one, is_done in zip(every, said, strict=True) if not is_done]


def _hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of a piece but `HASHES`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != HASHES)
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def _is_done(folder: Path) -> bool:
    """Return whether a piece is there and as it was written; warn where it is another."""
    if not folder.is_dir():
        return False
    try:
        if json.loads((folder / HASHES).read_bytes()) == _hashes(folder):
            return True
    except (OSError, ValueError):
        pass
    log.warning(f"{folder} is not as it was written: it is made anew")
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
