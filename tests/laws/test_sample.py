"""The embedded raw inputs are what their papers say: complete, unaltered, small, and free to pass on."""

import csv
import hashlib
import json
import re
from pathlib import Path

import pytest
from PIL import Image

SAMPLE = Path(__file__).parents[2] / "src" / "cspops" / "sample"
MANIFEST = json.loads((SAMPLE / "manifest.json").read_text())
README = (SAMPLE / "README.md").read_text()


def readme_row(name):
    """The cells of the table's row about a file."""
    rows = [line for line in README.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(rows) == 1, f"README.md has {len(rows)} rows about {name}"
    return [cell.strip() for cell in rows[0].strip("|").split("|")]


def test_the_folder_is_small_enough_for_git():
    assert sum(file.stat().st_size for file in SAMPLE.rglob("*") if file.is_file()) < 6_000_000


def test_every_file_is_in_the_manifest_or_explains_one():
    files = {file.relative_to(SAMPLE).as_posix() for file in SAMPLE.rglob("*") if file.is_file()}
    papers = {name for name in files if re.fullmatch(r"README\.md|LICENSE\..+|manifest\.json", name)}
    assert files - papers == set(MANIFEST)


@pytest.mark.parametrize("name", MANIFEST)
def test_manifest_is_true(name):
    data = (SAMPLE / name).read_bytes()
    assert MANIFEST[name] == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize("name", MANIFEST)
def test_readme_names_source_and_licence(name):
    _, what, _, licence = readme_row(name)
    assert what and licence
    if name.endswith(".csv"):
        return
    assert "public domain" in licence or re.search(r"`(LICENSE\.\S+)`", licence)
    _, _, sources = README.partition("**Sources.**")
    first_word = {"blue_marble.jpg": "Blue Marble:", "climate_zones.png": "Climate zones:"}[name]
    assert re.search(rf"{first_word} [A-Z][^.]+, [A-Z]\..*\(\d{{4}}\)", sources, re.DOTALL), "authors and year"


def test_every_licence_text_that_readme_names_is_there():
    named = re.findall(r"`(LICENSE\.\S+)`", README)
    assert named
    for name in named:
        text = (SAMPLE / name).read_text()
        assert "Copyright" in text and "Redistribution" in text


@pytest.mark.parametrize("name", [name for name in MANIFEST if not name.endswith(".csv")])
def test_rasters_have_the_size_that_readme_says_and_cover_the_globe(name):
    with Image.open(SAMPLE / name) as image:
        width, height = image.size
    assert f"{width} x {height} px" in readme_row(name)[2]
    assert width == 2 * height, "360 x 180 degrees of square pixels"


def test_the_table_of_zones_names_every_code_once():
    with (SAMPLE / "climate_zones.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["code"]) for row in rows] == list(range(1, 33))
    assert len({row["zone"] for row in rows}) == 32
    assert all(row["name"] for row in rows)
    assert rows[31]["name"] == "ocean"
