"""Every format and kind of values against the pixel that its definition gives."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from image_files import encoded
from PIL import Image
from rasterio.io import MemoryFile

from cspops.pixels import unreadable
from cspops.pixels.reading import Reading
from cspops.pixels.rgb import INTERPOLATIONS, open_rgb, square
from cspops.pixels.unreadable import REASONS, UnreadableImage

RNG = np.random.default_rng(0)
PLAIN = Reading()
REAL = os.environ.get("CSPOPS_TEST_REALDATA")


def noise(height, width, bands=3, top=256, dtype=np.uint8):
    return RNG.integers(0, top, (height, width, bands) if bands > 1 else (height, width), dtype=dtype)


def rgb(data, reading=PLAIN, crop=None):
    image = open_rgb(data, reading=reading, crop=crop)
    assert image.mode == "RGB"
    return np.asarray(image)


def tiff(values, **options):
    """A GeoTIFF as rasterio writes it, of (bands, height, width) values."""
    count, height, width = values.shape
    colours = options.pop("colorinterp", None)
    about = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": values.dtype} | options
    about["transform"] = rasterio.Affine(1, 0, 10, 0, -1, 50)
    with MemoryFile() as memory:
        with memory.open(**about) as file:
            file.write(values)
            if colours:
                file.colorinterp = [rasterio.enums.ColorInterp[name] for name in colours]
        return memory.read()


def fails(data, reading=PLAIN, crop=None):
    with pytest.raises(UnreadableImage) as caught:
        open_rgb(data, reading=reading, crop=crop)
    assert caught.value.reason in REASONS
    assert "0x" not in caught.value.detail and "vsimem" not in str(caught.value)  # no place in memory
    return caught.value.reason


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("PPM", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})],
)
def test_8_bit_colour_comes_through_unchanged(kind, options):
    pixels = noise(7, 9)
    assert np.array_equal(rgb(encoded(pixels, kind, **options)), pixels)


def test_a_jpeg_keeps_an_even_colour():
    """Its DCT has one coefficient a block: quantisation at quality 100 and the colour transform round by 1 each."""
    assert (
        np.abs(
            rgb(encoded(np.full((16, 16, 3), (200, 30, 90), np.uint8), "JPEG", quality=100)).astype(int) - (200, 30, 90)
        ).max()
        <= 2
    )


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "BMP", "WEBP"])
def test_grey_becomes_three_equal_channels(kind):
    grey = noise(8, 8, 1)
    image = Image.fromarray(grey).convert("RGB") if kind == "WEBP" else grey
    assert np.array_equal(rgb(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))), np.stack([grey] * 3, -1))


def test_1_bit_is_black_and_white():
    bits = noise(8, 8, 1, top=2).astype(bool)
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(rgb(encoded(Image.fromarray(bits), kind))[..., 1], np.where(bits, 255, 0))


def test_a_palette_is_looked_up():
    palette, index = noise(4, 3, 1), noise(8, 8, 1, top=4)
    image = Image.fromarray(index).convert("P")
    image.putpalette(palette.ravel().tolist())
    for kind in ("PNG", "TIFF", "GIF", "BMP"):
        assert np.array_equal(rgb(encoded(image, kind)), palette[index]), kind


def test_cmyk_is_the_product_of_what_ink_leaves():
    """R = (255 - C) (255 - K) / 255, rounded by at most 1; TIFF keeps the four channels as they are."""
    ink = noise(8, 8, 4)
    data = encoded(Image.frombytes("CMYK", (8, 8), ink.tobytes()), "TIFF")
    left = 255 - ink.astype(float)
    assert np.abs(rgb(data) - left[..., :3] * left[..., 3:] / 255).max() <= 1


def test_cmyk_of_a_jpeg_is_not_inverted():
    """Adobe stores 255 - ink. No ink at all is white."""
    assert (rgb(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG")) >= 253).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_what_is_transparent_is_black_by_its_share(kind):
    pixels = noise(16, 16, 4)
    expected = np.rint(pixels[..., :3].astype(float) * pixels[..., 3:] / 255)
    assert np.array_equal(rgb(encoded(pixels, kind)), expected)


def test_grey_with_alpha_and_palettes_with_alpha():
    both = noise(8, 8, 2)
    expected = np.rint(both[..., :1].astype(float) * both[..., 1:] / 255)
    assert np.array_equal(rgb(encoded(both)), np.repeat(expected, 3, -1))
    palette, index = noise(4, 3, 1), noise(8, 8, 1, top=4)
    image = Image.fromarray(index).convert("P")
    image.putpalette(palette.ravel().tolist())
    seen = np.array([255, 0, 128, 255])
    expected = np.rint(palette[index].astype(float) * seen[index][..., None] / 255)
    assert np.array_equal(rgb(encoded(image, transparency=bytes(seen.tolist()))), expected)


def test_a_transparent_colour_is_black():
    pixels = np.full((4, 4, 3), (9, 8, 7), np.uint8)
    pixels[0, 0] = (1, 2, 3)
    out = rgb(encoded(pixels, transparency=(9, 8, 7)))
    assert (out[0, 0] == (1, 2, 3)).all()
    assert out.sum() == 6


def test_bands_of_an_8_bit_image_are_picked_and_alpha_then_does_not_count():
    pixels = noise(8, 8, 4)
    assert np.array_equal(rgb(encoded(pixels), Reading(bands=(3, 1, 4))), pixels[..., [2, 0, 3]])
    assert np.array_equal(rgb(encoded(pixels), Reading(bands=(2,))), pixels[..., [1, 1, 1]])
    assert fails(encoded(pixels[..., :3]), Reading(bands=(4, 3, 2))) == unreadable.TOO_FEW_BANDS
    assert fails(encoded(pixels[..., 0]), Reading(bands=(1, 2, 3))) == unreadable.TOO_FEW_BANDS


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "LZW", "WEBP", "DEEP"])
def test_the_image_is_turned_upright(kind, orientation):
    """EXIF 2.3, tag 274: where the stored row 0 and column 0 are seen, as in the table below.

    A stored image whose corners are white, red, green and blue (row by row) is built from the upright one by undoing it.
    """
    upright = np.zeros((8, 16, 3), np.uint8)  # its quarters differ, its sides differ
    upright[:4, 8:], upright[4:, :8], upright[4:, 8:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    stored = {  # row 0 is the visual ..., column 0 the visual ...
        1: upright,  # top, left
        2: upright[:, ::-1],  # top, right
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: upright.swapaxes(0, 1),  # left, top
        6: upright[:, ::-1].swapaxes(0, 1),  # right, top
        7: upright[::-1, ::-1].swapaxes(0, 1),  # right, bottom
        8: upright[::-1].swapaxes(0, 1),  # left, bottom
    }[orientation]
    reading, tags = PLAIN, Image.Exif()
    tags[274] = orientation
    if kind == "DEEP":
        data = tagged(tiff(np.moveaxis(stored.astype(np.uint16), -1, 0), photometric="RGB"), orientation)
        reading = Reading(white=255.0)
    elif kind in ("TIFF", "LZW"):
        compression = {"compression": "tiff_lzw"} if kind == "LZW" else {}
        data = encoded(np.ascontiguousarray(stored), "TIFF", exif=tags, **compression)
    else:
        options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
        data = encoded(np.ascontiguousarray(stored), kind, exif=tags, **options)
    out = rgb(data, reading)
    assert out.shape == upright.shape
    assert np.abs(out.astype(int) - upright).max() <= (3 if kind == "JPEG" else 0)
    crop = rgb(data, reading, crop=(8, 0, 16, 4))
    assert np.abs(crop.astype(int) - (255, 0, 0)).max() <= (3 if kind == "JPEG" else 0)


def tagged(data, orientation):
    """A little-endian TIFF whose list of tags is copied to the end with tag 274 in it."""
    (start,) = struct.unpack("<I", data[4:8])
    (count,) = struct.unpack("<H", data[start : start + 2])
    entries = [data[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    entries.append(struct.pack("<HHIHH", 274, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    table = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + table


def test_broken_exif_loses_no_image():
    pixels = noise(8, 8)
    assert np.array_equal(rgb(encoded(pixels, exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage")), pixels)


def scaled(values, black, white):
    return np.rint(255 * np.clip((values.astype(np.float64) - black) / (white - black), 0, 1))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "GeoTIFF", "big-endian TIFF", "BigTIFF"])
def test_16_bit_grey_is_scaled(kind):
    deep = noise(16, 16, 1, top=65536, dtype=np.uint16)
    if kind == "GeoTIFF":
        data = tiff(deep[None], compress="deflate")
    elif kind == "BigTIFF":
        data = tiff(deep[None], BIGTIFF="YES")
    elif kind == "big-endian TIFF":
        data = tiff(deep[None], ENDIANNESS="BIG")
    elif kind == "PPM":
        data = b"P5 16 16 65535\n" + deep.astype(">u2").tobytes()
    else:
        data = encoded(deep, kind)
    assert np.array_equal(rgb(data)[..., 0], scaled(deep, 0, 65535))
    out = rgb(data, Reading(black=1000.0, white=9000.0))
    assert np.array_equal(out, np.repeat(scaled(deep, 1000, 9000)[..., None], 3, -1))


def test_other_integers_have_the_range_of_their_kind():
    signed = RNG.integers(-32768, 32768, (1, 8, 8)).astype(np.int16)
    assert np.array_equal(rgb(tiff(signed))[..., 0], scaled(signed[0], 0, 32767))
    twelve = noise(8, 8, 1, top=4096, dtype=np.uint16)
    assert np.array_equal(rgb(tiff(twelve[None], NBITS="12"))[..., 0], scaled(twelve, 0, 4095))
    three = noise(8, 8, 3, top=4096, dtype=np.uint16)
    data = tiff(np.moveaxis(three, -1, 0), NBITS="12")
    assert np.array_equal(rgb(data, Reading(bands=(1, 2, 3))), scaled(three, 0, 4095))


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.float32, np.float64])
def test_32_bits_need_black_and_white(dtype):
    values = (1000 * RNG.random((8, 8))).astype(dtype)
    data = tiff(values[None])
    assert fails(data) == unreadable.NO_RANGE
    assert "images.black and images.white" in unreadable.NO_RANGE
    assert np.array_equal(rgb(data, Reading(black=100.0, white=900.0))[..., 2], scaled(values, 100, 900))


def test_a_range_without_values_is_refused():
    assert fails(encoded(noise(4, 4, 1, 9, np.uint16)), Reading(black=65535.0)) == unreadable.NO_VALUES


def test_nan_and_infinity():
    values = np.array([[np.nan, np.inf], [-np.inf, 0.5]], np.float32)
    assert rgb(tiff(values[None]), Reading(white=1.0))[..., 0].tolist() == [[0, 255], [0, 128]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_nodata_is_black_where_all_bands_hold_it(dtype):
    """200 stands for nothing. Alone in a band it is a value."""
    values = np.full((3, 2, 2), 100, dtype)
    values[:, 0, 0], values[0, 1, 1] = 200, 200
    for bands in (3, 1):
        out = rgb(tiff(values[:bands], nodata=200), Reading(white=255.0))
        assert (out[0, 0] == 0).all()
        assert (out[0, 1] == 100).all()
        assert (out[1, 1] == ((200, 100, 100) if bands == 3 else (0, 0, 0))).all()


@pytest.mark.parametrize("kind", ["TIFF", "RGB TIFF", "PNG"])
def test_16_bit_colour(kind):
    """With a range of its own by the formula. Without one Pillow may cut to the high byte: v // 256 is v / 257 within 1."""
    deep = noise(16, 16, 3, top=65536, dtype=np.uint16)
    data = (
        png16(deep) if kind == "PNG" else tiff(np.moveaxis(deep, -1, 0), photometric="RGB" if "RGB" in kind else "MINISBLACK")
    )
    assert np.abs(rgb(data).astype(int) - deep / 257).max() <= 1
    assert np.array_equal(rgb(data, Reading(black=300.0, white=7000.0)), scaled(deep, 300, 7000))


