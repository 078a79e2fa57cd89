"""Tables of the page: what stands beside what."""

from typing import Any

import pytest

from cspops.report.html_tables import accuracy_table, paper_table, prior_table, region_table
from cspops.report.paper import TABLE_1

PRIORS = ("frequency", "knn")
NAMES = ["image", "location", "combined", "pool", *PRIORS]


def metrics(*ratios: str) -> dict[str, Any]:
    scores = {name: {"top1": {"mean": 10.0 + number, "sd": 0.5}} for number, name in enumerate(NAMES)}
    return {"test": dict.fromkeys(ratios, scores), "spatial_test": dict.fromkeys(ratios, scores)}


def test_the_sets_stand_one_below_the_other_and_the_priors_apart() -> None:
    table = accuracy_table(metrics("label_5", "label_33"), seeds=3)
    assert list(table.header) == ["model", "5 %", "33 %"]
    assert [group.title for group in table.groups] == ["Test set", "Spatial test set"]
    assert table.groups[0].rows[2] == ["product, P(y|I) P(y|x)", "12.00 (0.50)", "12.00 (0.50)"]
    assert [row[0] for row in table.groups[1].rows] == ["image, P(y|I)", "location, P(y|x)", "product, P(y|I) P(y|x)", "pool"]
    priors = prior_table(metrics("label_5"), seeds=3)
    assert priors.groups[0].rows == [["class frequency", "14.00 (0.50)"], ["nearest neighbours", "15.00 (0.50)"]]


def test_the_papers_rows_have_the_columns_of_our_ratios() -> None:
    table = paper_table(["label_5", "label_33", "label_100"], "folder")
    assert table is not None
    first, second = table.groups
    assert (first.title or "").startswith("Paper, Table 1, iNat2018: another data set")
    assert (second.title or "").startswith("Paper, Table 5, fMoW: another data set")
    assert all(len(row) == 4 for group in table.groups for row in group.rows)
    paper = {row[0]: row[1:] for row in first.rows}
    assert paper["CSP-MC-BLD"] == ["9.01 (0.02)", "–", "73.79 (0.02)"]
    assert paper["Img. Only"] == ["5.28", "–", "60.20"]
    assert len(paper) == sum(bool(row.paper) for row in TABLE_1.rows)
    assert paper_table(["label_7"], "table") is None


@pytest.mark.parametrize(("source", "number"), [("inat2018", 1), ("fmow", 5)])
def test_the_papers_own_data_is_named_as_such_and_comes_first(source: str, number: int) -> None:
    table = paper_table(["label_5"], source)
    assert table is not None
    titles = [group.title or "" for group in table.groups]
    assert titles[0].startswith(f"Paper, Table {number}")
    assert "the same data set" in titles[0]
    assert "another data set" in titles[1]


def test_one_seed_has_no_deviation() -> None:
    table = accuracy_table(metrics("label_7"), seeds=1)
    assert "without a deviation" in table.caption
    assert table.groups[0].rows[0] == ["image, P(y|I)", "10.00"]


def test_a_set_without_a_region_has_no_group() -> None:
    row = {"from": 0, "to": 15, "rows": 30.0, "image": 1.0, "location": 2.0, "combined": 3.0, "pool": 4.0, "gain": 3.0}
    table = region_table({"test": {"latitude": [row]}, "spatial_test": {"latitude": []}}, "latitude", "By latitude")
    assert [group.title for group in table.groups] == ["test"]
    assert table.groups[0].rows == [["0 - 15 N", "30", "1.00", "2.00", "3.00", "4.00", "+3.00"]]
    assert table.header[-1] == "pool - image"
