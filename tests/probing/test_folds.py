"""Folds: every row is tested once, places stay together, blocks keep their buffer, inner folds see no tested row."""

import numpy as np
import pytest
import torch

from cspops.errors import DataError
from cspops.geo import blocks, haversine, uniform_on_sphere
from cspops.probing.folds import Scheme

LONLAT = uniform_on_sphere(400, generator=torch.Generator().manual_seed(0))
RANDOM = Scheme("random", 4, 3, 10.0, 300.0)
BLOCKS = Scheme("blocks", 4, 3, 10.0, 300.0)


@pytest.mark.parametrize("scheme", [RANDOM, BLOCKS], ids=["random", "blocks"])
def test_each_row_is_tested_once_and_inner_folds_divide_the_training_rows(scheme: Scheme) -> None:
    nested = scheme.nested(LONLAT, seed=0)
    assert torch.cat([fold.outer.test for fold in nested]).sort().values.tolist() == list(range(400))
    assert max(len(fold.outer.test) for fold in nested) <= 110
    for fold in nested:
        train, test = set(fold.outer.train.tolist()), set(fold.outer.test.tolist())
        assert not train & test
        assert sorted(torch.cat([part.test for part in fold.inner]).tolist()) == sorted(train)
        for part in fold.inner:
            assert not set(part.train.tolist()) & set(part.test.tolist())
            assert set(part.train.tolist()) <= train


def test_no_row_within_the_buffer_of_a_tested_block_is_trained_on_inside_either() -> None:
    """By a direct loop over all pairs of rows."""
    for fold in BLOCKS.nested(LONLAT, seed=1):
        for part in (fold.outer, *fold.inner):
            km = haversine(LONLAT[part.train][:, None], LONLAT[part.test])
            assert float(km.min()) >= 300
            assert not np.intersect1d(blocks(LONLAT[part.train], 10.0), blocks(LONLAT[part.test], 10.0)).size


def test_only_rows_near_a_tested_block_are_left_out() -> None:
    far = torch.tensor([[5.0, 5.0], [14.9, 5.0], [15.0, 5.0], [50.0, 50.0]], dtype=torch.float64).repeat(12, 1)
    apart = far + torch.arange(48, dtype=torch.float64)[:, None] * 1e-4
    without = Scheme("blocks", 2, 2, 10.0, 0.0)._part(apart, blocks(apart, 10.0).numpy() == blocks(apart[:1], 10.0).numpy())
    with_buffer = Scheme("blocks", 2, 2, 10.0, 550.0)._part(
        apart, blocks(apart, 10.0).numpy() == blocks(apart[:1], 10.0).numpy()
    )
    assert len(without.train) == 36
    assert 12 <= len(with_buffer.train) < 36  # of those at 15 E, 554 km from 10 E on the 5th parallel, some


@pytest.mark.parametrize("scheme", [RANDOM, BLOCKS], ids=["random", "blocks"])
def test_rows_at_one_position_share_a_fold(scheme: Scheme) -> None:
    twice = torch.cat((LONLAT, LONLAT))
    for fold in scheme.nested(twice, seed=0):
        for part in (fold.outer, *fold.inner):
            assert not set((part.train % 400).tolist()) & set((part.test % 400).tolist())


def test_another_seed_gives_other_folds_and_the_same_seed_the_same() -> None:
    first, same, other = (RANDOM.nested(LONLAT, seed=seed)[0].outer.test.tolist() for seed in (0, 0, 1))
    assert first == same != other


@pytest.mark.parametrize(
    ("scheme", "lonlat", "says"),
    [
        (RANDOM, LONLAT[:3], "too few rows at different positions among 3 rows for 4 folds and 3 inside each"),
        (RANDOM, LONLAT[:1].repeat(100, 1), "too few rows at different positions"),
        (RANDOM, LONLAT[:12], "too few rows to train on"),
        (
            BLOCKS,
            LONLAT[:1].repeat(100, 1),
            "too few blocks among 100 rows for 4 folds of blocks of 10 degrees with a buffer of 300",
        ),
        (Scheme("blocks", 4, 3, 10.0, 5000.0), LONLAT, "too few rows to train on"),
    ],
)
def test_too_few_rows_or_blocks_are_named(scheme: Scheme, lonlat: torch.Tensor, says: str) -> None:
    with pytest.raises(DataError, match=says):
        scheme.nested(lonlat, seed=0)
