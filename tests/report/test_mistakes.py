"""Mistakes are counted as one would by hand, row by row."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from cspops.data.catalogue import Observations
from cspops.evaluation.metrics import MODELS
from cspops.evaluation.predictions import schema
from cspops.report.mistakes import (
    OTHER,
    Confusion,
    JudgedRows,
    commonest,
    confusion_rows,
    confusions,
    matrices,
    most_mistaken,
    read_judged,
    shares,
    turned,
    turned_rows,
    turned_table,
    write_confusion,
)

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


NAMES = ["oak", "elm", "fir"]
OBSERVATIONS = Observations(
    [f"o{i}" for i in range(8)],
    torch.full((8, 2), 5.0).double(),
    torch.arange(8) % 3,
    [None] * 8,
    NAMES,
    torch.full((8,), torch.nan),
)
OBSERVATIONS.lonlat[3] = float("nan")


def rows() -> list[dict[str, object]]:
    """Two seeds of six rows of test and two of val; the image says oak, both say the truth but for o7."""
    out: list[dict[str, object]] = []
    for seed in (4, 9):
        for i in range(8):
            label = i % 3
            guesses = {"image": 0, "location": 1, "combined": label, "pool": label if i != 7 else 2}
            out.append(
                {"seed": seed, "label_ratio": 0.5, "role": "val" if i < 2 else "test", "obs_id": f"o{i}", "label": label}
                | {model: [guess, (guess + 1) % 3] for model, guess in guesses.items()}
                | {f"{model}_log_p": float(np.log(0.1 if model == "image" else 0.2 + i / 20)) for model in MODELS}
                | {f"{model}_confidence": 0.75 for model in MODELS}
            )
    return out


@pytest.fixture
def judged(tmp_path: Path) -> JudgedRows:
    pq.write_table(pa.Table.from_pylist(rows(), schema=schema(MODELS)), tmp_path / "predictions.parquet")
    return read_judged(tmp_path, OBSERVATIONS.obs_id, role="test", ratio=0.5)


def test_the_rows_of_one_set_and_ratio_are_read(judged: JudgedRows) -> None:
    assert judged.seed.tolist() == [4] * 6 + [9] * 6
    assert judged.seeds == 2
    assert judged.row.tolist() == [2, 3, 4, 5, 6, 7] * 2
    assert judged.label.tolist() == [2, 0, 1, 2, 0, 1] * 2
    assert judged.hit("image").tolist() == [False, True, False, False, True, False] * 2
    np.testing.assert_allclose(judged.p_true["image"], 0.1, rtol=1e-6)
    assert judged.confidence["pool"].tolist() == [0.75] * 12


def test_a_set_that_was_not_judged_has_no_row(tmp_path: Path, judged: JudgedRows) -> None:
    assert len(read_judged(tmp_path, OBSERVATIONS.obs_id, role="spatial_test", ratio=0.5).label) == 0


def test_confusions_are_rows_a_seed(judged: JudgedRows) -> None:
    assert confusion_rows(confusions(judged, 3), NAMES, seeds=judged.seeds) == [
        ["true class", "taken for", "image", "pool", "change"],
        ["elm", "oak", "2.0", "0.0", "-2.0"],
        ["fir", "oak", "2.0", "0.0", "-2.0"],
        ["elm", "fir", "0.0", "1.0", "+1.0"],
    ]
    image, both = matrices(judged, NAMES)
    assert image.rows == NAMES
    assert list(image.columns) == NAMES
    assert image.shares == [[1, 0, 0], [1, 0, 0], [1, 0, 0]]
    assert both.shares == [[1, 0, 0], [0, 0.5, 0.5], [0, 0, 1]]
    assert list(matrices(judged, [*NAMES, "yew"])[0].columns) == [*NAMES, OTHER]


def test_shown_rows_are_located_ones_of_the_first_seed_one_a_class_first(judged: JudgedRows) -> None:
    found = turned_rows(judged, OBSERVATIONS)
    assert found.rows == 5  # o3 has no position
    assert (found.to_right, found.to_wrong) == (3, 0)
    assert judged.row[found.helped].tolist() == [5, 4, 2]  # by the rise of P(true)
    assert len(found.harmed) == 0
    assert turned_table(found.helped, judged, OBSERVATIONS.obs_id, NAMES)[1] == ["o5", "fir", "oak", "0.75", "fir", "0.75"]


def test_dvc_gets_a_row_an_observation_of_the_first_seed(judged: JudgedRows, tmp_path: Path) -> None:
    write_confusion(tmp_path / "a.tsv", judged, ["two\nlines", "=elm", "a\tb"])
    with (tmp_path / "a.tsv").open(newline="") as opened:
        header, *body = csv.reader(opened, delimiter="\t")
    assert header == ["actual", "predicted"]
    assert sorted(map(tuple, body)) == sorted(
        [
            ("a b", "a b"),
            ("two lines", "two lines"),
            ("'=elm", "'=elm"),
            ("a b", "a b"),
            ("two lines", "two lines"),
            ("'=elm", "a b"),
        ]
    )


def test_without_a_mistake_there_is_still_a_matrix_for_dvc(judged: JudgedRows, tmp_path: Path) -> None:
    right = JudgedRows(
        judged.seed, judged.row, judged.label, dict.fromkeys(MODELS, judged.label), judged.p_true, judged.confidence
    )
    assert confusions(right, 3) == []
    write_confusion(tmp_path / "a.tsv", right, NAMES)
    assert len((tmp_path / "a.tsv").read_text().splitlines()) == 7
