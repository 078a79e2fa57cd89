"""A stage that makes many folders, one a seed and label ratio, and continues at the one it was killed at."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from cspops.data.splits import ratio_key


def piece(seed: int, ratio: float) -> Path:
    """Where the model of a seed and label ratio lies inside its stage's folder."""
    return Path(f"seed_{seed}") / ratio_key(ratio)


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
