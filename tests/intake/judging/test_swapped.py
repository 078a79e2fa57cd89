"""Towns and capitals of the world, as they are and exchanged."""

import functools

import numpy as np
import pytest

from cspops.intake.judging import whole_set
from cspops.intake.judging.whole_set import IMPOSSIBLE, PLACES, look_exchanged
from cspops.land import climate_zones

ZONES = functools.cache(climate_zones)


@pytest.fixture(autouse=True)
def read_once(monkeypatch):
    monkeypatch.setattr(whole_set, "climate_zones", ZONES)


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
    assert "dataset.table.columns" in said


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
    monkeypatch.setattr(whole_set, "climate_zones", lambda: pytest.fail("the raster is read"))
    lon, lat = (np.tile(axis[: PLACES - 1], 20) for axis in axes(EUROPE))
    assert look_exchanged(lat, lon, given=len(lon), exchangeable=0) is None


def test_positions_beyond_90_degrees_speak_against_it_without_a_look_at_the_map(monkeypatch):
    monkeypatch.setattr(whole_set, "climate_zones", lambda: pytest.fail("the raster is read"))
    lon, lat = axes(EUROPE)
    assert look_exchanged(np.append(lat, 100.0), np.append(lon, 10.0), given=16, exchangeable=0) is None


@pytest.mark.parametrize(("exchangeable", "suspected"), [(0, False), (4, False), (5, True), (60, True)])
def test_impossible_latitudes_are_counted(exchangeable, suspected):
    assert IMPOSSIBLE == 0.05
    said = look_exchanged(np.zeros(0), np.zeros(0), given=100, exchangeable=exchangeable)
    assert (said is not None) == suspected
    if said:
        assert f"{exchangeable} of 100 positions" in said


@pytest.mark.parametrize(
    ("given", "exchangeable", "suspected"),
    [(6, 1, False), (9, 1, False), (9, 9, False), (10, 2, False), (10, 3, True), (40, 2, False)],
)
def test_slips_of_the_pen_in_a_small_set_are_none(given, exchangeable, suspected):
    """Two of 40 are the share that counts, and too few rows; nine positions are too few whatever they say."""
    assert PLACES == 10
    said = look_exchanged(np.zeros(0), np.zeros(0), given=given, exchangeable=exchangeable)
    assert (said is not None) == suspected


def test_nothing_given_is_nothing_suspected():
    assert look_exchanged(np.zeros(0), np.zeros(0), given=0, exchangeable=0) is None
