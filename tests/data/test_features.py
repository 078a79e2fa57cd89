import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.data.features import FeatureFile, fingerprint
from cspops.errors import DataError

IDS = ["a", "b", "c"]
MATRIX = np.arange(12, dtype=np.float16).reshape(3, 4) / 8


@pytest.fixture
def written(tmp_path):
    file = FeatureFile(tmp_path)
    matrix = file.create(IDS, 4)
    matrix[:] = MATRIX
    matrix.flush()
    return file


def test_row_i_is_observation_i(written):
    matrix = written.read(IDS)
    assert matrix.dtype == np.float16
    assert np.array_equal(matrix, MATRIX)


def test_a_new_matrix_has_the_asked_shape_and_no_content(tmp_path):
    matrix = FeatureFile(tmp_path).create(IDS, 5)
    assert matrix.shape == (3, 5) and not matrix.any()


def test_what_is_read_cannot_be_written(written):
    with pytest.raises(ValueError, match="read-only"):
        written.read(IDS)[0, 0] = 1


def test_what_is_begun_for_the_same_rows_keeps_what_is_done(written):
    matrix = written.begun(IDS, 4)
    assert np.array_equal(matrix, MATRIX)
    matrix[2] = 9
    matrix.flush()
    assert (written.read(IDS)[2] == 9).all()
    assert np.array_equal(written.read(IDS)[:2], MATRIX[:2])


@pytest.mark.parametrize(
    ("ids", "width"), [(["a", "c", "b"], 4), (["a", "b"], 4), (IDS, 5)], ids=["other order", "fewer rows", "other width"]
)
def test_what_was_begun_for_other_rows_or_another_width_is_made_anew(written, ids, width):
    assert written.begun(ids, width) is None
    matrix = written.create(ids, width)
    assert matrix.shape == (len(ids), width)
    assert not matrix.any()
    assert written.read(ids).shape == (len(ids), width)


@pytest.mark.parametrize("json_text", [None, "", "{", "[]"])
def test_a_matrix_whose_description_is_missing_or_broken_is_not_trusted(written, tmp_path, json_text):
    (tmp_path / "features.json").unlink()
    if json_text is not None:
        (tmp_path / "features.json").write_text(json_text)
    assert written.begun(IDS, 4) is None


@pytest.mark.parametrize("ids", [["a", "c", "b"], ["a", "b"], ["a", "b", "c", "d"], ["a", "b", "C"], []])
def test_features_of_other_observations_are_refused(written, ids):
    with pytest.raises(DataError, match=r"features of other observations") as caught:
        written.read(ids)
    assert caught.value.hint == "dvc repro featurize"


@pytest.mark.parametrize("shape", [(2, 4), (3, 5), (3,)])
def test_a_matrix_of_another_shape_than_described_is_refused(written, shape):
    np.save(written.folder / "features.npy", np.zeros(shape, dtype=np.float16))
    with pytest.raises(DataError):
        written.read(IDS)


def test_the_description_says_what_the_matrix_is(written):
    about = json.loads((written.folder / "features.json").read_text())
    assert about == {"rows": 3, "width": 4, "dtype": "float16", "fingerprint": hashlib.sha256(b"a\nb\nc").hexdigest()}


ids = st.lists(st.text("abc0_", min_size=1, max_size=4), max_size=5)


@settings(deadline=None, derandomize=True)
@given(ids, ids)
def test_fingerprints_agree_for_equal_lists_only(a, b):
    assert (fingerprint(a) == fingerprint(b)) == (a == b or (len(a) + len(b) <= 1 and "" in a + b))
