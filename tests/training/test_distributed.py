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
    means = [x[share].mean() * Processes(rank, size).weight(n) for rank, share in enumerate(shares)]
    assert sum(means) / size == pytest.approx(x.mean())


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
