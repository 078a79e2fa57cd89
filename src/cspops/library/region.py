"""Regions of the Earth: the polygons of a GeoJSON file, or a country of `data.countries` by its ISO 3166-1 code."""

import json
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from cspops.data.countries import ALIKE, CODES, NAME, countries_file
from cspops.errors import DataError, ParamsError, nearest
from cspops.intake.tables.geometry import json_shape, to_degrees
from cspops.shapes import Bool, Float

FORMS = "a GeoJSON file with polygons, or a country's ISO code of two or three letters: CH, CHE"


@dataclass(frozen=True)
class Region:
    """A part of the Earth."""

    name: str
    shape: shapely.Geometry
    """Polygons in degrees; across the antimeridian they are cut there, or have longitudes beyond 180 degrees."""

    def holds(self, lonlat: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, "n"]:
        """Return which positions (longitudes in [-180, 180)) lie in it or on its border; none that is nan."""
        inside = np.zeros(len(lonlat), dtype=bool)
        for turn in self._turns:
            inside |= shapely.intersects_xy(self.shape, lonlat[:, 0] + turn, lonlat[:, 1])
        inside &= ~np.isnan(lonlat).any(1)
        return inside

    @cached_property
    def _turns(self) -> list[int]:
        west, _, east, _ = shapely.bounds(self.shape)
        shapely.prepare(self.shape)
        return [turn for turn, needed in ((0, True), (360, east >= 180), (-360, west < -180)) if needed]


def read_region(text: str) -> Region:
    """Return the region that a user names: `FORMS`. ParamsError where it names none, DataError for a file that has none."""
    file = Path(text)
    if not text.strip():
        raise ParamsError(f"--region {text!r} is empty", hint=FORMS)
    if file.is_dir():
        raise ParamsError(f"--region {text} is a folder", hint=FORMS)
    if file.suffix or "/" in text or file.exists():
        return Region(text, _polygons(file))
    return _country(text)


def _polygons(file: Path) -> shapely.Geometry:
    try:
        content = json.loads(file.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"--region {file} cannot be read: {error.strerror}", hint=FORMS) from None
    except (ValueError, RecursionError):
        raise DataError(f"--region {file} is not GeoJSON: it is no JSON", hint=FORMS) from None
    shapes = [_shape(one, number, file) for number, one in enumerate(_geometries(content), 1)]
    polygons = [one for one in shapely.get_parts(shapely.get_parts(shapes)) if shapely.get_dimensions(one) == 2]
    if not polygons:
        raise DataError(f"--region {file} holds no polygon", hint=FORMS)
    whole = shapely.union_all(shapely.make_valid(np.array(polygons)))
    degrees = to_degrees(_system(content), str(file))
    if degrees is not None:
        whole = shapely.transform(whole, lambda at: np.column_stack(degrees(at[:, 0], at[:, 1])))
    bounds = shapely.bounds(whole)
    if not (np.abs(bounds) <= (540, 90, 540, 90)).all():  # nan is not, either
        edges = " ".join(f"{edge:g}" for edge in bounds)
        raise DataError(f"--region {file} is not in degrees: its bounds are {edges}", hint="save it in WGS84, as GeoJSON is")
    return whole


def _geometries(content: Any) -> list[Any]:
    """Return the geometries of a collection, a feature or a geometry; none where it is something else."""
    if not isinstance(content, dict):
        return []
    if isinstance(content.get("features"), list):
        return [one.get("geometry") for one in content["features"] if isinstance(one, dict) and one.get("geometry")]
    if content.get("type") == "Feature":
        return [content["geometry"]] if content.get("geometry") else []
    return [content] if "type" in content else []


def _shape(geometry: Any, number: int, file: Path) -> shapely.Geometry:
    try:
        return json_shape(geometry)
    except ValueError:
        kind = geometry.get("type") if isinstance(geometry, dict) else None
        what = f"geometry {number} cannot be read as {kind if isinstance(kind, str) else 'one of GeoJSON'}"
        raise DataError(f"--region {file}: {what[:120]}: its coordinates are broken", hint=FORMS) from None


def _system(content: Any) -> str:
    """Return the reference system that an older file names; GeoJSON itself has one alone."""
    crs = content.get("crs") if isinstance(content, dict) else None
    name = crs.get("properties", {}).get("name") if isinstance(crs, dict) and isinstance(crs.get("properties"), dict) else None
    return name if isinstance(name, str) else "CRS84"


def _country(text: str) -> Region:
    import pyogrio

    file = countries_file()
    with warnings.catch_warnings(action="ignore"):
        about = pyogrio.read_arrow(file, columns=[*CODES, ALIKE, NAME], read_geometry=False)[1].to_pydict()
        code, rows = text.upper(), range(len(about[NAME]))
        wanted = [row for row in rows if code in (about[one][row] for one in CODES)]
        wanted = wanted or [row for row in rows if code == about[ALIKE][row]]
        if not wanted or code == "-99":
            raise ParamsError(f"--region {text} is no country: {FORMS}", hint=_meant(text, about))
        shapes = pyogrio.read_arrow(file, columns=[NAME], fids=wanted)[1].column("wkb_geometry").to_pylist()
    return Region(f"{about[NAME][wanted[0]]} ({code})", shapely.union_all(shapely.from_wkb(shapes)))


def _meant(text: str, about: dict[str, list[str]]) -> str:
    """Return a hint with the code of the country that has such a name."""
    near = nearest(text, about[NAME], cutoff=0.7)
    if not near:
        return "a file has a suffix: --region area.geojson"
    row = about[NAME].index(near[0])
    code = next((about[one][row] for one in (*CODES, ALIKE) if about[one][row] != "-99"), "")
    return f"the code of {near[0]} is {code}"
