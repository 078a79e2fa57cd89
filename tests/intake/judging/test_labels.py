import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.intake.judging.labels import Names, about_case, about_singles, listed, spellings

prop = settings(deadline=None, derandomize=True, max_examples=100)


def test_codes_number_the_names_as_they_come_over_batches():
    names = Names()
    first, respelt = names.codes(pa.array(["oak", " oak", None, "elm", "", "Oak"]))
    assert first.tolist() == [0, 0, -1, 1, -1, 2]
    assert respelt.tolist() == [False, True, False, False, False, False]
    second, respelt = names.codes(pa.array(["elm ", "ash", " "]))
    assert second.tolist() == [1, 3, -1] and respelt.tolist() == [True, False, False]
    assert names.names == ["oak", "elm", "Oak", "ash"]
    nothing, _ = names.codes(pa.array([None, None], pa.string()))
    assert nothing.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"Oak": 1, "oak": 2}, {"Oak": "oak"}),
        ({"Oak": 2, "oak": 1}, {"oak": "Oak"}),
        ({"oak": 2, "Oak": 2}, {"oak": "Oak"}),  # capitals come first in code point order
        ({"oak": 2, "elm": 2}, {}),
        ({"oak": 1, "Oak": 3, "OAK": 2}, {"oak": "Oak", "OAK": "Oak"}),
        ({"oak": 0, "Oak": 3}, {}),
        ({"STRASSE": 1, "straße": 2}, {"STRASSE": "straße"}),
    ],
)
def test_the_commonest_spelling_wins(counts, expected):
    names = list(counts)
    got = spellings(names, np.array(list(counts.values())))
    assert {names[other]: names[best] for other, best in got.items()} == expected


@prop
@given(st.dictionaries(st.text("aAbBß", min_size=1, max_size=3), st.integers(0, 5), max_size=12), st.randoms())
def test_the_order_of_the_names_does_not_matter(counts, random):
    def named(items):
        names = [name for name, _ in items]
        return {names[a]: names[b] for a, b in spellings(names, np.array([count for _, count in items], int)).items()}

    shuffled = list(counts.items())
    random.shuffle(shuffled)
    got = named(list(counts.items()))
    assert named(shuffled) == got
    # after the merge no two names that are left differ in case only, and a name is replaced once
    left = {name for name, count in counts.items() if count} - set(got)
    assert len({name.casefold() for name in left}) == len(left)
    assert set(got.values()) <= left


def test_warnings_name_what_they_are_about():
    names, counts = ["oak", "Oak", "elm"], np.array([3, 1, 1])
    replaced = spellings(names, counts)
    assert about_case(names, counts, replaced, merged=True) == (
        "1 labels differ in case only from another and became one class with it, spelt as the second: 'Oak' (1) and 'oak' (3)"
    )
    assert "dataset.merge_labels" in about_case(names, counts, replaced, merged=False)
    assert about_singles({"a": 1, "b": 2, "c": 1}) == "2 of 3 classes have one observation: 'a', 'c'"
    assert about_singles({"a": 2}) is None
    assert listed(list("abcdefghijkl")) == "a, b, c, d, e, f, g, h, i, j and 2 more"
