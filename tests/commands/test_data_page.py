"""What a check found, as rows of tables."""

from typing import Any

from cspops.commands.data_check import MOST_CLASSES, class_rows, note_rows, overview_rows, reason_rows
from cspops.commands.layout import shortened

DOCUMENT: dict[str, Any] = {
    "rows": 1200,
    "observations": 1100,
    "rejected": 100,
    "share_rejected": 100 / 1200,
    "max_rejected": 0.1,
    "without_position": 7,
    "without_label": 0,
    "classes": {"b": 1000, "a": 1, "c": 99},
    "single_classes": 1,
    "official_split": {"train": 1000, "none": 100},
    "dates": {"first": "2019-01-02T03:04:05+00:00", "last": "2021-05-06T00:00:00+00:00", "rows": 12},
    "box": {"west": 170.0, "south": -20.0, "east": 190.5, "north": 10.25},
    "reasons": {"no image": 98, "bad": 2},
    "notes": {"decimal comma": 5, "wrapped": 1},
    "examples": {
        "reasons": {
            "no image": [{"where": "a.csv:2", "detail": None}, {"where": "a.csv:3", "detail": "x"}],
            "bad": [{"where": "a.csv:4", "detail": "1"}, {"where": "a.csv:9", "detail": "2"}],
        },
        "notes": {"decimal comma": ["a.csv:7"]},
    },
}


def test_the_overview_counts() -> None:
    shown = dict(overview_rows(DOCUMENT)[1:])
    assert shown["set aside"] == "100 (8.3 %, 10 % allowed)"
    assert shown["rows of a class"] == "1 to 1,000, median 99"
    assert shown["split of its own"] == "train 1,000, none 100"
    assert shown["taken"] == "2019-01-02 to 2021-05-06 (12 rows)"
    assert shown["longitudes"] == "170 to -169.5 degrees"
    assert shown["latitudes"] == "-20 to 10.25 degrees"
    bare = DOCUMENT | {"classes": {}, "official_split": {}, "box": None, "dates": {"first": None, "last": None, "rows": 0}}
    assert not {"rows of a class", "taken", "longitudes"} & set(dict(overview_rows(bare)[1:]))


def test_the_largest_classes_come_first_and_the_others_are_counted() -> None:
    assert class_rows(DOCUMENT)[1:] == [["b", "1,000"], ["c", "99"], ["a", "1"]]
    many = {f"c{number:03}": 2 for number in range(MOST_CLASSES + 30)}
    rows = class_rows({"classes": many})
    assert len(rows) == 1 + MOST_CLASSES + 1
    assert rows[-1] == ["30 other classes", "60"]


def test_reasons_and_notes_name_their_first_places() -> None:
    assert reason_rows(DOCUMENT)[1:] == [
        ["no image", ["a.csv:2", "a.csv:3 (x)", "..."], "98"],
        ["bad", ["a.csv:4 (1)", "a.csv:9 (2)"], "2"],
    ]
    assert note_rows(DOCUMENT)[1:] == [["decimal comma", ["a.csv:7", "..."], "5"], ["wrapped", [], "1"]]


def test_a_long_reason_or_note_stands_whole() -> None:
    sentence = " ".join(f"word{number}" for number in range(15)) + " dataset.folder.images.bands"
    assert reason_rows({"reasons": {sentence: 1}, "examples": {"reasons": {sentence: []}}})[1][0] == sentence
    assert note_rows({"notes": {sentence: 1}, "examples": {"notes": {}}})[1][0] == sentence


def test_of_a_place_the_end_is_shown_with_what_is_wrong() -> None:
    long = f"{'folder/' * 12}a.csv:3"
    places = {"reasons": {"bad": [{"where": long, "detail": "n/a"}]}}
    ((shown,),) = (row[1] for row in reason_rows({"reasons": {"bad": 1}, "examples": places})[1:])
    assert shown.startswith(".../folder/") and shown.endswith("/a.csv:3 (n/a)")


def test_a_long_name_is_shortened() -> None:
    assert [shortened("x" * length) for length in (60, 100)] == ["x" * 60, "x" * 57 + "..."]
