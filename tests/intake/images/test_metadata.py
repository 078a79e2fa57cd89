"""Real files of every format, written by Pillow and rasterio."""

import io
import struct
import subprocess
import sys
import zlib

import image_files
import numpy as np
import PIL.ImageFile
import pytest
from affine import Affine
from PIL import Image

from cspops.intake.images import georeference, metadata
from cspops.intake.images.exif_blocks import format_of
from cspops.intake.images.metadata import Metadata, Question, read_metadata

FORMATS = ("jpeg", "png", "webp", "tiff")
LONLAT = (-(11 + 53 / 60 + 6.5 / 3600), 43 + 28 / 60 + 2.8 / 3600)
DATE = "2008-10-22T16:28:39+02:00"


def tags():
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    exif.get_ifd(0x8769).update({0x9003: "2008:10:22 16:28:39", 0x9011: "+02:00"})
    exif.get_ifd(0x8825).update({1: "N", 2: (43.0, 28.0, 2.8), 3: "W", 4: (11.0, 53.0, 6.5)})
    return exif


def picture(form, mode="RGB", **more):
    stream = io.BytesIO()
    Image.new(mode, (20, 10)).save(stream, form, **({"exif": tags().tobytes()} | more))
    return stream.getvalue()


def asked(tmp_path, data, position=True, name="a"):
    (tmp_path / name).write_bytes(data)
    return read_metadata(Question(tmp_path / name, position))


@pytest.fixture(autouse=True)
def no_decoding(monkeypatch):
    """Whatever is asked of a file, no pixel is decoded."""

    def load(*_):
        raise AssertionError("an image was decoded")

    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", load)


def is_that_of_the_tags(found, notes=()):
    # Pillow writes 2.8 and 6.5 as rationals, exact to 1e-8 of a second at worst.
    return found.lonlat == pytest.approx(LONLAT, rel=0, abs=1e-9) and found.captured_at == DATE and found.notes == notes


@pytest.mark.parametrize("form", FORMATS)
def test_each_format(tmp_path, form):
    data = picture(form)
    assert format_of(data[:12]) == form
    assert is_that_of_the_tags(asked(tmp_path, data))


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "I;16", "1"])
def test_tiff_of_each_mode(tmp_path, mode):
    assert is_that_of_the_tags(asked(tmp_path, picture("tiff", mode)))


def test_big_tiff(tmp_path):
    data = picture("tiff", big_tiff=True)
    assert data[2] == 43
    assert is_that_of_the_tags(asked(tmp_path, data))


def test_tiff_in_motorola_order(tmp_path):
    """A hand-written file: the header, one IFD with one pointer, and the GPS IFD with values of 1 byte and rationals."""

    def ifd(*entries):
        return struct.pack(">H", len(entries)) + b"".join(entries) + struct.pack(">L", 0)

    def angle(at):
        return struct.pack(">HL L", 5, 3, at)

    pointer = ifd(struct.pack(">HHLL", 0x8825, 4, 1, 8 + 18))
    behind = 8 + 18 + 2 + 4 * 12 + 4
    entries = [
        struct.pack(">HHL4s", 1, 2, 2, b"S\0"),
        struct.pack(">H", 2) + angle(behind),
        struct.pack(">HHL4s", 3, 2, 2, b"E\0"),
        struct.pack(">H", 4) + angle(behind + 24),
    ]
    rationals = struct.pack(">6L", 43, 1, 28, 1, 28, 10) + struct.pack(">6L", 11, 1, 53, 1, 65, 10)
    found = asked(tmp_path, b"MM\0*" + struct.pack(">L", 8) + pointer + ifd(*entries) + rationals)
    assert found.lonlat == pytest.approx((-LONLAT[0], -LONLAT[1]), rel=0, abs=1e-12)


def chunk(kind, data):
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def test_png_with_exif_behind_its_pixels(tmp_path):
    data = picture("png", exif=b"")
    assert data[-12:-4] == b"\0\0\0\0IEND"
    assert is_that_of_the_tags(asked(tmp_path, data[:-12] + chunk(b"eXIf", tags().tobytes()[6:]) + data[-12:]))


@pytest.mark.parametrize("px", [60_000, 2**31 - 1])
def test_a_picture_that_claims_to_be_huge(tmp_path, px):
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", px, px, 8, 2, 0, 0, 0))
    exif = chunk(b"eXIf", tags().tobytes()[6:])
    data = b"\x89PNG\r\n\x1a\n" + header + exif + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    assert is_that_of_the_tags(asked(tmp_path, data))


def test_a_jpeg_with_other_segments_and_fill_bytes_first(tmp_path):
    data = picture("jpeg")
    at = data.index(b"\xff\xe1")
    xmp = b"\xff\xe1" + struct.pack(">H", 2 + 30) + b"http://ns.adobe.com/xap/1.0/\0x"
    assert is_that_of_the_tags(asked(tmp_path, data[:at] + xmp + b"\xff\xff" + data[at:]))


def test_a_webp_with_a_chunk_of_odd_length_first(tmp_path):
    """Chunks are padded to even lengths, and the padding is not counted."""
    data = picture("webp")
    at = data.index(b"EXIF")
    odd = b"ODD " + struct.pack("<L", 3) + b"odd\0"
    assert is_that_of_the_tags(asked(tmp_path, data[:at] + odd + data[at:]))


