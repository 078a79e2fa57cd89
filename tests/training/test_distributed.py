"""Processes that train together end where one would, and none goes on without the others."""

import json

import pytest
import torch
from safetensors.torch import load_file
from tiny_classifier import CPU, train, train_together

from cspops.errors import CspopsError
from cspops.ranks import Processes
from cspops.training.distributed import run_together


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 100])
def test_shares_cut_a_batch_and_their_weighted_means_average_to_its_mean(n, size):
    """Where not each share has two rows, each process takes all."""
    x = torch.rand(n, generator=torch.Generator().manual_seed(n))
    shares = [Processes(rank, size).share(n) for rank in range(size)]
    rows = [list(range(n))[share] for share in shares]
    if n >= 2 * size:
        assert [row for share in rows for row in share] == list(range(n))
    else:
        assert rows == [list(range(n))] * size
    assert min(map(len, rows)) >= 2
    assert [Processes(rank, size).shares(n) for rank in range(size)] == [size > 1 and n >= 2 * size] * size
    means = [x[share].mean() * Processes(rank, size).weight(n) for rank, share in enumerate(shares)]
    assert sum(means) / size == pytest.approx(x.mean())


@pytest.mark.parametrize("n", [8, 9, 23, 26, 7, 3])
@pytest.mark.parametrize("parts", [1, 2, 4, 6])
@pytest.mark.parametrize("size", [2, 4])
def test_shares_of_parts_are_cut_where_a_batch_cut_in_parts_is(n, parts, size):
    """Where there are as many for each process: batch norm then sees the groups that it sees in one process."""
    ranks = [Processes(rank, size, parts=parts) for rank in range(size)]
    cut = [part.tolist() for part in torch.arange(n).tensor_split(max(1, min(parts, n // 2)))]
    if n < 2 * size:
        assert all(ranks[0].share(n) == one.share(n) == slice(0, n) for one in ranks)
    elif len(cut) % size:
        assert [one.share(n) for one in ranks] == [Processes(one.rank, size).share(n) for one in ranks]
        assert {one.own_parts(n) for one in ranks} == {0}
    else:
        mine = [torch.arange(n)[one.share(n)].tensor_split(one.own_parts(n)) for one in ranks]
        assert [part.tolist() for parts_of_one in mine for part in parts_of_one] == cut
    assert sum(one.weight(n) for one in ranks) == pytest.approx(size)


def test_two_processes_stop_continue_and_end_where_one_does_and_one_that_fails_ends_both(tmp_path):
    """29 rows in batches of 10, each cut into two parts: nine optimiser steps, of which the second call makes five."""
    with pytest.raises(CspopsError, match="process 1 of 2 failed: ValueError: the second has had enough"):
        run_together(train_together, tmp_path, size=2, device=CPU)
    assert (tmp_path / "stopped-0").exists()
    assert (tmp_path / "stopped-1").exists()
    alone, curve = train(accumulation=2)
    together = load_file(tmp_path / "model" / "model.safetensors")
    its_curve = json.loads((tmp_path / "model" / "config.json").read_text())["curve"]
    for key, mine in alone.state_dict().items():
        torch.testing.assert_close(together[key], mine, rtol=1e-3, atol=1e-5, msg=key)
    for row, its_row in zip(curve, its_curve, strict=True):
        assert its_row == pytest.approx(row, rel=1e-4)
