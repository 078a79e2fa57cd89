"""Neighbours and distant rows against a loop over all pairs."""

import math

import pytest
import torch

from cspops.errors import DataError
from cspops.geo import haversine
from cspops.imagessl import near_and_far
from cspops.imagessl.near_and_far import NearAndFar


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def places(n: int = 60, *, missing: bool = True) -> torch.Tensor:
    """Around the date line, where longitudes jump; every seventh row has no position."""
    u = torch.rand(n, 2, generator=stream(), dtype=torch.float64)
    lonlat = torch.stack(((u[:, 0] * 40 + 160 + 180) % 360 - 180, u[:, 1] * 60 - 10), 1)
    if missing:
        lonlat[::7] = math.nan
    return lonlat


def of(lonlat, neighbour_km=700.0, distant_km=2500.0) -> NearAndFar:
    return NearAndFar.of(lonlat, neighbour_km=neighbour_km, distant_km=distant_km, seed=0)


def drawn(what, n: int, times: int) -> list[set[int]]:
    """What was drawn for each row, many times."""
    others = what(torch.arange(n).repeat(times), stream(1)).view(times, n)
    return [set(column.unique().tolist()) for column in others.T]


def test_neighbours_are_all_the_rows_within_the_distance_but_oneself():
    """With at most 8 neighbours a row, 400 draws miss one with a probability of (7/8)^400 < 1e-23."""
    lonlat = places()
    found = of(lonlat)
    assert 1 < int(found.count.max()) <= 8
    for row, others in enumerate(drawn(found.neighbour, 60, 400)):
        oracle = {j for j in range(60) if j != row and float(haversine(lonlat[row], lonlat[j])) <= 700}
        assert int(found.count[row]) == len(oracle)
        assert others == (oracle or {row})


def test_neighbours_are_drawn_evenly():
    """Of 4 neighbours each comes up n/4 times; the standard deviation of 8000 draws is sqrt(8000 3/16) = 39."""
    lonlat = torch.tensor([[0.0, 0.0]] * 5 + [[90.0, 0.0]])
    rows = torch.zeros(8000, dtype=torch.long)
    counts = torch.bincount(of(lonlat).neighbour(rows, stream()), minlength=6)
    assert counts[0] == counts[5] == 0
    assert float((counts[1:5] - 2000).abs().max()) < 5 * 39


@pytest.mark.parametrize("tries", [1, 16])
def test_distant_rows_are_all_those_beyond_the_distance(tries, monkeypatch):
    """Also where the few rows drawn first hold no distant one. 51 rows: 1500 draws miss one with 51^2 (50/51)^1500 < 1e-9."""
    monkeypatch.setattr(near_and_far, "TRIES", tries)
    lonlat = places()
    found = of(lonlat)
    for row, others in enumerate(drawn(found.distant, 60, 1500)):
        oracle = {j for j in range(60) if float(haversine(lonlat[row], lonlat[j])) > 2500}
        assert bool(found.has_distant[row]) == bool(oracle)
        if oracle:
            assert others == oracle
        else:
            assert row not in others
            assert len(others) == 59


def test_a_rare_distant_row_is_found_by_looking_at_all():
    """One of 200 is far from the others: 16 tries find it with a probability of 8 % only."""
    lonlat = torch.zeros(200, 2, dtype=torch.float64)
    lonlat[137] = 50.0
    assert set(of(lonlat).distant(torch.arange(137), stream()).tolist()) == {137}


def test_the_usual_distances_come_from_the_fifth_nearest():
    lonlat = places(missing=False)
    fifth = sorted(sorted(float(haversine(lonlat[i], lonlat[j])) for j in range(60) if j != i)[4] for i in range(60))
    found = of(lonlat, None, None)
    assert found.neighbour_km == pytest.approx((fifth[29] + fifth[30]) / 2)
    assert found.distant_km == pytest.approx(20 * found.neighbour_km)
    assert of(lonlat, 300.0, None).distant_km == 6000


def test_a_distant_km_below_the_computed_neighbour_km_is_refused():
    with pytest.raises(DataError, match=r"distant_km is 3, less than the median distance to the 5th nearest image, [0-9.]+ km"):
        of(places(), None, 3.0)


@pytest.mark.parametrize("located", [0, 1, 2])
def test_few_positions_leave_rows_alone(located):
    """Rows without a position have no neighbour, and any other row as distant one."""
    lonlat = torch.full((9, 2), math.nan, dtype=torch.float64)
    lonlat[:located] = 7.0
    found = of(lonlat, None, None)
    assert found.count.tolist() == [1 if located == 2 and row < 2 else 0 for row in range(9)]
    assert not found.has_distant.any()
    for row, others in enumerate(drawn(found.distant, 9, 400)):
        assert others == set(range(9)) - {row}


def test_of_a_crowd_some_are_kept(monkeypatch):
    """30 rows at one place with room for 4 each: 4 others a row, and not the same for all."""
    monkeypatch.setattr(near_and_far, "MOST", 4)
    monkeypatch.setattr(near_and_far, "BLOCK", 7)
    found = of(torch.full((30, 2), 5.0, dtype=torch.float64))
    assert found.count.tolist() == [4] * 30
    near = found.near.view(30, 4)
    assert all(len(set(row)) == 4 and number not in row for number, row in enumerate(near.tolist()))
    assert len(near.unique()) > 20


def test_blocks_change_nothing(monkeypatch):
    whole = of(places())
    monkeypatch.setattr(near_and_far, "BLOCK", 7)
    parts = of(places())
    for name in ("first", "count", "near", "has_distant"):
        assert torch.equal(getattr(whole, name), getattr(parts, name))
