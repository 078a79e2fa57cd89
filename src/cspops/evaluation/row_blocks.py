"""Rows in parts of which a table with a column a class is made at once, so that n x q tables are never held."""

from cspops.shapes import Int, Tensor

TABLE = 2**21
"""Numbers of such a table: 16 MB in float64."""


def row_blocks(rows: Int[Tensor, "n"], classes: int) -> list[Int[Tensor, "b"]]:
    """``rows`` in parts of at most ``TABLE // classes``, in order; none where there is no row."""
    return [part for part in rows.split(max(1, TABLE // classes)) if len(part)]
