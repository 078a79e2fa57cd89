"""The queue of coordinates."""

import pytest
import torch

from cspops.gair.queue import CoordinateQueue, Start

PLACES = torch.arange(20, dtype=torch.float64).view(10, 2)


def queue(size: int, start: Start = "training", seed: int = 0) -> CoordinateQueue:
    return CoordinateQueue(size, PLACES, start=start, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [4, 10, 25])
def test_it_starts_with_training_places_each_once_where_they_suffice(size: int) -> None:
    rows = [tuple(one) for one in queue(size).keys.tolist()]
    assert len(rows) == size
    assert set(rows) <= {tuple(one) for one in PLACES.tolist()}
    assert len(set(rows)) == size or size > 10
    assert not torch.equal(queue(size).keys, queue(size, seed=1).keys)


def test_as_released_all_lie_a_degree_from_the_origin() -> None:
    at = queue(50, "as_released").keys
    assert torch.allclose(at.norm(dim=1), torch.ones(50, dtype=torch.float64))
    assert at.min() < -0.5 and at.max() > 0.5


def test_the_oldest_places_are_replaced_first_around_the_end() -> None:
    made = queue(5)
    first = made.keys.clone()
    new = 100 + torch.arange(8, dtype=torch.float64).view(4, 2)
    made.enqueue(new[:3])
    assert torch.equal(made.keys, torch.cat((new[:3], first[3:])))
    made.enqueue(new)
    assert torch.equal(made.keys, torch.stack((new[2], new[3], new[2], new[0], new[1])))


def test_entries_at_a_row_s_own_coordinates_are_found() -> None:
    made = queue(10)
    found = made.at(torch.cat((made.keys[3:4], made.keys[3:4] + 1e-9)))
    assert found[0].nonzero()[:, 0].tolist() == [3]
    assert not found[1].any()
