"""The centre square of images, and whole images as squares."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from image_files import encoded

from cspops.errors import DataError
from cspops.pixels.decoding import squares
from cspops.pixels.reading import IMAGE, Reading


def table(*pixels: np.ndarray) -> pa.Table:
    return pa.table({"image": pa.array([{"bytes": encoded(one), "path": None} for one in pixels], IMAGE)})


def test_a_square_image_is_what_the_other_images_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 24, 24, 3), np.uint8)
    blocks = [(range(2), table(*pixels))]
    for px in (24, 9, 40):
        ours, theirs = (list(squares(blocks, px=px, root=Path(), reading=Reading(), crop=crop)) for crop in (None, 1.0))
        assert np.array_equal(ours, theirs) and ours[0].shape == (px, px, 3)


@pytest.mark.parametrize("size", [(8, 24), (24, 8)])
def test_nothing_of_a_longer_image_is_cut_off(size: tuple[int, int]) -> None:
    """Thirds of 0, 100 and 200 along the longer side stay thirds; a centre square has the middle one alone."""
    axis = int(np.argmax(size))
    thirds = np.repeat([0, 100, 200], 8).astype(np.uint8)
    pixels = np.broadcast_to(np.expand_dims(thirds, (1 - axis, 2)), (*size, 3)).copy()
    (got,) = squares([(range(1), table(pixels))], px=24, root=Path(), reading=Reading(), crop=None)
    along = np.moveaxis(got, axis, 0)[[4, 12, 20], 12, 0]
    assert along.tolist() == [0, 100, 200]


def test_a_row_without_an_image_is_named() -> None:
    nothing = pa.table({"image": pa.array([None], IMAGE)})
    with pytest.raises(DataError, match="row 7 of the catalogue has no image"):
        list(squares([([7], nothing)], px=8, root=Path(), reading=Reading()))
