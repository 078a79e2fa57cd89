"""The section says where every row ended."""

from typing import Any

from cspops.report.page import NAMED, data_section

ACCOUNT: dict[str, Any] = {
    "rows": 200,
    "observations": 193,
    "rejected": 7,
    "reasons": {"latitude is outside [-90, 90]": 4, "image file is not there": 3},
    "notes": {"decimal comma": 12},
    "warnings": ["3 classes have one example:\nx, y, z"],
    "without_position": 5,
    "without_label": 0,
    "classes": {"oak": 100, "ash": 3, "elm": 90},
    "official_split": {"none": 193},
}


def test_counts_reasons_notes_and_warnings_are_there() -> None:
    text = data_section(ACCOUNT)
    assert "200 rows of the source: 193 observations, 7 rows set aside (3.5 %)." in text
    assert "Of the observations 5 without position and 0 without label." in text
    assert "3 classes of 3 to 100 observations, median 90: oak, ash, elm." in text
    assert r"latitude is outside \[-90, 90\] | 4 |" in text
    assert "decimal comma | 12 |" in text
    assert "- 3 classes have one example: x, y, z" in text


def test_nothing_set_aside_makes_no_table_and_many_classes_are_not_all_named() -> None:
    many = {f"class {number}": 1 for number in range(NAMED + 2)}
    text = data_section(ACCOUNT | {"rejected": 0, "reasons": {}, "notes": {}, "warnings": [], "classes": many})
    assert "0 rows set aside." in text
    assert "|" not in text
    assert f"{NAMED + 2} classes of 1 observations each: class 0," in text
    assert f"class {NAMED - 1} and 2 more." in text


def test_no_class_is_said_so() -> None:
    assert "There is no class." in data_section(ACCOUNT | {"classes": {}})
