"""P(y|I) that others published: one sparse file per seed and label ratio, in place of a fitted classifier."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse

from cspops.errors import DataError
from cspops.shapes import Bool, Float, Int, Tensor

NAME = "released.npz"
FLOOR = 2.0**-126
"""Stands for a probability of 0, which has no logarithm: the least normal float32, below all that are published.

Note: The released code multiplies probabilities, so that classes of P(y|I) = 0 are tied at the end. Here P(y|x) orders
them, still after every other class unless P(y|x) of that one is 1e30 times smaller.
"""


def write_released(folder: Path, probabilities: Any) -> None:
    """Write a scipy csr matrix (rows of the catalogue, classes); rows without a prediction are empty."""
    table = sparse.csr_array(probabilities, dtype=np.float32)
    table.eliminate_zeros()
    sparse.save_npz(folder / NAME, table)


def read_released(folder: Path, shape: tuple[int, int]) -> Any:
    """Read what `write_released` wrote into ``folder``; None without such a file, DataError for another shape."""
    file = folder / NAME
    if not file.is_file():
        return None
    table = sparse.csr_array(sparse.load_npz(file))
    if table.shape != shape:
        raise DataError(
            f"{file} has {table.shape[0]} rows and {table.shape[1]} classes, the catalogue {shape[0]} and {shape[1]}",
            hint="dvc repro finetune-img",
        )
    return table


def predicted(table: Any) -> Bool[Tensor, "n"]:
    """Return which rows have a prediction."""
    return torch.from_numpy(np.diff(table.indptr) > 0)


def released_log_p(table: Any, rows: Int[Tensor, "b"]) -> Float[Tensor, "b q"]:
    """Return log P(y|I) of some rows, normalised: published rows may not sum to 1. It is uniform without a prediction."""
    p = torch.from_numpy(table[rows.numpy()].toarray()).double()
    return p.clamp_(min=FLOOR).log_().log_softmax(-1)
