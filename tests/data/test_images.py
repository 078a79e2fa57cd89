import io
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from cspops.data.catalogue import SCHEMA
from cspops.data.images import decode
from cspops.errors import DataError

NOWHERE = Path("nowhere")
RNG = np.random.default_rng(0)


def structs(*images):
    """Image structs of bytes or of a path."""
    rows = [{"bytes": one, "path": None} if isinstance(one, bytes) else {"bytes": None, "path": one} for one in images]
    return pa.array(rows, SCHEMA.field("image").type)


def encoded(pixels, kind="PNG", mode=None):
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, kind)
    return file.getvalue()


def noise(height, width):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "PPM", "BMP"])
def test_an_image_of_the_right_size_comes_through_unchanged(kind):
    pixels = noise(9, 9)
    assert np.array_equal(decode(structs(encoded(pixels, kind)), px=9, root=NOWHERE)[0].numpy(), pixels)


def test_row_i_is_image_i():
    pixels = [noise(8, 8) for _ in range(5)]
    assert np.array_equal(decode(structs(*map(encoded, pixels)), px=8, root=NOWHERE).numpy(), np.stack(pixels))


def test_no_images_are_no_pixels():
    assert decode(structs(), px=8, root=NOWHERE).shape == (0, 8, 8, 3)


def test_a_path_is_taken_under_the_root_and_bytes_go_first(tmp_path):
    in_file, in_bytes = noise(8, 8), noise(8, 8)
    (tmp_path / "plants").mkdir()
    (tmp_path / "plants" / "1.png").write_bytes(encoded(in_file))
    both = pa.array([{"bytes": encoded(in_bytes), "path": "plants/1.png"}], SCHEMA.field("image").type)
    assert np.array_equal(decode(structs("plants/1.png"), px=8, root=tmp_path)[0].numpy(), in_file)
    assert np.array_equal(decode(both, px=8, root=tmp_path)[0].numpy(), in_bytes)


@pytest.mark.parametrize("turned", [False, True], ids=["landscape", "portrait"])
def test_the_centre_square_is_taken(turned):
    """30 x 10 pixels, of which the 10 x 10 in the middle are kept as they are: nothing to resize."""
    pixels = noise(10, 30)
    middle = pixels[:, 10:20]
    if turned:
        pixels, middle = pixels.swapaxes(0, 1).copy(), middle.swapaxes(0, 1)
    assert np.array_equal(decode(structs(encoded(pixels)), px=10, root=NOWHERE)[0].numpy(), middle)


def test_resizing_keeps_places():
    """A ramp of 4 a pixel, 64 pixels made 16: pixel j is centred on (j + 1/2) 4 - 1/2 of the old, value 16 j + 6.

    A symmetric kernel whose weights sum to 1 leaves a ramp a ramp, but where it reaches over the border.
    """
    ramp = np.tile((4 * np.arange(64, dtype=np.uint8))[None, :, None], (64, 1, 3))
    small = decode(structs(encoded(ramp), encoded(ramp.swapaxes(0, 1).copy())), px=16, root=NOWHERE).numpy().astype(int)
    inner = np.arange(2, 14)
    assert np.abs(small[0, :, 2:14] - (16 * inner + 6)[None, :, None]).max() <= 1
    assert np.abs(small[1, 2:14] - (16 * inner + 6)[:, None, None]).max() <= 1


def test_an_even_colour_stays_even_when_enlarged():
    pixels = np.full((5, 7, 3), (200, 30, 90), dtype=np.uint8)
    assert (decode(structs(encoded(pixels)), px=16, root=NOWHERE).numpy() == (200, 30, 90)).all()


def test_grey_becomes_three_equal_channels():
    grey = RNG.integers(0, 256, (8, 8), dtype=np.uint8)
    out = decode(structs(encoded(grey)), px=8, root=NOWHERE)[0].numpy()
    assert np.array_equal(out, np.stack([grey] * 3, -1))


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_other_colour_modes_become_rgb(mode):
    red = np.full((8, 8, 3), (255, 0, 0), dtype=np.uint8)
    assert (decode(structs(encoded(red, mode=mode)), px=8, root=NOWHERE).numpy() == (255, 0, 0)).all()


def test_16_bit_grey_is_not_washed_out():
    """30000 of 65535 is 117 of 255. Answering white would lose the image without a word; refusing it is as good."""
    deep = np.full((8, 8), 30000, dtype=np.uint16)
    try:
        out = decode(structs(encoded(deep)), px=8, root=NOWHERE).numpy()
    except DataError:
        return
    assert (np.abs(out.astype(int) - 117) <= 1).all()


def test_a_missing_file_is_named_with_the_way_out(tmp_path):
    with pytest.raises(DataError) as caught:
        decode(structs("plants/2.png"), px=8, root=tmp_path)
    assert str(tmp_path / "plants" / "2.png") in caught.value.message
    assert "CSPOPS_DATA_ROOT" in (caught.value.hint or "")


def huge_bmp():
    """A picture whose head promises 60000 x 60000 pixels, which Pillow refuses as a decompression bomb."""
    data = encoded(noise(8, 8), "BMP")
    return data[:18] + struct.pack("<ii", 60000, 60000) + data[26:]


BROKEN = {
    "no image at all": b"hello",
    "nothing": b"",
    "half a PNG": encoded(noise(32, 32))[:500],
    "half a JPEG": encoded(noise(32, 32), "JPEG")[:400],
    "half a PPM": encoded(noise(32, 32), "PPM")[:400],
    "PPM whose size is no number": b"P6 8 z 255\n" + bytes(8 * 8 * 3),
    "a bomb": huge_bmp(),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_a_data_error_that_names_it(name, tmp_path):
    good = encoded(noise(8, 8))
    with pytest.raises(DataError, match="row 1 "):
        decode(structs(good, BROKEN[name]), px=8, root=NOWHERE)
    (tmp_path / "broken.img").write_bytes(BROKEN[name])
    with pytest.raises(DataError, match=r"broken\.img"):
        decode(structs("broken.img"), px=8, root=tmp_path)
