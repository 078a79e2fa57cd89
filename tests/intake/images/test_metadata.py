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
from PIL.TiffImagePlugin import IFDRational
from pillow_heif import register_heif_opener

from cspops.intake.images import exif, georeference, metadata
from cspops.intake.images.metadata import Metadata, Question, read_metadata
from cspops.pixels.formats import format_of

register_heif_opener()
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
    options = {"exif": tags().tobytes()} | more
    Image.new(mode, (20, 10)).save(stream, form, **{name: value for name, value in options.items() if value != b""})
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


@pytest.mark.parametrize("form", ["heif", "avif"])
def test_phones_formats(tmp_path, form):
    assert is_that_of_the_tags(asked(tmp_path, picture(form)))
    assert asked(tmp_path, picture(form, exif=b"")) == Metadata(None, None, ())


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


def hexadecimal(kind, content):
    """As ImageMagick and others write a profile into text."""
    digits = content.hex()
    lines = [digits[at : at + 72] for at in range(0, len(digits), 72)]
    return "\n".join(["", kind, f"{len(content):8d}", *lines, ""]).encode()


def text_chunk(kind, keyword, text, packed=True):
    if kind == b"zTXt":
        return chunk(kind, keyword + b"\0\0" + zlib.compress(text))
    if kind == b"iTXt":
        return chunk(kind, keyword + b"\0" + bytes([packed, 0]) + b"en\0word\0" + (zlib.compress(text) if packed else text))
    return chunk(kind, keyword + b"\0" + text)


def segment(content, code=0xE1):
    return bytes([0xFF, code]) + struct.pack(">H", len(content) + 2) + content


EXIF = tags().tobytes()
BARE = EXIF[6:]
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"


def png_with(*chunks, behind=False):
    data = picture("png", exif=b"")
    at = len(data) - 12 if behind else 33
    return data[:at] + b"".join(chunks) + data[at:]


def jpeg_with(*parts):
    data = picture("jpeg", exif=b"")
    return data[:2] + b"".join(parts) + data[2:]


def webp_with(*chunks):
    data = picture("webp", exif=EXIF)
    return data[: data.index(b"EXIF")] + b"".join(
        name + struct.pack("<L", len(c)) + c + bytes(len(c) % 2) for name, c in chunks
    )


