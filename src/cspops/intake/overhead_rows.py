"""Overhead images in the batches of a source: two more columns than `rows.ROWS`, and what is counted of them.

- `overhead_bbox`: what an overhead image shows, as text (four numbers: west, south, east, north) or as `BOX`, a batch at a
  time; null where only the file itself says it.
- `overhead`: an image from above, beside the row's own. Batches without this column say that the images themselves are
  overhead images; batches without either, that there are none.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from cspops.intake.rows import Account, Inspect
from cspops.pixels.reading import IMAGE, Reading

BOX = pa.list_(pa.float64(), 4)
"""`overhead_bbox` as numbers, degrees."""

Locate = Callable[[pa.StructArray], list[tuple[float, float, float, float] | str]]
"""Takes images and returns the footprint that each file gives (west, south, east, north), or why it gives none, a fixed
sentence."""


@dataclass(frozen=True)
class Looking:
    """How overhead images are looked at while they are taken in."""

    locate: Locate
    """Finds the footprints that only the files give."""
    inspect: Inspect | None
    """Looks at those beside an image; None trusts them."""
    reading: Reading
    """How those become RGB."""


def with_overhead(batch: pa.RecordBatch, overhead: pa.Array | None, bbox: pa.Array | None) -> pa.RecordBatch:
    """Append the columns to a batch; ``overhead`` None: the images are overhead images, ``bbox`` None: all null."""
    batch = batch.append_column("overhead_bbox", pa.nulls(len(batch), pa.string()) if bbox is None else bbox)
    return batch if overhead is None else batch.append_column("overhead", overhead.cast(IMAGE))


@dataclass(frozen=True)
class OverheadAccount(Account):
    """Where the rows of a source ended that has overhead images."""

    with_overhead: int
    """Observations with an overhead image, beside their photo or instead of one."""

    def numbers(self) -> dict[str, int | float]:
        """Return the counts of `Account`, and this one."""
        return super().numbers() | {"with_overhead": self.with_overhead}
