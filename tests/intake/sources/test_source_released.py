"""Released predictions: the right rows, the right columns, the right file, or a sentence."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from cspops.errors import DataError
from cspops.intake.sources.fmow import open_fmow
from cspops.intake.sources.inat2018 import open_inat2018
from cspops.intake.sources.released import FORMAT, list_released, read_released
from cspops.params.sections import Fmow, Inat2018
from cspops.pixels.reading import GIVEN_FEATURES
from tests.published_sets import write_fmow_features, write_inat2018_features

VAL = "features/val.npy"
NAMES = ["oak", None, "elm", "fir"]
"""Of the columns: the category id 1 is not used."""

PROBABILITIES = np.array([[0.1, 0.0, 0.7, 0.2], [0.25, 0.25, 0.25, 0.25], [0.0, 0.0, 0.0, 1.0]])


def released(root: Path, content: Any = PROBABILITIES, *, dense: bool = False) -> Path:
    """A folder of stage download, which points at `root/set` with predictions for the ratios 0.05 and 1."""
    (root / "set/few").mkdir(parents=True)
    (root / "set/features").mkdir()
    full, few = ("full.npy", "few/r{ratio:.3f}.npy") if dense else ("full.npz", "few/r{ratio:.3f}.npz")
    for name in (full, few.format(ratio=0.05)):
        if isinstance(content, bytes):
            (root / "set" / name).write_bytes(content)
        elif dense:
            np.save(root / "set" / name, content)
        else:
            sparse.save_npz(root / "set" / name, sparse.csr_matrix(content))
    about = list_released(
        root / "set", folder="set", full=full, few_shot=few, matrix=root / "set" / VAL, classes=NAMES, remarks=[]
    )
    (root / "download").mkdir()
    (root / "download/released.json").write_text(json.dumps(about))
    return root / "download"


FEATURES = Fmow(form="features", inspection="none", false_detections="set_aside", test="val")


def column_of(rows: Any) -> pa.ChunkedArray:
    """The catalogue's column, of (path, row) or of an array."""
    if isinstance(rows, list):
        rows = pa.array([None if row is None else {"path": row[0], "row": row[1]} for row in rows], GIVEN_FEATURES)
    return pa.chunked_array([rows])


def ask(root: Path, rows: Any, classes: list[str], ratio: float = 1.0) -> np.ndarray:
    found = read_released(root / "download", data_root=root)
    assert found is not None
    made = found.probabilities(ratio, rows=column_of(rows), classes=classes)
    assert made.dtype == np.float32
    assert made.format == "csr"
    return made.toarray()


def test_a_path_without_a_row_has_no_prediction(tmp_path: Path) -> None:
    released(tmp_path)
    column = pa.array([{"path": VAL, "row": None}, {"path": VAL, "row": 2}], GIVEN_FEATURES)
    assert ask(tmp_path, column, ["fir"]).tolist() == [[0], [1]]


def test_values_too_small_for_float32_are_not_stored(tmp_path: Path) -> None:
    released(tmp_path, np.array([[1e-60, 0, 0, 1.0]]), dense=True)
    found = read_released(tmp_path / "download", data_root=tmp_path)
    assert found is not None
    assert found.probabilities(1.0, rows=column_of([(VAL, 0)]), classes=["oak", "fir"]).nnz == 1


@pytest.mark.parametrize("dense", [False, True])
def test_rows_and_columns_are_those_asked_for_in_their_order(tmp_path: Path, dense: bool) -> None:
    released(tmp_path, dense=dense)
    rows = [(VAL, 2), ("features/train.npy", 0), None, (VAL, 0), (VAL, 2)]
    found = ask(tmp_path, rows, ["fir", "elm", "oak"])
    # Column 3, 2, 0 of the file; observations of the training matrix or without features have none.
    expected = [[1.0, 0.0, 0.0], [0, 0, 0], [0, 0, 0], [0.2, 0.7, 0.1], [1.0, 0.0, 0.0]]
    assert np.array_equal(found, np.array(expected, np.float32))


def test_half_precision_is_converted(tmp_path: Path) -> None:
    """Rounding to float16 changes a value by at most 2^-11 of it."""
    released(tmp_path, PROBABILITIES.astype(np.float16), dense=True)
    found = ask(tmp_path, [(VAL, row) for row in range(3)], ["oak", "elm", "fir"])
    assert np.abs(found - PROBABILITIES[:, [0, 2, 3]]).max() <= 2**-11