PROFILE = b"Raw profile type "
PLACED = {
    "PNG: eXIf with the head of JPEG": png_with(chunk(b"eXIf", EXIF)),
    "PNG: eXIf behind a broken raw profile": png_with(text_chunk(b"zTXt", PROFILE + b"exif", b"?"), chunk(b"eXIf", BARE)),
    **{
        f"PNG: {kind} {name}{' behind the pixels' * behind}": png_with(
            text_chunk(kind.encode(), PROFILE + name, hexadecimal(first, content), packed), behind=behind
        )
        for kind, packed in (("zTXt", True), ("tEXt", False), ("iTXt", True), ("iTXt", False))
        for name, first, content in (
            (b"exif", "exif", EXIF),
            (b"exif", "exif", BARE),
            (b"APP1", "generic profile", EXIF),
            (b"EXIF", "EXIF", EXIF),
        )
        for behind in (False, True)
    },
    "JPEG: junk between segments": jpeg_with(segment(b"JFIF\0", 0xE0), b"junk\0\xff\0junk", segment(EXIF)),
    "JPEG: EXIF behind XMP": jpeg_with(segment(XMP_HEAD + b"<x/>"), segment(EXIF)),
    "JPEG: EXIF behind that of another tool, which is broken": jpeg_with(segment(b"Exif\0\0rubbish"), segment(EXIF)),
    "JPEG: EXIF behind EXIF without a place or date": jpeg_with(segment(b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"), segment(EXIF)),
    "JPEG: EXIF in two segments": jpeg_with(segment(EXIF[:90]), segment(b"Exif\0\0" + EXIF[90:])),
    "JPEG: fill bytes": jpeg_with(b"\xff\xff\xff", segment(EXIF)),
    "WebP: with the head of JPEG": webp_with((b"EXIF", EXIF)),
    "WebP: without it": webp_with((b"EXIF", BARE)),
    "WebP: behind a chunk of odd length without its padding": picture("webp", exif=b"")
    + b"ODD "
    + struct.pack("<L", 3)
    + b"odd"
    + b"EXIF"
    + struct.pack("<L", len(BARE))
    + BARE,
    "WebP: behind XMP of odd length": webp_with((b"XMP ", b"<x/> "), (b"EXIF", BARE)),
}


@pytest.mark.parametrize("place", PLACED)
def test_exif_where_other_tools_put_it(tmp_path, place):
    found = asked(tmp_path, PLACED[place])
    assert is_that_of_the_tags(found, (metadata.BROKEN,) if "broken" in place else ())


def xmp(*attributes, inside=""):
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" '
        f'{" ".join(attributes)}>{inside}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


PLACE = xmp('exif:GPSLatitude="43,28.0466666667N"', 'exif:GPSLongitude="11,53,6.5W"')
IN_XMP = {
    "jpeg": lambda packet: jpeg_with(segment(XMP_HEAD + packet)),
    "jpeg, extended behind it": lambda packet: jpeg_with(
        segment(XMP_HEAD + packet), segment(b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + b"<x:xmpmeta>")
    ),
    "jpeg, extended alone before it": lambda packet: jpeg_with(
        segment(b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + b"<x"), segment(XMP_HEAD + packet)
    ),
    "png": lambda packet: png_with(text_chunk(b"iTXt", b"XML:com.adobe.xmp", packet, packed=False)),
    "png, compressed, behind the pixels": lambda packet: png_with(
        text_chunk(b"iTXt", b"XML:com.adobe.xmp", packet), behind=True
    ),
    "png, raw profile": lambda packet: png_with(text_chunk(b"zTXt", PROFILE + b"xmp", hexadecimal("xmp", packet))),
    "png, raw profile of JPEG's segment": lambda packet: png_with(
        text_chunk(b"tEXt", PROFILE + b"APP1", hexadecimal("generic profile", XMP_HEAD + packet))
    ),
    "webp": lambda packet: webp_with((b"XMP ", packet)),
    "tiff": lambda packet: picture("tiff", exif=b"", tiffinfo={700: packet}),
    "heif": lambda packet: picture("heif", exif=b"", xmp=packet),
    "avif": lambda packet: picture("avif", exif=b"", xmp=packet),
}


@pytest.mark.parametrize("form", IN_XMP)
def test_a_position_in_xmp_alone(tmp_path, form):
    found = asked(tmp_path, IN_XMP[form](PLACE))
    # Minutes are cut to 1e-10.
    assert found.lonlat == pytest.approx(LONLAT, rel=0, abs=1e-11)
    assert (found.captured_at, found.notes) == (None, (metadata.FROM_XMP,))
    assert asked(tmp_path, IN_XMP[form](PLACE), position=False) == Metadata(None, None, ())


NAN = IFDRational(0, 0)
NOWHERE = {
    "zeros": ({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}, ()),
    "0/0": ({1: "N", 2: (NAN, NAN, NAN), 3: "E", 4: (NAN, NAN, NAN)}, (exif.EMPTY,)),
    "one of two": ({1: "N", 2: (43.0, 28.0, 2.8)}, (exif.HALF,)),
    "beyond the pole": ({1: "N", 2: (143.0, 28.0, 2.8), 3: "W", 4: (11.0, 53.0, 6.5)}, ()),
    "only a version": ({0: b"\2\3\0\0"}, ()),
}


@pytest.mark.parametrize("case", NOWHERE)
def test_xmp_serves_where_exif_has_no_place(tmp_path, case):
    gps, notes = NOWHERE[case]
    block = Image.Exif()
    block.get_ifd(0x8825).update(gps)
    found = asked(tmp_path, jpeg_with(segment(block.tobytes()), segment(XMP_HEAD + PLACE)))
    assert (found.lonlat, found.notes) == (pytest.approx(LONLAT, rel=0, abs=1e-11), (*notes, metadata.FROM_XMP))


def test_exif_comes_before_xmp(tmp_path):
    elsewhere = xmp('exif:GPSLatitude="1,0N"', 'exif:GPSLongitude="2,0E"')
    assert is_that_of_the_tags(asked(tmp_path, jpeg_with(segment(XMP_HEAD + elsewhere), segment(EXIF))))


def test_zeros_stay_where_nothing_else_is_known(tmp_path):
    """Whoever judges positions sets them aside with a reason."""
    block = Image.Exif()
    block.get_ifd(0x8825).update(NOWHERE["zeros"][0])
    zeros = xmp('drone-dji:GpsLatitude="0.0"', 'drone-dji:GpsLongitude="0.0"')
    assert asked(tmp_path, jpeg_with(segment(block.tobytes()), segment(XMP_HEAD + zeros))) == Metadata((0.0, 0.0), None, ())


def test_takeout_serves_where_the_file_says_nothing(tmp_path):
    beside = tmp_path / "a.json"
    beside.write_text('{"geoData": {"latitude": 1.5, "longitude": 2.5}, "photoTakenTime": {"timestamp": "1589010000"}}')

    def found(data):
        (tmp_path / "a").write_bytes(data)
        return read_metadata(Question(tmp_path / "a", True, beside))

    notes = (metadata.FROM_TAKEOUT, metadata.DATE_FROM_TAKEOUT)
    assert found(picture("jpeg", exif=b"")) == Metadata((2.5, 1.5), "2020-05-09T07:40:00Z", notes)
    assert is_that_of_the_tags(found(picture("jpeg")))
    assert found(jpeg_with(segment(XMP_HEAD + PLACE))).notes == (metadata.FROM_XMP, metadata.DATE_FROM_TAKEOUT)
    assert read_metadata(Question(tmp_path / "a", False, beside)).lonlat is None
    beside.write_text("{}")
    assert found(picture("jpeg", exif=b"")) == Metadata(None, None, ())


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
