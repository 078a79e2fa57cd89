"""Single guesses: which pairs are listed, which rows are shown, what DVC draws."""

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
    JudgedRows,
    confusion_rows,
    confusions,
    matrices,
    read_judged,
    turned_rows,
    turned_table,
    write_confusion,
)

NAMES = ["oak", "elm", "fir"]
OBSERVATIONS = Observations(
    [f"o{i}" for i in range(8)], torch.full((8, 2), 5.0).double(), torch.arange(8) % 3, [None] * 8, NAMES
)
OBSERVATIONS.lonlat[3] = float("nan")


def rows() -> list[dict[str, object]]:
    """Two seeds of six rows of test and two of val; the image says oak, both say the truth but for o7."""
    out: list[dict[str, object]] = []
    for seed in (4, 9):
        for i in range(8):
            label = i % 3
            guesses = {"image": 0, "location": 1, "combined": label if i != 7 else 2, "calibrated": label}
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
    assert judged.confidence["combined"].tolist() == [0.75] * 12


def test_a_set_that_was_not_judged_has_no_row(tmp_path: Path, judged: JudgedRows) -> None:
    assert len(read_judged(tmp_path, OBSERVATIONS.obs_id, role="spatial_test", ratio=0.5).label) == 0


def test_confusions_are_rows_a_seed(judged: JudgedRows) -> None:
    assert confusion_rows(confusions(judged, 3), NAMES, seeds=judged.seeds) == [
        ["true class", "taken for", "image", "combined", "change"],
        ["elm", "oak", "2.0", "0.0", "-2.0"],
        ["fir", "oak", "2.0", "0.0", "-2.0"],
        ["elm", "fir", "0.0", "1.0", "+1.0"],
    ]
    image, both = matrices(judged, NAMES)
    assert image.rows == NAMES
    assert list(image.columns) == [*NAMES, OTHER]
    assert image.shares == [[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    assert both.shares == [[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 1, 0]]


def test_shown_rows_are_located_ones_of_the_first_seed_one_a_class_first(judged: JudgedRows) -> None:
    found = turned_rows(judged, OBSERVATIONS)
    assert found.rows == 5  # o3 has no position
    assert (found.to_right, found.to_wrong) == (3, 0)
    assert judged.row[found.helped].tolist() == [5, 4, 2]  # by the rise of P(true)
    assert len(found.harmed) == 0
    assert turned_table(found.helped, judged, OBSERVATIONS)[1] == ["o5", "fir", "oak", "0.75", "fir", "0.75"]


def test_dvc_gets_a_row_an_observation_of_the_first_seed(judged: JudgedRows, tmp_path: Path) -> None:
    write_confusion(tmp_path / "a.tsv", judged, ["two\nlines", "elm", "a\tb"])
    with (tmp_path / "a.tsv").open(newline="") as opened:
        header, *body = csv.reader(opened, delimiter="\t")
    assert header == ["actual", "predicted"]
    assert sorted(map(tuple, body)) == sorted(
        [("a b", "a b"), ("two lines", "two lines"), ("elm", "elm"), ("a b", "a b"), ("two lines", "two lines"), ("elm", "a b")]
    )


def test_without_a_mistake_there_is_still_a_matrix_for_dvc(judged: JudgedRows, tmp_path: Path) -> None:
    right = JudgedRows(
        judged.seed, judged.row, judged.label, dict.fromkeys(MODELS, judged.label), judged.p_true, judged.confidence
    )
    assert confusions(right, 3) == []
    write_confusion(tmp_path / "a.tsv", right, NAMES)
    assert len((tmp_path / "a.tsv").read_text().splitlines()) == 7
