"""The catalogue's images as pixels for a network."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_files import encoded
from PIL import Image

from cspops.errors import DataError
from cspops.pixels.reading import CROP, IMAGE, Reading
from cspops.pixels.tensors import by_path, decode, read_reading, stacked
from cspops.pixels.workers import Workers

NOWHERE = Path("nowhere")
RNG = np.random.default_rng(0)


def table(*images, crops=None):
    """Images by bytes, by path or by both."""
    rows = [
        {"bytes": one[0], "path": one[1]}
        if isinstance(one, tuple)
        else {"bytes": one if isinstance(one, bytes) else None, "path": one if isinstance(one, str) else None}
        for one in images
    ]
    columns = {"image": pa.array(rows, IMAGE)}
    if crops:
        columns["crop"] = pa.array(
            [crop and dict(zip(("left", "top", "right", "bottom"), crop, strict=True)) for crop in crops], CROP
        )
    return pa.table(columns)


def noise(height, width):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels_of(images, px, root=NOWHERE, reading=None, **options):
    return decode(images, px=px, root=root, reading=reading or Reading(), **options).numpy()


def test_row_i_is_image_i():
    pixels = [noise(8, 8) for _ in range(5)]
    assert np.array_equal(pixels_of(table(*map(encoded, pixels)), 8), np.stack(pixels))


def test_no_images_are_no_pixels():
    assert pixels_of(table(), 8).shape == (0, 8, 8, 3)


def test_8_bit_images_are_read_as_they_were_before_other_kinds_were():
    """Pillow's own way: `convert("RGB")`, then the centre square by bicubic resizing. Results on disk rest on it."""
    images = [
        encoded(Image.fromarray(noise(*size)).convert(mode), kind)
        for size in ((31, 20), (16, 16), (9, 40))
        for kind, mode in OPAQUE
    ]
    plain = []
    for data in images:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        if image.size != (16, 16):
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.resize((16, 16), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
        plain.append(np.asarray(image))
    assert np.array_equal(pixels_of(table(*images), 16), np.stack(plain))


OPAQUE = [
    ("PNG", "RGB"),
    ("PNG", "L"),
    ("PNG", "P"),
    ("PNG", "1"),
    ("JPEG", "RGB"),
    ("JPEG", "CMYK"),
    ("TIFF", "CMYK"),
    ("PPM", "RGB"),
]


def test_workers_give_what_this_process_gives(tmp_path):
    images = []
    for number in range(70):
        (tmp_path / f"{number}.png").write_bytes(encoded(noise(20, 24)))
        images.append(f"{number}.png" if number % 3 else (tmp_path / f"{number}.png").read_bytes())
    crops = [(3, 2, 14, 9) if number % 2 else None for number in range(70)]
    here = pixels_of(table(*images, crops=crops), 8, tmp_path)
    with Workers(2) as workers:
        there = pixels_of(table(*images, crops=crops), 8, tmp_path, map=workers.map)
        assert np.array_equal(here, there)
        with pytest.raises(DataError, match=r"(?m)70\.png cannot be used: image file is not there$") as caught:
            pixels_of(table(*images, "70.png"), 8, tmp_path, map=workers.map)
    assert "put it back" in caught.value.hint


def test_a_path_is_taken_under_the_root_and_bytes_go_first(tmp_path):
    in_file, in_bytes = noise(8, 8), noise(8, 8)
    (tmp_path / "plants").mkdir()
    (tmp_path / "plants" / "1.png").write_bytes(encoded(in_file))
    assert np.array_equal(pixels_of(table("plants/1.png"), 8, tmp_path)[0], in_file)
    assert np.array_equal(pixels_of(table((encoded(in_bytes), "plants/1.png")), 8, tmp_path)[0], in_bytes)


@pytest.mark.parametrize("turned", [False, True], ids=["landscape", "portrait"])
def test_the_centre_square_is_taken(turned):
    """30 x 10 pixels, of which the 10 x 10 in the middle are kept as they are: nothing to resize."""
    pixels = noise(10, 30)
    middle = pixels[:, 10:20]
    if turned:
        pixels, middle = pixels.swapaxes(0, 1).copy(), middle.swapaxes(0, 1)
    assert np.array_equal(pixels_of(table(encoded(pixels)), 10)[0], middle)


def test_the_centre_square_is_that_of_the_crop():
    pixels = noise(20, 30)
    out = pixels_of(table(*[encoded(pixels)] * 2, crops=[(4, 5, 12, 11), None]), 6)
    assert np.array_equal(out[0], pixels[5:11, 5:11])
    assert np.array_equal(out[1], pixels_of(table(encoded(pixels)), 6)[0])


def test_resizing_keeps_places():
    """A ramp of 4 a pixel, 64 pixels made 16: pixel j is centred on (j + 1/2) 4 - 1/2 of the old, value 16 j + 6.

    A symmetric kernel whose weights sum to 1 leaves a ramp a ramp, but where it reaches over the border.
    """
    ramp = np.tile((4 * np.arange(64, dtype=np.uint8))[None, :, None], (64, 1, 3))
    small = pixels_of(table(encoded(ramp), encoded(ramp.swapaxes(0, 1).copy())), 16).astype(int)
    inner = np.arange(2, 14)
    assert np.abs(small[0, :, 2:14] - (16 * inner + 6)[None, :, None]).max() <= 1
    assert np.abs(small[1, 2:14] - (16 * inner + 6)[:, None, None]).max() <= 1


def test_images_are_stacked_as_many_as_asked_for():
    images = iter([np.full((2, 2, 3), number, np.uint8) for number in range(5)])
    assert stacked(images, 2, 2)[:, 0, 0, 0].tolist() == [0, 1]
    assert stacked(images, 2, 2)[:, 0, 0, 0].tolist() == [2, 3]


def test_a_missing_file_is_named_with_the_way_out(tmp_path):
    with pytest.raises(DataError) as caught:
        pixels_of(table("plants/2.png"), 8, tmp_path, Reading(root="data_root"))
    assert str(tmp_path / "plants" / "2.png") in caught.value.message
    assert "CSPOPS_DATA_ROOT" in (caught.value.hint or "")


WRONG = {
    "no image at all": (b"hello", "not an image that can be read", "inspection: decode"),
    "nothing": (b"", "image file is empty", "inspection: decode"),
    "half a PNG": (encoded(noise(32, 32))[:500], "image ends before it should", "inspection: decode"),
    "half a JPEG": (encoded(noise(32, 32), "JPEG")[:400], "image ends before it should", "inspection: decode"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_broken_image_is_a_data_error_that_names_it(name, tmp_path):
    data, reason, hint = WRONG[name]
    good = encoded(noise(8, 8))
    with pytest.raises(DataError, match=f"row 1 of the catalogue cannot be used: {reason}") as caught:
        pixels_of(table(good, data), 8)
    assert hint in caught.value.hint
    (tmp_path / "broken.img").write_bytes(data)
    with pytest.raises(DataError, match=rf"{tmp_path}/broken\.img cannot be used: {reason}"):
        pixels_of(table("broken.img"), 8, tmp_path)


def test_what_params_can_mend_is_said_to_be_theirs():
    with pytest.raises(DataError, match="fewer bands") as caught:
        pixels_of(table(encoded(noise(8, 8))), 8, reading=Reading(bands=(4, 3, 2)))
    assert "images.bands" in caught.value.hint


def test_an_observation_without_an_image():
    with pytest.raises(DataError, match="row 1 of the catalogue has no image"):
        pixels_of(table(encoded(noise(8, 8)), (None, None)), 8)


def test_a_crop_beside_the_image_or_without_a_side():
    for crop, detail in (((9, 9, 12, 12), "9, 9, 12, 12 of 8 x 8 pixels"), ((1, 2, None, 4), "a side of it is null")):
        with pytest.raises(DataError, match=f"crop holds no pixel of the image \\({detail}\\)"):
            pixels_of(table(encoded(noise(8, 8)), crops=[crop]), 8)


def test_a_reading_comes_back_from_its_file(tmp_path):
    for reading in (Reading(), Reading("data_root", "fmow", (4, 3, 2), 0.5, 3000.0)):
        (tmp_path / "images.json").write_text(json.dumps(reading.as_json()))
        assert read_reading(tmp_path) == reading


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "is missing"), ("{", "is broken"), ("[]", "is broken"), ('{"root": "data"}', "is broken: folder: Field required"),
     (json.dumps(Reading().as_json() | {"bands": 3}), "is broken")],
)  # fmt: skip
def test_a_broken_reading_is_a_data_error(text, said, tmp_path):
    if text is not None:
        (tmp_path / "images.json").write_text(text)
    with pytest.raises(DataError, match=f"images.json {said}") as caught:
        read_reading(tmp_path)
    assert caught.value.hint == "dvc repro -f download"


def test_whether_images_lie_in_files_is_seen_without_reading_them(tmp_path):
    large = bytes(10_000)  # more than Parquet keeps statistics of
    for images, expected in (
        (["a.png", "b.png"], True),
        ([large, b"1"], False),
        (["a.png", large], False),
        ([(large, "a")], False),
    ):
        pq.write_table(pa.concat_tables([table(*images), table(*images)]), tmp_path / "observations.parquet", row_group_size=2)
        assert by_path(tmp_path) is expected
