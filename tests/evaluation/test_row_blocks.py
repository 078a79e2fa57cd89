"""Blocks of rows: all of them, in order, none too large."""

import pytest
import torch

from cspops.evaluation.combine import TABLE, row_blocks


@pytest.mark.parametrize(("n", "q"), [(0, 5), (1, 5), (23, 5), (23, 4000), (3, 2**22)])
def test_row_blocks_are_all_rows_in_order_and_no_larger_than_a_table(n, q):
    rows = torch.arange(n) * 2
    parts = row_blocks(rows, q)
    assert torch.equal(torch.cat([torch.empty(0, dtype=torch.long), *parts]), rows)
    assert all(len(part) > 0 and (len(part) * q <= TABLE or len(part) == 1) for part in parts)