def png16(deep):
    """A PNG of 16-bit colour by its specification: chunks of length, name, content and CRC; each row unfiltered."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width, _ = deep.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bands_of_many_are_picked(dtype, interleave, caplog):
    values = RNG.integers(0, 200, (13, 6, 8)).astype(dtype)
    data = tiff(values, interleave=interleave)
    out = rgb(data, Reading(bands=(4, 3, 2), white=200.0))
    expected = values[[3, 2, 1]] if dtype == np.uint8 else scaled(values[[3, 2, 1]], 0, 200)
    assert np.array_equal(out, np.moveaxis(expected, 0, -1))
    assert np.array_equal(
        rgb(data, Reading(bands=(9,), white=200.0))[..., 1],
        expected[0] * 0 + rgb(data, Reading(bands=(9, 9, 9), white=200.0))[..., 2],
    )
    assert fails(data) == unreadable.NO_BANDS
    assert "dataset.folder.images.bands" in unreadable.NO_BANDS and "dataset.table.images.bands" in unreadable.NO_BANDS
    assert not caplog.records  # Pillow would complain of each such file on stderr
    assert fails(data, Reading(bands=(14, 1, 2))) == unreadable.TOO_FEW_BANDS


def test_a_fifth_band_beside_colour_is_reached():
    """Pillow reads such a file as RGB and drops the others."""
    values = RNG.integers(0, 256, (5, 6, 8)).astype(np.uint8)
    data = tiff(values, photometric="RGB")
    assert np.array_equal(rgb(data), np.moveaxis(values[:3], 0, -1))
    assert np.array_equal(rgb(data, Reading(bands=(5, 1, 4))), np.moveaxis(values[[4, 0, 3]], 0, -1))


def test_colours_and_alpha_are_found_by_what_the_file_says_of_its_bands():
    values = RNG.integers(0, 65536, (5, 6, 8)).astype(np.uint16)
    order = ["undefined", "blue", "green", "red", "alpha"]
    out = rgb(tiff(values, colorinterp=order))
    expected = scaled(values[[3, 2, 1]], 0, 65535) * scaled(values[4], 0, 65535) / 255
    assert np.abs(out - np.moveaxis(expected, 0, -1)).max() <= 1  # blended in whole numbers


def test_the_crop_is_cut_off_at_the_borders():
    pixels = noise(6, 8)
    data = encoded(pixels)
    assert np.array_equal(rgb(data, crop=(2, 1, 5, 4)), pixels[1:4, 2:5])
    assert np.array_equal(rgb(data, crop=(-3, 4, 2, 60)), pixels[4:, :2])
    for nothing in ((8, 0, 9, 6), (3, 3, 3, 4), (5, 0, 2, 6), (-5, -5, 0, 0)):
        assert fails(data, crop=nothing) == unreadable.EMPTY_CROP


def test_a_crop_keeps_its_share_of_the_centre_square():
    """Three quarters of a square of 64 are 48 pixels, 8 from its borders: kept as they are where 48 are asked for."""
    pixels = noise(64, 80)
    assert np.array_equal(square(Image.fromarray(pixels), 48, crop=0.75), pixels[8:56, 16:64])
    assert np.array_equal(square(Image.fromarray(pixels), 64, crop=1.0), pixels[:, 8:72])
    even = np.full((50, 40, 3), 77, np.uint8)
    for crop in (0.875, 224 / 232, 0.999999, 1 / 3):
        assert np.array_equal(square(Image.fromarray(even), 32, crop=crop), np.full((32, 32, 3), 77))


@pytest.mark.parametrize(("interpolation", "kind"), [("bilinear", "BILINEAR"), ("bicubic", "BICUBIC"), ("nearest", "NEAREST")])
def test_a_crop_is_what_resizing_and_then_cutting_gives(interpolation, kind):
    """As timm and torchvision prepare images: 128 x 192 to 64 on the shorter side, of which the middle 48 stay.

    One step here, two there: filters are the same and so is where they lie, what differs is rounding in between.
    """
    image = Image.fromarray(noise(128, 192))
    two_steps = np.asarray(image.resize((96, 64), Image.Resampling[kind]))[8:56, 24:72]
    once = square(image, 48, crop=0.75, interpolation=interpolation)
    assert np.abs(once.astype(int) - two_steps).max() <= 1


def test_interpolations_differ_and_bicubic_is_the_default():
    image = Image.fromarray(noise(30, 20))
    made = {name: square(image, 16, interpolation=name) for name in INTERPOLATIONS}
    assert np.array_equal(square(image, 16), made["bicubic"])
    assert len({pixels.tobytes() for pixels in made.values()}) == len(INTERPOLATIONS)


def huge_bmp():
    data = encoded(noise(8, 8), "BMP")
    return data[:18] + struct.pack("<ii", 60000, 60000) + data[26:]


def huge_png(width, height):
    """Claims so many pixels and holds 64."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + encoded(noise(8, 8, 1))[33:]
    )