def test_the_column_of_the_catalogue_may_be_given_in_chunks(tmp_path: Path) -> None:
    released(tmp_path)
    chunks = [[{"path": VAL, "row": 1}, None], [{"path": None, "row": None}, {"path": VAL, "row": 0}]]
    column = pa.chunked_array([pa.array(chunk, GIVEN_FEATURES) for chunk in chunks])
    found = ask(tmp_path, column, ["oak", "elm"])
    assert np.array_equal(found, np.array([[0.25, 0.25], [0, 0], [0, 0], [0.1, 0.7]], np.float32))
    assert np.array_equal(found, ask(tmp_path, column.combine_chunks(), ["oak", "elm"]))


def test_nothing_asked_for_gives_an_empty_matrix(tmp_path: Path) -> None:
    released(tmp_path)
    assert ask(tmp_path, [], ["oak"]).shape == (0, 1)
    assert ask(tmp_path, [None, None], ["oak", "elm"]).tolist() == [[0, 0], [0, 0]]


def test_many_rows_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released(tmp_path)
    rows = [(VAL, row % 3) if row % 4 else None for row in range(23)]
    whole = ask(tmp_path, rows, ["oak", "fir"])
    monkeypatch.setattr("cspops.intake.sources.released.ROWS_AT_ONCE", 4)
    assert np.array_equal(ask(tmp_path, rows, ["oak", "fir"]), whole)
    for row, one in enumerate(rows):  # naive
        expected = [0, 0] if one is None else PROBABILITIES[one[1]][[0, 3]]
        assert np.allclose(whole[row], expected, atol=1e-7)  # float32 of numbers below 1


def test_null_means_that_the_source_has_none(tmp_path: Path) -> None:
    (tmp_path / "released.json").write_text("null")
    assert read_released(tmp_path) is None


def test_what_both_sources_list_is_read(tmp_path: Path) -> None:
    write_inat2018_features(tmp_path / "inat2018", images=40, ratios=(0.05, 0.2))
    write_fmow_features(tmp_path / "fmow", images=40, ratios=(0.05,))
    inat = open_inat2018(tmp_path / "inat2018", Inat2018(form="features", inspection="none"))
    fmow = open_fmow(tmp_path / "fmow", FEATURES)
    for source, files in (
        (inat, {0.05: "fewshot/inat2018_val_preds_sparse_ratio0.050.npz", 0.2: None, 1.0: None}),
        (fmow, {0.05: "fewshot/fmow_val_preds_ratio0.050.npy", 1.0: "feature_moco/fmow_val_preds.npy"}),
    ):
        rows = pa.Table.from_batches(source.batches)
        (tmp_path / "released.json").write_text(json.dumps(source.predictions))
        found = read_released(tmp_path, data_root=tmp_path)
        assert found is not None
        classes = sorted(set(rows["label"].to_pylist()))
        label = np.array([classes.index(name) for name in rows["label"].to_pylist()])
        for ratio in files:
            made = found.probabilities(ratio, rows=rows["image_features"], classes=classes).toarray()
            assert (made[:30] == 0).all()  # training images have no predictions
            assert np.abs(made[30:].sum(1) - 1).max() < 4e-3  # four classes; values up to 1e-3 are dropped, one is kept
            # Corners 2 apart, noise of 0.7: with rows or columns out of order one in four would agree.
            assert (made[30:].argmax(1) == label[30:]).mean() > 0.6
        if files[0.05]:
            assert source.predictions is not None
            assert source.predictions["files"]["0.05"]["path"] == files[0.05]


# --- what is missing or bad


def test_a_ratio_without_a_file_is_named_with_the_file_and_the_key(tmp_path: Path) -> None:
    released(tmp_path)
    with pytest.raises(DataError, match=r"label ratio 0.1 of split.label_ratios: .*/set/few/r0.100.npz was not") as caught:
        ask(tmp_path, [(VAL, 0)], ["oak"], 0.1)
    assert caught.value.message.endswith("there are those for 0.05, 1")
    assert "take 0.1 out of split.label_ratios" in (caught.value.hint or "")


def test_the_file_of_ratio_1_is_named_too(tmp_path: Path) -> None:
    released(tmp_path)
    about = json.loads((tmp_path / "download/released.json").read_text())
    del about["files"]["1"]
    (tmp_path / "download/released.json").write_text(json.dumps(about))
    with pytest.raises(DataError, match=r"label ratio 1 of split.label_ratios: .*/set/full.npz was not there"):
        ask(tmp_path, [(VAL, 0)], ["oak"])


