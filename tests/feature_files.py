"""Image features as stage featurize leaves them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cspops.data import features


def write_features(folder: Path, obs_id: Sequence[str], matrix: np.ndarray, *, rows_per_shard: int = 10**6) -> None:
    """Write the rows of a matrix in shards, and their index."""
    folder.mkdir(exist_ok=True)
    hashes = []
    for number, start in enumerate(range(0, len(matrix), rows_per_shard)):
        part = matrix[start : start + rows_per_shard]
        hashes.append(features.write_matrix(folder / features.name_of(number), part.shape, [part]))
    features.write_index(folder, obs_id, matrix.shape[1], rows_per_shard, hashes)
