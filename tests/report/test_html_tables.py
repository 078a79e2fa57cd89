"""Tables of the page: what stands beside what."""

from typing import Any

import pytest

from cspops.report.html_tables import accuracy_table, region_table
from cspops.report.paper import TABLE_1

PRIORS = ("frequency", "knn")
NAMES = ["image", "location", "combined", "pool", *PRIORS]


def metrics(*ratios: str) -> dict[str, Any]:
    scores = {name: {"top1": {"mean": 10.0 + number, "sd": 0.5}} for number, name in enumerate(NAMES)}
    return {"test": dict.fromkeys(ratios, scores), "spatial_test": dict.fromkeys(ratios, scores)}


def test_ours_and_the_papers_rows_have_the_columns_of_our_ratios() -> None:
    table = accuracy_table(metrics("label_5", "label_33", "label_100"), seeds=3, source="folder")
    assert list(table.header) == ["model", "5 %", "33 %", "100 %"]
    titles = [group.title or "" for group in table.groups]
    assert titles[:2] == ["This run, test", "This run, test: priors that only count labelled places"]
    assert [row[0] for row in table.groups[1].rows] == ["class frequency", "nearest neighbours"]
    assert titles[-2].startswith("Paper, Table 1, iNat2018: another data set")
    assert titles[-1].startswith("Paper, Table 5, fMoW: another data set")
    assert all(len(row) == 4 for group in table.groups for row in group.rows)
    assert table.groups[0].rows[2] == ["combined, P(y|I) P(y|x)", "12.00 (0.50)", "12.00 (0.50)", "12.00 (0.50)"]
    paper = {row[0]: row[1:] for row in table.groups[-2].rows}
    assert paper["CSP-MC-BLD"] == ["9.01 (0.02)", "–", "73.79 (0.02)"]
    assert paper["Img. Only"] == ["5.28", "–", "60.20"]
    assert len(paper) == sum(bool(row.paper) for row in TABLE_1.rows)


@pytest.mark.parametrize(("source", "table"), [("inat2018", 1), ("fmow", 5)])
def test_the_papers_own_data_is_named_as_such_and_comes_first(source: str, table: int) -> None:
    groups = [group.title or "" for group in accuracy_table(metrics("label_5"), seeds=1, source=source).groups]
    papers = [title for title in groups if title.startswith("Paper")]
    assert papers[0].startswith(f"Paper, Table {table}")
    assert "the same data set" in papers[0]
    assert "another data set" in papers[1]


def test_one_seed_has_no_deviation_and_ratios_that_the_paper_lacks_no_rows() -> None:
    table = accuracy_table(metrics("label_7"), seeds=1, source="table")
    assert "without a deviation" in table.caption
    assert table.groups[0].rows[0] == ["image, P(y|I)", "10.00"]
    assert not any((group.title or "").startswith("Paper") for group in table.groups)


def test_a_set_without_a_region_has_no_group() -> None:
    row = {"from": 0, "to": 15, "rows": 3.0, "image": 1.0, "location": 2.0, "combined": 3.0, "pool": 4.0, "gain": 3.0}
    table = region_table({"test": {"latitude": [row]}, "spatial_test": {"latitude": []}}, "latitude", "By latitude")
    assert [group.title for group in table.groups] == ["test"]
    assert table.groups[0].rows == [["0 - 15 N", "3", "1.00", "2.00", "3.00", "4.00", "+3.00"]]
    assert table.header[-1] == "pool - image"
