"""Continents and countries of places that everybody knows, and of places in none."""

from importlib.util import find_spec

import numpy as np
import pytest

from cspops.data.countries import NOWHERE, PACKAGE, continents_and_countries

pytestmark = pytest.mark.skipif(find_spec(PACKAGE) is None, reason="the shapes of countries are not installed")

PLACES = {
    (8.54, 47.37): ("Europe", "Switzerland"),
    (-58.4, -34.6): ("South America", "Argentina"),
    (36.8, -1.3): ("Africa", "Kenya"),
    (178.44, -18.14): ("Oceania", "Fiji"),
    (-179.9, -16.9): (None, None),  # at sea
    (0.0, 0.0): (None, None),
    (np.nan, np.nan): (None, None),
    (20.0, -80.0): ("Antarctica", "Antarctica"),
    (-175.0, 66.6): ("Europe", "Russia"),  # Natural Earth has all of it in Europe
}


def test_places_are_in_their_countries_and_continents() -> None:
    found = continents_and_countries(np.array([*PLACES]))
    named = [[None if number == NOWHERE else lands.names[number] for number in lands.number] for lands in found]
    assert [*zip(*named, strict=True)] == [*PLACES.values()]


def test_no_place_has_no_country() -> None:
    assert [len(lands.number) for lands in continents_and_countries(np.empty((0, 2)))] == [0, 0]
