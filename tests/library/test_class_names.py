"""Labels of another set and the classes that they stand for."""

import pytest

from cspops.library.labelled import ClassNames, Match

NAMES = ClassNames(["oak", "Silver fir", "BEECH", "Beech", "caf\u00e9"])


@pytest.mark.parametrize(
    ("label", "match"),
    [
        ("oak", Match(0, True)),
        ("Oak", Match(0, False)),
        ("  silver   FIR ", Match(1, False)),
        (" Beech ", Match(3, False)),
        ("Beech", Match(3, True)),
        ("beech", None),  # two classes are as near
        ("cafe\u0301", Match(4, False)),
        ("elm", None),
        ("", None),
    ],
)
def test_exactly_first_then_without_regard_to_case_and_blanks(label, match):
    assert NAMES.match(label) == match
