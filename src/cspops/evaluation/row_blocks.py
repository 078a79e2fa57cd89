"""Rows in parts of which a table with a column a class is made at once, so that n x q tables are never held.

What is kept of a block belongs in a tensor that was there before the first one: small tensors that outlive the tables lie
between them in memory, where they keep the freed ones from being used again (3 GB instead of 1.4 at 48,852 x 8,142).
"""

from cspops.shapes import Int, Tensor

TABLE = 2**20
"""Numbers of such a table: 8 MB in float64."""


def row_blocks(rows: Int[Tensor, "n"], classes: int) -> list[Int[Tensor, "b"]]:
    """``rows`` in parts of at most ``TABLE // classes``, in order; none where there is no row."""
    return [part for part in rows.split(max(1, TABLE // classes)) if len(part)]
