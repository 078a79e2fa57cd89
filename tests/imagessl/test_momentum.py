"""The queue against a deque, the momentum network against its formula, batch norm in groups."""

from collections import deque

import pytest
import torch
from torch import nn

from cspops.imagessl.momentum import Queue, follow, in_groups, momentum_copy, queue_size, shuffled


def queue(size: int = 7, dim: int = 2) -> Queue:
    return Queue.random(size, dim, generator=torch.Generator().manual_seed(0))


def test_the_queue_starts_as_random_unit_vectors():
    torch.testing.assert_close(queue(50, 16).keys.norm(dim=1), torch.ones(50), rtol=0, atol=1e-6)


@pytest.mark.parametrize("batches", [[3, 3, 3, 3, 3], [7, 7], [1] * 20, [2, 5, 7, 3, 4], [6, 6, 6]])
def test_the_queue_is_first_in_first_out(batches):
    """Against a deque of the same length: after each batch the newest 7 keys are there, in any order."""
    mine, oracle = queue(), deque(maxlen=7)
    oracle.extend(tuple(row) for row in mine.keys.tolist())
    count = 0
    for n in batches:
        batch = torch.arange(count, count + n).float()[:, None].expand(n, 2)
        count += n
        mine.enqueue(batch)
        oracle.extend(tuple(row) for row in batch.tolist())
        assert sorted(map(tuple, mine.keys.tolist())) == sorted(oracle)


@pytest.mark.parametrize("n", [8, 14, 20, 200])
def test_a_batch_longer_than_the_queue_leaves_its_newest_keys(n):
    mine = queue()
    mine.enqueue(torch.arange(3.0)[:, None].expand(3, 2))
    mine.enqueue(torch.arange(float(n))[:, None].expand(n, 2))
    assert sorted(mine.keys[:, 0].tolist()) == list(range(n - 7, n))
    mine.enqueue(torch.full((1, 2), -1.0))
    assert sorted(mine.keys[:, 0].tolist()) == [-1, *range(n - 6, n)]


def test_following_is_the_momentum_formula():
    """theta_k <- m theta_k + (1 - m) theta_q, parameter by parameter; the query network is not touched."""
    query = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    mine = momentum_copy(query)
    with torch.no_grad():
        for parameter in query.parameters():
            parameter.add_(torch.randn_like(parameter))
    before = [parameter.clone() for parameter in mine.parameters()]
    theirs = [parameter.detach().clone() for parameter in query.parameters()]
    follow(mine, query, 0.9)
    for now, was, its, query_now in zip(mine.parameters(), before, theirs, query.parameters(), strict=True):
        torch.testing.assert_close(now, 0.9 * was + 0.1 * its)
        assert torch.equal(query_now, its)


def test_a_momentum_copy_has_no_gradients():
    query = nn.Linear(3, 2)
    mine = momentum_copy(query)
    assert [parameter.requires_grad for parameter in mine.parameters()] == [False, False]
    assert query.weight.requires_grad
    assert mine.weight.data_ptr() != query.weight.data_ptr()
    assert not mine(torch.ones(1, 3)).requires_grad


def test_groups_have_statistics_of_their_own():
    """Batch norm over the two rows of a group answers -1 and 1; over all eight it would not.

    A group's variance is 1/4 at least, so eps = 1e-5 takes 2e-5 off at most.
    """
    norm = nn.BatchNorm1d(1, affine=False).train()
    out = in_groups(norm, torch.arange(8.0)[:, None] ** 2)
    torch.testing.assert_close(out[:, 0], torch.tensor([-1.0, 1.0] * 4), rtol=0, atol=3e-5)


def test_a_shuffled_batch_is_answered_in_its_own_order():
    x = torch.arange(10.0)[:, None]
    assert torch.equal(shuffled(nn.Identity(), x, 3, order=torch.randperm(10, generator=torch.Generator().manual_seed(0))), x)


@pytest.mark.parametrize(("asked", "images", "size"), [(4096, 32, 16), (8, 32, 8), (9, 3, 1), (9, 1, 1)])
def test_a_queue_is_at_most_half_the_images(asked, images, size):
    assert queue_size(asked, images) == size
