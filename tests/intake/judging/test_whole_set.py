"""Exchanged axes by towns of the world, duplicates against a double loop over all pairs."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.climate_raster import codes
from cspops.intake.judging import whole_set
from cspops.intake.judging.labels import OFFICIAL
from cspops.intake.judging.whole_set import IMPOSSIBLE, PLACES, PRECEDENCE, find_duplicates, look_exchanged

ZONES = functools.cache(codes)


@pytest.fixture(autouse=True)
def read_once(monkeypatch):
    monkeypatch.setattr(whole_set, "codes", ZONES)


EUROPE = [
    (2.3, 48.9), (13.4, 52.5), (16.4, 48.2), (21.0, 52.2), (19.0, 47.5), (14.4, 50.1), (26.1, 44.4), (23.3, 42.7), (30.5, 50.4),
    (27.6, 53.9), (11.6, 48.1), (8.7, 50.1), (4.8, 45.8), (7.5, 47.6), (24.0, 49.8),
]  # fmt: skip
"""Towns inland: longitude, latitude."""
AFRICA = [
    (8.5, 12.0),
    (7.5, 9.1),
    (21.0, 12.1),
    (15.0, 12.1),
    (18.5, 4.4),
    (32.5, 15.6),
    (38.7, 9.0),
    (36.8, -1.3),
    (30.1, -1.9),
    (25.2, 0.5),
    (32.6, 0.3),
]
ATLANTIC = [(float(-40 + i), float(30 + i)) for i in range(20)]


def axes(places):
    lon, lat = np.array(places).T
    return lon, lat


@pytest.mark.parametrize("places", [EUROPE, AFRICA, ATLANTIC], ids=["Europe", "Africa", "Atlantic"])
def test_a_set_that_is_right_is_not_suspected(places):
    lon, lat = axes(places)
    assert look_exchanged(lon, lat, given=len(lon), exchangeable=0) is None


def test_europe_exchanged_lies_in_the_sea():
    lon, lat = axes(EUROPE)
    said = look_exchanged(lat, lon, given=len(lon), exchangeable=0)
    assert said is not None and said.startswith("latitude and longitude look exchanged: ")
    assert f"of {len(EUROPE)} places lie on land as given, 100% when exchanged" in said
    assert said.endswith("if so, correct them where they stand")


def test_towns_that_lie_on_land_both_ways_cannot_be_told():
    lon, lat = axes(
        [
            (8.5, 12.0),
            (9.0, 10.0),
            (10.0, 12.0),
            (7.5, 9.1),
            (11.0, 9.0),
            (12.0, 10.5),
            (13.0, 11.8),
            (8.0, 10.0),
            (9.5, 11.0),
            (10.2, 9.5),
        ]
    )
    assert look_exchanged(lat, lon, given=10, exchangeable=0) is None


def test_many_rows_at_few_places_are_no_evidence(monkeypatch):
    monkeypatch.setattr(whole_set, "codes", lambda: pytest.fail("the raster is read"))
    lon, lat = (np.tile(axis[: PLACES - 1], 20) for axis in axes(EUROPE))
    assert look_exchanged(lat, lon, given=len(lon), exchangeable=0) is None


def test_positions_beyond_90_degrees_speak_against_it_without_a_look_at_the_map(monkeypatch):
    monkeypatch.setattr(whole_set, "codes", lambda: pytest.fail("the raster is read"))
    lon, lat = axes(EUROPE)
    assert look_exchanged(np.append(lat, 100.0), np.append(lon, 10.0), given=16, exchangeable=0) is None


@pytest.mark.parametrize(
    ("given", "exchangeable", "suspected"),
    [(100, 0, False), (100, 4, False), (100, 5, True), (100, 60, True), (0, 0, False), (6, 1, False), (9, 9, False),
     (10, 2, False), (10, 3, True), (40, 2, False)],
)  # fmt: skip
def test_impossible_latitudes_are_counted_and_slips_of_the_pen_are_none(given, exchangeable, suspected):
    """Two of 40 are the share that counts, and too few rows; nine positions are too few whatever they say."""
    assert (IMPOSSIBLE, PLACES) == (0.05, 10)
    said = look_exchanged(np.zeros(0), np.zeros(0), given=given, exchangeable=exchangeable)
    assert (said is not None) == suspected
    if said:
        assert f"{exchangeable} of {given} positions" in said


prop = settings(deadline=None, derandomize=True, max_examples=150)

rows_of_any_kind = st.lists(
    st.tuples(
        st.integers(-1, 3),  # image
        st.sampled_from([(-1, -1, -1, -1), (0, 0, 5, 5), (0, 0, 5, 6)]),  # crop
        st.integers(-1, 1),  # label
        st.integers(-1, len(OFFICIAL) - 1),  # role
        st.booleans(),  # located
        st.sampled_from([True, True, True, False]),  # candidate
    ),
    max_size=14,
)


def naive(rows):
    """For each row what it is, and of which row."""
    found = []
    for i, (image, crop, label, role, _, candidate) in enumerate(rows):
        same = [j for j, other in enumerate(rows) if candidate and other[5] and image >= 0 and other[:2] == (image, crop)]
        labels = [(j, rows[j][2]) for j in same if rows[j][2] >= 0]
        if len(same) < 2:
            found.append((None, -1))
        elif len({one for _, one in labels}) > 1:
            first = labels[0]
            other = next(one for one in labels if one[1] != first[1])
            found.append(("contradiction", other[0] if label == first[1] else first[0]))
        else:

            def rank(j):
                role = rows[j][3]
                return PRECEDENCE.index(OFFICIAL[role]) if role >= 0 else 5, rows[j][2] < 0, not rows[j][4], j

            best = min(same, key=rank)
            leaks = role >= 0 and rows[best][3] >= 0 and role != rows[best][3]
            found.append((None, -1) if best == i else ("leakage" if leaks else "again", best))
    return found


def vectorised(rows):
    columns = [np.array([row[i] for row in rows]) for i in (0, 2, 3)]
    got = find_duplicates(
        columns[0].astype(np.int32),
        np.array([row[1] for row in rows]).reshape(-1, 4),
        label=columns[1].astype(np.int32),
        role=columns[2].astype(np.int8),
        located=np.array([row[4] for row in rows], bool),
        candidate=np.array([row[5] for row in rows], bool),
    )
    kinds = {name: getattr(got, name) for name in ("again", "leakage", "contradiction")}
    assert (sum(mask.astype(int) for mask in kinds.values()) <= 1).all()
    names = [next((name for name, mask in kinds.items() if mask[i]), None) for i in range(len(rows))]
    return list(zip(names, got.other.tolist(), strict=True))


@prop
@given(rows_of_any_kind)
def test_as_a_double_loop_finds(rows):
    assert vectorised(rows) == naive(rows)
