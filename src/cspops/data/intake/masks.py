"""Arrow columns as numpy masks."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def is_given(column: pa.Array) -> np.ndarray:
    """Which items are not null."""
    given: np.ndarray = pc.is_valid(column).to_numpy(zero_copy_only=False)
    return given


def is_true(mask: pa.Array) -> np.ndarray:
    """A mask of booleans, null taken for false."""
    true: np.ndarray = mask.fill_null(False).to_numpy(zero_copy_only=False)
    return true


def at(rows: np.ndarray, items: pa.Array, n: int) -> pa.Array:
    """A column of ``n`` items: ``items`` at ``rows``, null elsewhere; of a row named twice the last item."""
    place = np.full(n, -1, np.int64)
    place[rows] = np.arange(len(rows))
    return items.take(pa.array(place, mask=place < 0))
