"""Strikes are joined with airports by name, whole months at an airport share a fold, and the table is printed."""

import csv
import math
from pathlib import Path

import pytest
import torch

from benchmarks import season
from cspops.params import with_values

AIRPORTS = {"Alpha International": ("AAA", 10.0, 50.0), "Beta Intl Airport": ("BBB", -90.0, 40.0)}
SPECIES = ("Winter gull", "Summer swallow")


def write(folder: Path, rows: list[tuple[str, str, str]]) -> None:
    tables = {
        "airports.csv": [
            ("iata", "name", "longitude", "latitude"),
            *((iata, name, lon, lat) for name, (iata, lon, lat) in AIRPORTS.items()),
            *(("T1", "Twin", 0, 0), ("T2", "Twin Airport", 1, 1)),
        ],
        "birdstrikes.csv": [("Airport Name", "Flight Date", "Wildlife Species"), *rows],
    }
    for name, lines in tables.items():
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(lines)


@pytest.fixture
def strikes(tmp_path: Path) -> season.Strikes:
    """Gulls from October to March, swallows else; and rows that are left out."""
    rows = [
        (name, f"{year}-{month:02d}-{day:02d}", SPECIES[month in range(4, 10)])
        for name in ("ALPHA INTL", "BETA INTL ARPT")
        for year in (1999, 2000)
        for month in range(1, 13)
        for day in (3, 17)
    ]
    left_out = [
        *[("ALPHA INTL", "2000-05-05", "Unknown bird - small")] * 30,
        *[("TWIN", "2000-05-05", SPECIES[0])] * 30,  # two airports have that name
        *[("ALPHA", "2000-05-05", SPECIES[0])] * 30,  # and none that one
        *[("ALPHA INTL", "2000-05-05", "Rare owl")] * 24,
    ]
    write(tmp_path, rows + left_out)
    return season.read(tmp_path)


def test_rows_are_those_of_known_species_and_airports(strikes: season.Strikes) -> None:
    assert len(strikes.label) == 96 and strikes.label.unique().tolist() == [0, 1]
    assert strikes.lonlat.unique(dim=0).tolist() == [[-90.0, 40.0], [10.0, 50.0]]
    assert float(strikes.when[0]) == pytest.approx(2 / 365)
    month = strikes.airport * 24 + torch.arange(96) // 2 % 24
    assert all(len(strikes.fold[month == one].unique()) == 1 for one in month.unique())


def test_it_prints_the_table(strikes: season.Strikes, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = {"finetune_loc.modes.probe_then_full.steps": 40, "location_encoder.dim": 16}
    monkeypatch.setattr(season, "PARAMS", with_values(season.PARAMS, quick.items()))
    monkeypatch.setattr(season, "RESAMPLES", 50)
    title, *lines = season.table(strikes).splitlines()
    assert title == "96 strikes, 2 species, 2 airports"
    nll = {line.split("|")[1].strip(): float(line.split("|")[2]) for line in lines}
    assert len(nll) == 10 and nll["cos_sin"] < 0.4 < nll["none"]
    assert nll["cos_sin, without the date"] > math.log(2) - 0.05  # half of the rows at each place are of either species
