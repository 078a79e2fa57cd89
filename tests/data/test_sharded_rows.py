"""Training rows in shards: the numbers of one matrix, read once per epoch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from feature_files import write_features

from cspops.data import sharded_rows
from cspops.data.batches import epoch_of_rows
from cspops.data.features import Features, read_features
from cspops.data.sharded_rows import Computed, ShardedRows
from cspops.seeds import torch_stream

N, SHARD = 103, 10
MATRIX = (np.random.default_rng(0).standard_normal((N, 3)) * [1, 5, 0.01] + [0, 40, -7]).astype(np.float16)
TRAIN = np.flatnonzero(np.random.default_rng(1).random(N) < 0.7)
TRAIN = TRAIN[(TRAIN < 40) | (TRAIN >= 50)]
"""No row of the fifth shard."""


class Counted(np.ndarray):
    """A shard that tells how often it was read."""

    reads: int

    def __getitem__(self, rows: object) -> np.ndarray:
        self.reads += 1
        out: np.ndarray = np.asarray(self)[rows]  # type: ignore[index]
        return out


@pytest.fixture
def features(tmp_path: Path) -> Features:
    write_features(tmp_path, [str(row) for row in range(N)], MATRIX, rows_per_shard=SHARD)
    return read_features(tmp_path, [str(row) for row in range(N)])


def counted(features: Features) -> Features:
    shards = tuple(np.asarray(shard).view(Counted) for shard in features.shards)
    for shard in shards:
        shard.reads = 0
    return Features(features.width, features.rows_per_shard, shards)


def test_rows_are_those_of_the_matrix_in_any_order(features: Features) -> None:
    rows = ShardedRows(features, TRAIN)
    assert rows.shape == (len(TRAIN), 3) and len(rows) == len(TRAIN)
    asked = torch.from_numpy(np.random.default_rng(2).integers(0, len(TRAIN), 200))
    got = rows[asked]
    assert got.dtype == torch.float32
    assert torch.equal(got, torch.from_numpy(MATRIX[TRAIN]).float()[asked])
    assert torch.equal(Computed(rows, lambda x: 2 * x)[asked], 2 * got)
    there = rows.to(torch.device("meta"))
    assert there[asked].device.type == there.device.type == "meta" and rows.device.type == "cpu"


@pytest.mark.parametrize("mixed", [1, 2, 4, 100])
@pytest.mark.parametrize("batch", [2, 7, 30, 1000])
@pytest.mark.parametrize("share", [1, 3])
def test_an_epoch_visits_every_row_once_and_reads_every_shard_once(
    features: Features, monkeypatch: pytest.MonkeyPatch, mixed: int, batch: int, share: int
) -> None:
    """Also where each of several processes takes its share of a batch. The shard without training rows is not read."""
    monkeypatch.setattr(sharded_rows, "MIXED", mixed)
    own = counted(features)
    rows = ShardedRows(own, TRAIN)
    for epoch in range(2):
        batches = [*epoch_of_rows(len(rows), batch, generator=torch_stream(epoch, "rows"), order=rows.order)]
        visited = torch.cat(batches)
        assert len(visited) == len(set(visited.tolist())) >= len(TRAIN) - 1
        for numbers in batches:
            part = numbers[: max(1, len(numbers) // share)]
            assert torch.equal(rows[part], torch.from_numpy(MATRIX[TRAIN[part.numpy()]]).float())
        reads = [shard.reads for shard in own.shards if isinstance(shard, Counted)]
        assert reads[4] == 0 and max(reads) <= epoch + 1


def test_no_more_shards_are_in_memory_than_are_mixed(features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharded_rows, "MIXED", 3)
    rows = ShardedRows(features, TRAIN)
    for numbers in epoch_of_rows(len(rows), 9, generator=torch_stream(0, "rows"), order=rows.order):
        rows[numbers]
        assert len(rows._held) <= 3


def test_epochs_differ_and_are_the_streams(features: Features) -> None:
    rows = ShardedRows(features, TRAIN)
    orders = [rows.order(torch_stream(seed, "rows")).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(len(TRAIN)))
    assert len({order[0] for order in (rows.order(torch_stream(seed, "rows")).tolist() for seed in range(40))}) > 10


def test_an_epoch_mixes_shards(features: Features) -> None:
    """The first quarter of an epoch comes from four shards, in no order."""
    rows = ShardedRows(features, TRAIN)
    first = TRAIN[rows.order(torch_stream(0, "rows")).numpy()[:20]]
    assert len(set((first // SHARD).tolist())) == 4
    assert (np.diff(first) < 0).any() and len(set((first[:6] // SHARD).tolist())) > 1


@pytest.mark.parametrize("at_once", [1, 13, 4096])
def test_statistics_are_those_of_the_matrix(features: Features, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(sharded_rows, "ROWS_AT_ONCE", at_once)
    mean, sd = ShardedRows(features, TRAIN).mean_and_sd
    exact = MATRIX[TRAIN].astype(np.float64)
    assert np.allclose(mean.numpy(), exact.mean(0), rtol=1e-6)
    assert np.allclose(sd.numpy(), exact.std(0), rtol=1e-6)


def test_statistics_go_with_the_rows_to_a_device(features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ShardedRows(features, TRAIN).fitted()
    monkeypatch.setattr(ShardedRows, "_blocks", lambda self: iter(()))
    assert torch.equal(rows.to(torch.device("cpu")).mean_and_sd[0], rows.mean_and_sd[0])