def test_a_file_that_is_gone_is_named_with_the_ratio(tmp_path: Path) -> None:
    released(tmp_path)
    (tmp_path / "set/few/r0.050.npz").unlink()
    with pytest.raises(DataError, match=r"few/r0.050.npz is missing: .* label ratio 0.05 of split.label_ratios") as caught:
        ask(tmp_path, [(VAL, 0)], ["oak"], 0.05)
    assert "CSPOPS_DATA_ROOT" in (caught.value.hint or "")


def test_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    released(tmp_path)
    sparse.save_npz(tmp_path / "set/full.npz", sparse.csr_matrix(PROBABILITIES[::-1]))
    with pytest.raises(DataError, match=r"full.npz is not the file that stage download saw"):
        ask(tmp_path, [(VAL, 0)], ["oak"])


def test_a_class_without_a_column_is_refused(tmp_path: Path) -> None:
    released(tmp_path)
    with pytest.raises(DataError, match=r"no column for 1 of the classes, such as 'ash'") as caught:
        ask(tmp_path, [(VAL, 0)], ["oak", "ash"])
    assert caught.value.hint == "finetune_img.mode: linear_probe in params.yaml"


BAD: dict[str, tuple[Any, bool, str]] = {
    "a negative value": (np.where(PROBABILITIES == 1, -1, PROBABILITIES), True, r"holds no probabilities"),
    "logits": (PROBABILITIES * 9, False, r"holds no probabilities: values below 0, or rows that sum to more than 1"),
    "not finite": (
        np.where(PROBABILITIES == 1, np.nan, PROBABILITIES),
        True,
        r"full.npy holds no probabilities: there are NaN among its float64",
    ),
    "not finite, sparse": (np.where(PROBABILITIES == 1, np.nan, PROBABILITIES), False, r"full.npz .*: there are NaN among"),
    "infinite": (np.where(PROBABILITIES == 1, np.inf, PROBABILITIES), True, r"holds no probabilities: values below 0, or"),
    "text": (PROBABILITIES.astype(str), True, r"full.npy cannot be read: its values are not real numbers but of kind <U32"),
    "complex": (PROBABILITIES + 0j, True, r"full.npy cannot be read: its values are not real numbers but of kind complex128"),
    "complex, sparse": (PROBABILITIES + 0j, False, r"full.npz cannot be read: .* of kind complex128"),
    "too few columns": (PROBABILITIES[:, :3], False, r"has 3 columns, but there are 4 category ids"),
    "too few rows": (PROBABILITIES[:2], False, r"has 2 rows, but row 2 is asked for"),
    "a vector": (np.ones(4) / 4, True, r"full.npy cannot be read: its shape is \(4,\)"),
    "no zip": (b"no zip", False, r"full.npz cannot be read: "),
    "no npy": (b"no npy", True, r"full.npy cannot be read: "),
    "empty": (b"", False, r"full.npz cannot be read: "),
    "a pickle": (np.array([[{}]], dtype=object), True, r"full.npy cannot be read: "),
}


@pytest.mark.parametrize("case", BAD)
def test_files_that_hold_no_fitting_probabilities_are_refused(tmp_path: Path, case: str) -> None:
    content, dense, message = BAD[case]
    released(tmp_path, content, dense=dense)
    with pytest.raises(DataError, match=message) as caught:
        ask(tmp_path, [(VAL, row) for row in range(3)], ["oak"])
    assert case.startswith("too few") or caught.value.hint == FORMAT


@pytest.mark.parametrize("text", ["", "{", "3", "[]", '{"files": {}}'])
def test_a_broken_released_json_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "released.json").write_text(text)
    with pytest.raises(DataError, match=r"released.json is broken"):
        read_released(tmp_path)


def test_a_missing_released_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"released.json is missing") as caught:
        read_released(tmp_path)
    assert caught.value.hint == "dvc repro download"


def test_only_files_of_the_pattern_are_listed(tmp_path: Path) -> None:
    write_fmow_features(tmp_path, images=8, ratios=(0.05,))
    few = tmp_path / "fewshot/fmow_val_preds_ratio0.050.npy"
    for name in ("x", "0.050.old", "1.500", "0.000", "0.1-copy"):
        shutil.copy(few, tmp_path / f"fewshot/fmow_val_preds_ratio{name}.npy")
    source = open_fmow(tmp_path, FEATURES)
    assert source.predictions is not None
    assert list(source.predictions["files"]) == ["0.05", "1"]