def half(data):
    return data[: len(data) // 2]


BROKEN = {
    "nothing": (b"", unreadable.EMPTY),
    "text": (b"hello", unreadable.NO_IMAGE),
    "a page": (b"<html><body>404</body></html>", unreadable.NO_IMAGE),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", unreadable.NO_IMAGE),
    "a VRT": (b'<VRTDataset rasterXSize="9" rasterYSize="9"></VRTDataset>', unreadable.NO_IMAGE),
    "head of TIFF": (b"II*\0\x08\0\0\0", unreadable.NO_IMAGE),
    "half a JPEG": (half(encoded(noise(64, 64), "JPEG")), unreadable.ENDS_EARLY),
    "half a PNG": (half(encoded(noise(64, 64))), unreadable.ENDS_EARLY),
    "half a 16-bit PNG": (half(encoded(noise(64, 64, 1, 65536, np.uint16))), unreadable.ENDS_EARLY),
    "half a WebP": (half(encoded(noise(64, 64), "WEBP")), unreadable.ENDS_EARLY),
    "half a BMP": (half(encoded(noise(64, 64), "BMP")), unreadable.ENDS_EARLY),
    "half a PPM": (half(encoded(noise(64, 64), "PPM")), unreadable.ENDS_EARLY),
    "PPM whose size is no number": (b"P6 8 z 255\n" + bytes(192), unreadable.NO_IMAGE),
    "a huge BMP": (huge_bmp(), unreadable.TOO_LARGE),
    "a huge PNG": (huge_png(15800, 15825), unreadable.TOO_LARGE),  # 250.035 million, under what Pillow refuses
    "a PNG of 250 million pixels, cut short": (huge_png(15800, 15822), unreadable.ENDS_EARLY),
    "complex numbers": (tiff(np.ones((1, 4, 4), np.complex64)), unreadable.KIND),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_has_its_sentence(name, tmp_path, capfd):
    data, reason = BROKEN[name]
    assert fails(data) == reason
    (tmp_path / "x.img").write_bytes(data)
    assert fails(tmp_path / "x.img") == reason
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "options", [{}, {"compress": "lzw"}, {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16}]
)
@pytest.mark.parametrize("bands", [1, 13])
def test_a_tiff_that_ends_early(bands, options):
    data = tiff(RNG.integers(0, 65536, (bands, 64, 64)).astype(np.uint16), **options)
    assert fails(data[: len(data) * 3 // 4], Reading(bands=(1,))) == unreadable.ENDS_EARLY


@pytest.mark.parametrize(("width", "height"), [(12000, 9000), (16320, 12240)])
def test_photos_of_108_and_200_million_pixels_are_no_bombs(width, height):
    """By their heads; Pillow takes the second for a bomb unless told otherwise."""
    unreadable.refuse_bombs(width, height, 3)
    assert Image.open(io.BytesIO(huge_png(width, height))).size == (width, height)


def test_a_tiff_that_claims_too_much(tmp_path):
    """Pixels; values of all bands; bytes of three bands: 8 x 3 x 10201^2 is more than 24 x 10^8, 8 x 3 x 10000^2 is not."""
    for bands, side, dtype in ((2, 20000, "uint16"), (600, 2000, "uint16"), (3, 10201, "float64")):
        data = tiff_head(bands, side, dtype)
        assert fails(data, Reading(bands=(1,), white=1.0)) == unreadable.TOO_LARGE
    unreadable.refuse_bombs(10000, 10000, 3, size=8)


def tiff_head(bands, side, dtype):
    """A file without pixels, which GDAL leaves out when nothing was written."""
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=bands, height=side, width=side, dtype=dtype, SPARSE_OK=True, interleave="band",
            transform=rasterio.Affine(1, 0, 10, 0, -1, 50),
        ):  # fmt: skip
            pass
        return memory.read()


@pytest.mark.skipif(REAL is None, reason="CSPOPS_TEST_REALDATA is not set")
def test_bands_of_eurosat_are_the_colours_of_its_thumbnails():
    """Red, green and blue of Sentinel-2 are bands 4, 3, 2. The thumbnails were stretched by others: correlation, not equality.

    Where a thumbnail has contrast, of its own band each channel is an increasing function; of red and blue exchanged the
    mean correlation is less.
    """
    folder = Path(REAL or "") / "eurosat100"
    right, exchanged = [], []
    for png in sorted(folder.glob("png/*/*.png"))[::5]:
        tif = folder / "tif" / png.parent.name / f"{png.stem}.tif"
        ours = np.asarray(open_rgb(tif, reading=Reading(bands=(4, 3, 2), white=3000.0))).astype(float)
        theirs = np.asarray(open_rgb(png, reading=PLAIN)).astype(float)
        assert ours.shape == theirs.shape == (64, 64, 3)
        for band in range(3):
            if theirs[..., band].std() > 10:
                right.append(np.corrcoef(ours[..., band].ravel(), theirs[..., band].ravel())[0, 1])
                exchanged.append(np.corrcoef(ours[..., 2 - band].ravel(), theirs[..., band].ravel())[0, 1])
    assert len(right) > 20
    assert min(right) > 0.95
    assert np.mean(right) > np.mean(exchanged)


@pytest.mark.skipif(REAL is None, reason="CSPOPS_TEST_REALDATA is not set")
def test_photos_of_a_camera_decode():
    photos = sorted((Path(REAL or "") / "exif_gps_samples").glob("*.jpg"))
    assert len(photos) == 9
    assert {open_rgb(photo, reading=PLAIN).size for photo in photos} == {(640, 480)}
