"""Regions against a count a row at a time, and rows at their borders."""

import math

import pytest
import torch

from cspops.evaluation.regions import by_group, regions
from cspops.geo import uniform_on_sphere

MODELS = ("image", "location", "combined", "pool")


def table(seeds: int = 3, n: int = 60):
    g = torch.Generator().manual_seed(0)
    hits = {model: torch.rand(seeds, n, generator=g) < p for model, p in zip(MODELS, (0.4, 0.5, 0.6, 0.7), strict=True)}
    lonlat = uniform_on_sphere(n, generator=g)
    lonlat[::9] = torch.nan
    km = (1000 * torch.rand(seeds, n, generator=g, dtype=torch.float64)).where(~lonlat.isnan().any(1), torch.nan)
    return hits, lonlat, km


def naive(hits, inside, seeds, n):
    """Rows a seed, top-1 of each model in per cent, and the gain, of the (seed, row) pairs for which ``inside`` is true."""
    pairs = [(s, i) for s in range(seeds) for i in range(n) if inside(s, i)]
    top1 = {model: 100 * sum(bool(hits[model][s, i]) for s, i in pairs) / len(pairs) for model in MODELS}
    return {"rows": len(pairs) / seeds, **top1, "gain": top1["pool"] - top1["image"]}


def test_regions_are_the_naive_count():
    """Numbers are rounded to 4 digits, rows to 1: 5e-5 and 0.05."""
    hits, lonlat, km = table()
    got = regions(hits, lonlat, km)
    insides = {
        "latitude": lambda row: lambda s, i: row["from"] <= lonlat[i, 1] < row["to"],
        "cell": lambda row: (
            lambda s, i: row["west"] <= lonlat[i, 0] < row["east"] and row["south"] <= lonlat[i, 1] < row["north"]
        ),
        "distance": lambda row: lambda s, i: row["from"] <= km[s, i] < (row["to"] or math.inf),
    }
    for kind, rows in got.items():
        assert len(rows) > 4
        assert sum(row["rows"] for row in rows) == pytest.approx(int((~lonlat.isnan().any(1)).sum()), abs=0.05 * len(rows))
        for row in rows:
            want = naive(hits, insides[kind](row), 3, 60)
            assert row["rows"] == pytest.approx(want.pop("rows"), abs=0.051)
            assert {name: row[name] for name in want} == pytest.approx(want, abs=1.01e-4)


def test_borders_belong_to_the_region_that_they_begin_and_the_poles_to_the_last():
    """50 km is in 50 - 100; 15 N in 15 N - 30 N; 90 N in 75 N - 90 N; 180 W in 180 W - 150 W; 900 km has no upper border."""
    lonlat = torch.tensor([[-180.0, 15.0], [179.9, 90.0], [0.0, -90.0]]).double()
    hits = {model: torch.ones(1, 3, dtype=torch.bool) for model in MODELS}
    got = regions(hits, lonlat, torch.tensor([[50.0, 49.9, 900.0]]).double())
    assert [(row["from"], row["to"]) for row in got["latitude"]] == [(-90, -75), (15, 30), (75, 90)]
    assert [(row["from"], row["to"]) for row in got["distance"]] == [(0.0, 50.0), (50.0, 100.0), (800.0, None)]
    assert [(row["west"], row["east"], row["south"], row["north"]) for row in got["cell"]] == [
        (0, 30, -90, -60),
        (-180, -150, 0, 30),
        (150, 180, 60, 90),
    ]


def test_the_gain_is_pooled_over_rows_not_averaged_over_seeds():
    """Seed 0 has one row in the group (+100), seed 1 three (0 each): the gain is 100 / 4, not 50."""
    combined = torch.tensor([[True, False, False, False], [False, False, False, False]])
    hits = {"image": torch.zeros(2, 4, dtype=torch.bool), "combined": combined}
    group = torch.tensor([[0, 1, 1, 1], [1, 0, 0, 0]])
    (row, _) = by_group(hits, group, torch.ones(2, 4, dtype=torch.bool), [{"name": "a"}, {"name": "b"}])
    assert row == {"name": "a", "rows": 2.0, "image": 0.0, "combined": 25.0, "gain": 25.0}


def test_nowhere_located_has_no_region():
    hits = {model: torch.ones(2, 3, dtype=torch.bool) for model in MODELS}
    nowhere = torch.full((3, 2), torch.nan).double()
    assert regions(hits, nowhere, torch.full((2, 3), torch.nan).double()) == {"latitude": [], "cell": [], "distance": []}
