"""Groups of places by hand: whose top-1 is least, and where labels are sparse."""

import math

import numpy as np
import pytest
import torch

from cspops.data.countries import Lands
from cspops.evaluation import groups
from cspops.evaluation.groups import LEAST_ROWS, by_density, by_land


def hits(image: list[list[int]]) -> dict[str, torch.Tensor]:
    one = torch.tensor(image).bool()
    return {"image": one, "pool": ~one}


def test_density_is_counted_from_its_lower_border_to_below_its_upper_one() -> None:
    within = torch.tensor([[0, 1, 2, 3, 9, 10, 29, 30, 100, 5]])
    located = torch.tensor([True] * 9 + [False])
    got = by_density(hits([[1, 1, 0, 1, 1, 0, 0, 0, 0, 1]]), within, located)
    assert [(row["from"], row["to"], row["rows"], row["image"]) for row in got] == [
        (0, 1, 1.0, 100.0), (1, 3, 2.0, 50.0), (3, 10, 2.0, 100.0), (10, 30, 2.0, 0.0), (30, None, 2.0, 0.0),
    ]  # fmt: skip


@pytest.fixture
def lands(monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Two continents of one country each, one of `LEAST_ROWS` rows, the other of twice as many; a third has one row less."""
    number = np.repeat([0, 1, 2, -1], [LEAST_ROWS, 2 * LEAST_ROWS, LEAST_ROWS - 1, 3])
    by_name = Lands(["A", "B", "C"], number), Lands(["a", "b", "c"], number)
    monkeypatch.setattr(groups, "continents_and_countries", lambda lonlat: by_name)
    return torch.from_numpy(number)


def test_the_worst_group_is_of_enough_rows_and_has_an_interval(lands: torch.Tensor) -> None:
    """A: 60 % in one seed and 40 in the other; B: 60 in both; C: none, but too few rows."""
    n = LEAST_ROWS
    order = torch.arange(len(lands))
    first = ((lands == 0) & (order % 5 < 3)) | ((lands == 1) & (order % 5 < 3)) | (lands < 0)
    second = ((lands == 0) & (order % 5 < 2)) | ((lands == 1) & (order % 5 < 3)) | (lands < 0)
    got = by_land(
        {"image": torch.stack((first, second)), "pool": torch.ones(2, len(lands), dtype=torch.bool)}, torch.zeros(len(lands), 2)
    )
    assert [(row["name"], row["rows"], row["image"], row["gain"]) for row in got["country"]] == [
        ("a", n, 50.0, 50.0), ("b", 2 * n, 60.0, 40.0), ("c", n - 1, 0.0, 100.0),
    ]  # fmt: skip
    worst = {(row["kind"], row["model"]): row for row in got["worst"]}
    row = worst["continent", "image"]
    assert (row["name"], row["of"], row["rows"], row["top1"]) == ("A", 2, n, 50.0)
    spread = 100 * math.sqrt(0.24 / n + 0.01 / 2)  # of rows within a seed at most, and of the two seeds
    assert row["low"] < 50 < row["high"] and spread < row["high"] - row["low"] < 6 * spread
    assert (worst["country", "pool"]["name"], worst["country", "pool"]["low"], worst["country", "pool"]["high"]) == (
        "a",
        100,
        100,
    )


@pytest.mark.parametrize("rows", [LEAST_ROWS - 1, LEAST_ROWS])
def test_no_group_is_the_worst_of_small_ones_or_of_one(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    few = Lands(["A"], np.zeros(rows, dtype=int))
    monkeypatch.setattr(groups, "continents_and_countries", lambda lonlat: (few, few))
    assert by_land(hits([[1] * rows]), torch.zeros(rows, 2))["worst"] == []
