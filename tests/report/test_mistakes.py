"""Mistakes are counted as one would by hand, row by row."""

import numpy as np
import pytest

from cspops.report.mistakes import Confusion, commonest, most_mistaken, shares, turned

LABEL = np.array([0, 0, 0, 1, 1, 2, 2, 2])
BEFORE = np.array([1, 1, 0, 0, 1, 0, 0, 2])
AFTER = np.array([1, 0, 0, 1, 1, 0, 1, 2])


def test_pairs_are_ordered_by_the_mistakes_of_both_models() -> None:
    found = commonest(LABEL, BEFORE, AFTER, classes=3, most=10)
    assert found == [Confusion(0, 1, 2, 1), Confusion(2, 0, 2, 1), Confusion(1, 0, 1, 0), Confusion(2, 1, 0, 1)]
    assert commonest(LABEL, BEFORE, AFTER, classes=3, most=1) == found[:1]
    assert commonest(LABEL, LABEL, LABEL, classes=3, most=5) == []


def test_the_counts_are_those_of_a_loop_over_rows() -> None:
    rng = np.random.default_rng(0)
    label, before, after = rng.integers(0, 6, (3, 500))
    found = commonest(label, before, after, classes=6, most=100)
    for one in found:
        for guess, count in ((before, one.before), (after, one.after)):
            assert sum(t == one.true and g == one.guessed for t, g in zip(label, guess, strict=True)) == count
    assert sum(one.before for one in found) == (label != before).sum()
    totals = [one.before + one.after for one in found]
    assert totals == sorted(totals, reverse=True)


def test_classes_with_most_mistakes_as_true_or_guessed_one() -> None:
    assert most_mistaken(LABEL, BEFORE, AFTER, classes=5, most=2) == [0, 1]  # 0: 5 + 3, 1: 3 + 3, 2: 2 + 2
    assert most_mistaken(LABEL, BEFORE, AFTER, classes=5, most=9) == [0, 1, 2]
    assert most_mistaken(LABEL, LABEL, LABEL, classes=5, most=3) == []


def test_shares_are_of_the_rows_of_a_class_and_the_last_column_is_the_rest() -> None:
    found = shares(LABEL, BEFORE, [0, 2], classes=3)
    np.testing.assert_allclose(found, [[1 / 3, 0, 2 / 3], [2 / 3, 1 / 3, 0]])
    np.testing.assert_allclose(shares(LABEL, BEFORE, [0, 1, 2], classes=3).sum(1), 1)
    assert shares(LABEL, BEFORE, [3], classes=4).tolist() == [[0, 0]]


@pytest.mark.parametrize(("most", "rows"), [(1, [4]), (2, [0, 4]), (3, [0, 4, 1]), (9, [0, 4, 1])])
def test_turned_rows_are_one_a_class_before_a_class_has_a_second(most: int, rows: list[int]) -> None:
    """Rows 0, 1, 4 turn right; 0 and 1 are of one class and gain most, row 4 is of another."""
    before = np.array([False, False, False, True, False, True])
    after = np.array([True, True, False, True, True, False])
    gain = np.array([0.9, 0.8, 0.99, 0.1, 0.3, 0.95])
    label = np.array([0, 0, 0, 0, 1, 1])
    found = turned(before, after, gain, label, most=most)
    assert set(found.tolist()) == set(rows if most > 1 else [0])
    assert (np.diff(gain[found]) <= 0).all()
