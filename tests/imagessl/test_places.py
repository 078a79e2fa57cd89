"""Partners and dates of places, against loops over the definition."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from unlabelled import unlabelled

from cspops.data.dates import NO_DATE
from cspops.geo import KM_PER_DEGREE
from cspops.imagessl.places import DAY, Places, below, grouped

PIXELS = torch.zeros(1, 1, 1, 3, dtype=torch.uint8)


def images(place, days, lonlat=None):
    """Rows with these places and days; None is no date."""
    captured = [NO_DATE if day is None else int(day * DAY) for day in days]
    return unlabelled(PIXELS.expand(len(place), -1, -1, -1), place=place, captured_at=captured, lonlat=lonlat)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def may_be_partners(place, days, i: int, j: int) -> bool:
    """The definition: one place, and two dates, or two images where both lack a date."""
    if place[i] != place[j] or place[i] < 0 or i == j or (days[i] is None) != (days[j] is None):
        return False
    return days[i] is None or days[i] // 1 != days[j] // 1


rows = st.lists(st.tuples(st.integers(-1, 3), st.sampled_from([None, -1.5, -0.5, 0, 0.4, 1, 7])), min_size=2, max_size=14)


@settings(max_examples=60, deadline=None)
@given(rows)
def test_partners_are_all_those_of_the_definition_and_no_other(table):
    place, days = [one[0] for one in table], [one[1] for one in table]
    places = Places.of(images(place, days), metres=None)
    n = len(table)
    found = places.partners(torch.arange(n).repeat(400), stream()).view(400, n)
    for i in range(n):
        allowed = {j for j in range(n) if may_be_partners(place, days, i, j)}
        assert set(found[:, i].tolist()) == (allowed or {i})
        assert bool(places.alone[i]) == (not allowed)


def test_each_partner_is_drawn_as_often():
    """Row 0 (day 0) has the partners 2, 3, 4: six standard deviations of a third of 3000 are 6 sqrt(3000 2/9) = 155."""
    places = Places.of(images([5] * 5, [0, 0.5, 3, 3, 9]), metres=None)
    count = Counter(places.partners(torch.zeros(3000, dtype=torch.long), stream()).tolist())
    assert count.keys() == {2, 3, 4}
    assert all(abs(number - 1000) < 155 for number in count.values())


def test_partners_are_drawn_anew_and_by_their_stream():
    places = Places.of(images([1] * 12, list(range(12))), metres=None)
    draws = stream()
    one, other = (places.partners(torch.arange(12), draws) for _ in range(2))
    assert not torch.equal(one, other)
    assert torch.equal(one, places.partners(torch.arange(12), stream()))


def test_dates_are_drawn_evenly_and_then_their_rows():
    """Place 0 has day 0 with three rows and day 1 with one: that row comes in half the draws (6 sd of 2000: 134)."""
    table = images([3, 3, 3, 3, 8], [0, 0.1, 0.2, 1, 0])
    places = Places.of(table, metres=None)
    assert len(places) == 2
    assert places.dates.size.tolist() == [2, 1]
    drawn = Counter(places.images(torch.zeros(2000, dtype=torch.long), stream()).tolist())
    assert drawn.keys() == {0, 1, 2, 3}
    assert abs(drawn[3] - 1000) < 134
    assert set(places.images(torch.ones(50, dtype=torch.long), stream()).tolist()) == {4}


def test_images_with_and_without_a_date_are_two_places():
    """An image without date may be of any: it is compared with others that have none, each of which is a date of its own."""
    places = Places.of(images([1] * 5, [0, 4, None, None, None]), metres=None)
    assert len(places) == 2
    assert places.place[:2].unique().numel() == places.place[2:].unique().numel() == 1
    assert sorted(places.dates.size.tolist()) == [2, 3]


def test_rows_without_location_id_are_alone():
    places = Places.of(images([-1] * 3, [0, 1, 2], lonlat=[[7.0, 50.0]] * 3), metres=None)
    assert len(places) == 3
    assert places.alone.all()


def test_positions_stand_in_for_location_id():
    """Chains of 100 m steps at the meridian of 180 degrees, beside a named place at the same position, which stays apart."""
    step = 0.1 / KM_PER_DEGREE
    lon = [180 - step, -180.0, -180 + step, 5.0, 180 - step, 6.0]
    lonlat = [[east, 0.0] for east in lon]
    lonlat[5] = [torch.nan, torch.nan]
    table = images([-1, -1, -1, -1, 0, -1], [0, 1, 2, 3, 4, 5], lonlat=lonlat)
    place = grouped(table, 110.0).tolist()
    assert place[0] == place[1] == place[2]
    assert len({*place}) == 4
    assert min(place) >= 0
    assert len({*grouped(table, 90.0).tolist()}) == 6
    assert len({*grouped(table, None).tolist()}) == 6


@pytest.mark.parametrize("limit", [0, 1, 2, 7])
def test_below_a_limit(limit):
    drawn = below(torch.full((500,), limit), stream())
    assert set(drawn.tolist()) == set(range(max(1, limit)))