def test_a_date_among_the_main_tags(tmp_path):
    exif = Image.Exif()
    exif.update({0x9003: "2008:10:22 16:28:39", 0x9011: "+02:00"})
    assert asked(tmp_path, picture("jpeg", exif=exif.tobytes())) == Metadata(None, DATE, ())


@pytest.mark.parametrize("form", FORMATS)
def test_without_exif(tmp_path, form):
    assert asked(tmp_path, picture(form, exif=b"")) == Metadata(None, None, ())


@pytest.mark.parametrize("form", FORMATS)
def test_any_part_of_a_file_gives_its_metadata_or_none(tmp_path, form):
    """The right answer or none; of a TIFF, whose tags lie apart, the zone of the date may be lost."""
    data = picture(form)
    whole = asked(tmp_path, data)
    for stop in range(0, len(data), 7):
        found = asked(tmp_path, data[:stop])
        assert found.lonlat in (None, whole.lonlat)
        assert found.captured_at in (None, DATE, *([DATE[:19] + "Z"] if form == "tiff" else []))


@pytest.mark.parametrize("form", FORMATS)
def test_bytes_at_fault_never_stop_the_run(tmp_path, form):
    data = np.frombuffer(picture(form), np.uint8)
    generator = np.random.default_rng(0)
    for _ in range(60):
        bad = data.copy()
        where = generator.integers(0, len(data), 8)
        bad[where] = generator.integers(0, 256, 8)
        assert isinstance(asked(tmp_path, bad.tobytes()), Metadata)


def test_what_is_no_image_or_not_there(tmp_path):
    assert asked(tmp_path, b"") == Metadata(None, None, ())
    assert asked(tmp_path, b"GIF89a") == Metadata(None, None, ())
    assert read_metadata(Question(tmp_path / "nothing.jpg", True)) == Metadata(None, None, ())
    assert read_metadata(Question(tmp_path, True)) == Metadata(None, None, (metadata.BROKEN,))


def test_exif_that_is_none(tmp_path):
    assert asked(tmp_path, picture("jpeg", exif=b"Exif\0\0rubbish")).notes == (metadata.BROKEN,)


def test_one_bad_tag_does_not_cost_the_others(tmp_path):
    """The maker's name claims 4 GiB; Pillow warns and skips it."""
    block = tags().tobytes()
    at = block.index(b"\x01\x0f\x00\x02") + 4
    assert block[at : at + 4] == struct.pack(">L", len("a maker") + 1)
    assert is_that_of_the_tags(asked(tmp_path, picture("jpeg", exif=block[:at] + b"\xff" * 4 + block[at + 4 :])))


def test_the_position_only_if_wanted(tmp_path):
    assert asked(tmp_path, picture("jpeg"), position=False) == Metadata(None, DATE, ())


GRID = (0.25, 0, 10, 0, -0.5, 44)
"""8 x 8 pixels from 10 to 12 E and from 40 to 44 N."""


def geotiff(file, transform=None):
    placed = {} if transform is None else {"transform": Affine(*transform)}
    return image_files.geotiff(file, np.zeros((13, 8, 8), np.uint16), crs="EPSG:4326", **placed)


def test_a_geotiff_of_13_bands_that_pillow_cannot_open(tmp_path):
    file = geotiff(tmp_path / "a.tif", transform=GRID)
    with pytest.raises(Image.UnidentifiedImageError):
        Image.open(file)
    # The bounds' middle; the steps of 1/4 and 1/2 degrees are exact in float64, PROJ turns them into radians and back.
    assert read_metadata(Question(file, True)).lonlat == pytest.approx((11, 42), rel=0, abs=1e-12)
    assert read_metadata(Question(file, False)) == Metadata(None, None, ())


def with_gps(file):
    """The same GeoTIFF with EXIF GPS appended: its first IFD is copied to the end with one more entry, the pointer."""
    data = file.read_bytes()
    (at,) = struct.unpack_from("<L", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    entries = data[at + 2 : at + 2 + 12 * count]
    moved = len(data) + len(data) % 2
    gps_at = moved + 2 + 12 * (count + 1) + 4
    ifd = struct.pack("<H", count + 1) + entries + struct.pack("<HHLL", 0x8825, 4, 1, gps_at) + bytes(4)
    angles = gps_at + 2 + 4 * 12 + 4
    gps = struct.pack("<H", 4)
    gps += struct.pack("<HHL4s", 1, 2, 2, b"N\0") + struct.pack("<HHLL", 2, 5, 1, angles)
    gps += struct.pack("<HHL4s", 3, 2, 2, b"E\0") + struct.pack("<HHLL", 4, 5, 1, angles + 8) + bytes(4)
    body = data[:4] + struct.pack("<L", moved) + data[8:] + bytes(len(data) % 2)
    file.write_bytes(body + ifd + gps + struct.pack("<4L", 5, 1, 7, 1))
    return file


def test_the_georeference_wins_over_exif(tmp_path):
    placed = with_gps(geotiff(tmp_path / "a.tif", transform=GRID))
    assert read_metadata(Question(placed, True)).lonlat == pytest.approx((11, 42), rel=0, abs=1e-12)
    unplaced = with_gps(geotiff(tmp_path / "b.tif"))
    assert read_metadata(Question(unplaced, True)) == Metadata((7.0, 5.0), None, (georeference.NO_TRANSFORM,))


def test_reading_metadata_imports_nothing_heavy():
    code = (
        "import sys, cspops.intake.images.metadata; "
        "print(sorted({'torch', 'rasterio', 'pyproj', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
