"""Rows of .npy matrices that stand for images."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cspops.data.given_features import read_given
from cspops.errors import DataError
from cspops.pixels.reading import GIVEN_FEATURES

RNG = np.random.default_rng(0)


def catalogue(folder, places):
    """A catalogue of (path, row) or None."""
    rows = [None if place is None else {"path": place[0], "row": place[1]} for place in places]
    pq.write_table(pa.table({"image_features": pa.array(rows, GIVEN_FEATURES)}), folder / "observations.parquet")
    return folder


def test_rows_come_from_where_they_are_said_to_be(tmp_path):
    matrices = {"train.npy": RNG.random((40, 6)).astype(np.float32), "deep/val.npy": RNG.random((9, 6))}
    (tmp_path / "deep").mkdir()
    for name, matrix in matrices.items():
        np.save(tmp_path / name, matrix)
    np.save(tmp_path / "deep/val.npy", np.asfortranarray(matrices["deep/val.npy"]))
    names = list(matrices)
    places = [(names[which], int(RNG.integers(len(matrices[names[which]])))) for which in RNG.integers(0, 2, 30)]
    given = read_given(catalogue(tmp_path, places), tmp_path)
    assert given.width == 6
    expected = np.stack([matrices[name][row] for name, row in places]).astype(np.float16)
    assert given.block(range(30)).dtype == np.float16
    assert np.array_equal(given.block(range(30)), expected)
    assert np.array_equal(given.block(range(7, 19)), expected[7:19])


def test_a_catalogue_of_images_has_none(tmp_path):
    assert read_given(catalogue(tmp_path, [None, None]), tmp_path) is None
    pq.write_table(pa.table({"obs_id": ["a"]}), tmp_path / "observations.parquet")
    assert read_given(tmp_path, tmp_path) is None


def test_some_with_and_some_without_are_counted(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    for without in (None, ("a.npy", None), (None, 1)):
        with pytest.raises(DataError, match="2 observations come with image features and 1 without"):
            read_given(catalogue(tmp_path, [("a.npy", 0), ("a.npy", 2), without]), tmp_path)


BAD = {
    "missing.npy": (None, "is missing"),
    "../out.npy": (None, "lies outside"),
    "text.npy": (b"text", "is not an .npy matrix"),
    "objects.npy": (np.array([[{}]], dtype=object), "is not an .npy matrix"),
    "vector.npy": (np.ones(5), "holds float64 of shape .5,., not a matrix"),
    "whole.npy": (np.ones((5, 2), complex), "holds complex128 of shape .5, 2., not a matrix"),
    "wide.npy": (np.ones((5, 3)), "wide.npy has 3 columns and .*good.npy 2"),
    "short.npy": (np.ones((4, 2)), "short.npy has 4 rows, and row 4 is asked for"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_matrix_that_does_not_fit_is_named(tmp_path, name):
    content, said = BAD[name]
    np.save(tmp_path / "good.npy", np.ones((5, 2)))
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        np.save(tmp_path / name, content)
    with pytest.raises(DataError, match=said) as caught:
        read_given(catalogue(tmp_path, [("good.npy", 0), (name, 4)]), tmp_path)
    assert caught.value.hint


def test_a_row_below_0_does_not_count_from_the_end(tmp_path):
    np.save(tmp_path / "good.npy", np.ones((5, 2)))
    with pytest.raises(DataError, match="row -1 is asked for"):
        read_given(catalogue(tmp_path, [("good.npy", -1)]), tmp_path)


def test_half_a_matrix(tmp_path):
    np.save(tmp_path / "half.npy", np.ones((500, 20)))
    data = (tmp_path / "half.npy").read_bytes()
    (tmp_path / "half.npy").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="not a whole one"):
        read_given(catalogue(tmp_path, [("half.npy", 0)]), tmp_path)


@pytest.mark.parametrize(
    ("value", "said"), [(np.nan, "is not finite"), (np.inf, "is not finite"), (65520.0, "leaves the range of float16")]
)
def test_values_that_float16_cannot_hold_are_named(tmp_path, value, said):
    """65519 is rounded to 65504, the largest; 65520 is half-way to what would be next, and rounds to infinity."""
    matrix = np.full((6, 3), 65519.0, np.float32)
    matrix[4, 1] = value
    np.save(tmp_path / "a.npy", matrix)
    given = read_given(catalogue(tmp_path, [("a.npy", row) for row in (5, 4, 0, 1)]), tmp_path)
    assert (given.block(range(2, 4)) == 65504).all()
    with pytest.raises(DataError, match=f"a.npy: row 4 {said}"):
        given.block(range(4))
