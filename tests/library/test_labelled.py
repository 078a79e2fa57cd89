"""Rows that can be scored, and an account in which no row is lost."""

from types import SimpleNamespace

import numpy as np
import pytest

from cspops.errors import DataError
from cspops.library.inputs import NO_POSITION, Input
from cspops.library.labelled import NO_LABEL, UNKNOWN, ClassNames, RowSorter
from cspops.pixels.unreadable import NO_IMAGE, UnreadableImage

CLASSES = ["oak", "fir"]


def square_of(image):
    if image == b"broken":
        raise UnreadableImage(NO_IMAGE, "at byte 7")
    return np.zeros((4, 4, 3), np.uint8)


def sorter(*, imaged=True):
    return RowSorter(ClassNames(CLASSES), SimpleNamespace(square_of=square_of) if imaged else None)  # type: ignore[arg-type]


def row(where, label, *, image=b"x", lon=8.0, problem=None, error=None):
    return Input(where, image, lon, 47.0 if lon == lon else np.nan, "table", problem, error, label)


NAN = float("nan")
ROWS = [
    row("1", "oak"),
    row("2", "Fir "),
    row("3", None),
    row("4", "  "),
    row("5", "elm"),
    row("6", "oak", image=b"broken"),
    row("7", "oak", image=None),
    row("8", "fir", lon=NAN, problem=NO_POSITION),
    row("9", None, error="no such file"),
]


def test_every_row_is_scored_or_counted():
    rows_sorted = sorter()
    scorable = list(rows_sorted.scorable(ROWS))
    assert [(one.input.where, one.label) for one in scorable] == [("1", 0), ("2", 1), ("8", 1)]
    account = rows_sorted.account(CLASSES)
    assert (account["rows"], account["scored"]) == (9, 3)
    assert account["not_scored"] == {
        NO_LABEL: {"rows": 2, "such_as": ["3", "4"]},
        UNKNOWN: {"rows": 1, "such_as": ["5"]},
        NO_IMAGE: {"rows": 1, "such_as": ["6"]},
        "no image": {"rows": 1, "such_as": ["7"]},
        "no such file": {"rows": 1, "such_as": ["9"]},
    }
    assert account["scored_without_position"] == {NO_POSITION: 1}
    assert account["unknown_labels"] == {"elm": 1}
    assert account["respelled_labels"] == {"Fir ": {"class": "fir", "rows": 1}}


def test_without_an_image_model_images_are_not_read_and_a_position_is_needed():
    rows_sorted = sorter(imaged=False)
    assert [one.input.where for one in rows_sorted.scorable(ROWS)] == ["1", "2", "6", "7"]
    assert rows_sorted.reasons[NO_POSITION] == 1


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "there is no row to score"),
        (
            [row("1", "elm"), row("2", "ash")],
            "no label is a class of the model: the labels are 'elm', 'ash'; the classes are 'oak'",
        ),
        ([row("1", None), row("2", "")], "none of the 2 rows has a label"),
        ([row("1", None), row("2", "oak", image=b"broken")], r"none of the 2 rows can be scored: no label \(1\); not an image"),
    ],
)
def test_nothing_to_score_is_refused_with_the_reason(rows, says):
    rows_sorted = sorter()
    assert list(rows_sorted.scorable(rows)) == []
    with pytest.raises(DataError, match=says):
        rows_sorted.require_rows(CLASSES)


def test_one_row_is_enough():
    rows_sorted = sorter()
    list(rows_sorted.scorable(ROWS[:3]))
    rows_sorted.require_rows(CLASSES)


NAMES = ClassNames(["oak", "Silver fir", "BEECH", "Beech", "caf\u00e9"])


@pytest.mark.parametrize(
    ("label", "match"),
    [
        ("oak", 0),
        ("Oak", 0),
        ("  silver   FIR ", 1),
        (" Beech ", 3),
        ("Beech", 3),
        ("beech", None),  # two classes are as near
        ("cafe\u0301", 4),
        ("elm", None),
        ("", None),
    ],
)
def test_exactly_first_then_without_regard_to_case_and_blanks(label, match):
    assert NAMES.match(label) == match
