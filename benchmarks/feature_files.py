"""Image features as stage featurize leaves them, made of nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cspops.data.feature_blocks import FeatureBlocks
from cspops.data.features import name_of, shard_sizes, write_index, write_matrix
from cspops.pipeline.featurize import BLOCK


def write_features(folder: Path, obs_id: Sequence[str], width: int, block: Callable[[int], np.ndarray]) -> None:
    """Write shards of the stage's size; ``block`` makes the features of so many rows, `BLOCK` at most."""
    rows_per_shard = FeatureBlocks(folder, len(obs_id), width, BLOCK).rows_per_shard
    hashes = []
    for number, rows in enumerate(shard_sizes(len(obs_id), rows_per_shard)):
        blocks = (block(some) for some in shard_sizes(rows, BLOCK))
        hashes.append(write_matrix(folder / name_of(number), (rows, width), blocks))
    write_index(folder, obs_id, width, rows_per_shard, hashes)
