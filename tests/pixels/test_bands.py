"""TIFF by GDAL: kinds of values that only TIFF has, what broken tags may cost, and what a head may claim."""

import struct
import subprocess
import sys
import threading

import numpy as np
import pytest
from affine import Affine
from image_files import encoded
from PIL import Image
from rasterio.io import MemoryFile

from cspops.pixels import unreadable
from cspops.pixels.gdal import gdal_alone
from cspops.pixels.reading import Reading
from cspops.pixels.rgb import open_rgb
from cspops.pixels.unreadable import UnreadableImage
from cspops.pixels.workers import Workers

PLAIN = Reading()
RNG = np.random.default_rng(1)


def rgb(data, reading=PLAIN):
    return np.asarray(open_rgb(data, reading=reading))


def fails(data):
    with pytest.raises(UnreadableImage) as caught:
        open_rgb(data, reading=PLAIN)
    return str(caught.value)


def by_gdal(values, tags=None, **about):
    """What rasterio makes of values (bands, height, width)."""
    count, height, width = values.shape
    about |= {"count": count, "height": height, "width": width, "dtype": values.dtype, "transform": Affine(1, 0, 10, 0, -1, 50)}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", **about) as new:
            new.write(values)
            new.update_tags(**(tags or {}))
        return bytes(memory.getbuffer())


SHORT, LONG, ASCII, BYTES = 3, 4, 2, 7
PIXELS = RNG.integers(0, 256, (4, 5), dtype=np.uint8)


def tags_of(height=4, width=5, **more):
    """The tags of one strip of grey bytes at 400, of which `more` changes some: by number, kind, count, value."""
    tags = {256: (LONG, 1, width), 257: (LONG, 1, height), 258: (SHORT, 1, 8), 259: (SHORT, 1, 1), 262: (SHORT, 1, 1)}
    tags |= {273: (LONG, 1, 400), 277: (SHORT, 1, 1), 278: (LONG, 1, height), 279: (LONG, 1, 20)}
    return tags | {int(name[1:]): value for name, value in more.items()}


def tiff(tags, order="<"):
    """A TIFF by its specification: the order of bytes, 42, the list of tags, each 12 bytes, and the pixels."""
    table = b""
    for tag, (kind, count, value) in sorted(tags.items()):
        number = (value << 16 if order == ">" else value) if kind == SHORT and count == 1 else value
        table += struct.pack(order + "HHII", tag, kind, count, number)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags)) + table + bytes(4)
    return head.ljust(400, b"\xed") + PIXELS.tobytes()


@pytest.mark.parametrize("order", "<>")
def test_grey_bytes(order):
    assert np.array_equal(rgb(tiff(tags_of(), order))[..., 1], PIXELS)


def test_white_may_be_zero():
    assert np.array_equal(rgb(tiff(tags_of(t262=(SHORT, 1, 0))))[..., 0], 255 - PIXELS)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_fewer_than_8_bits_go_from_black_to_white(bits):
    values = RNG.integers(0, 2**bits, (1, 6, 7), dtype=np.uint8)
    expected = np.rint(values[0] * (255 / (2**bits - 1)))
    assert np.array_equal(rgb(by_gdal(values, nbits=bits), Reading(white=3000.0))[..., 2], expected)


def test_colours_that_are_dark_already_are_not_darkened_again():
    values = RNG.integers(0, 100, (4, 6, 7), dtype=np.uint8)
    made = rgb(by_gdal(values, photometric="RGB", alpha="PREMULTIPLIED"))
    assert np.array_equal(made, np.moveaxis(values[:3], 0, -1))


def test_bands_of_a_palette_are_its_colours():
    palette, index = RNG.integers(0, 256, (4, 3), dtype=np.uint8), RNG.integers(0, 4, (6, 7), dtype=np.uint8)
    image = Image.fromarray(index).convert("P")
    image.putpalette(palette.ravel().tolist())
    data = encoded(image, "TIFF")
    assert np.array_equal(rgb(data, Reading(bands=(3, 1, 2))), palette[index][..., [2, 0, 1]])
    assert np.array_equal(rgb(data, Reading(bands=(2,)))[..., 0], palette[index][..., 1])


def test_lab_is_refused():
    assert fails(encoded(Image.new("LAB", (4, 4), (255, 128, 128)), "TIFF")).startswith(unreadable.KIND)


# --- what is wrong with the tags beside those of the pixels

ODD = {
    "a text of 2 GiB": {"t270": (ASCII, 2**31, 300)},
    "GDAL's XML of 4 GiB": {"t42112": (ASCII, 2**32 - 1, 300)},
    "GDAL's XML is no UTF-8": {"t42112": (ASCII, 80, 300)},
    "nodata is no text": {"t42113": (ASCII, 40, 300)},
    "EXIF and GPS beyond the file": {"t34665": (LONG, 1, 2**31), "t34853": (LONG, 1, 2**31)},
    "EXIF in a circle": {"t34665": (LONG, 1, 8)},
    "a colour profile of 1 GiB": {"t34675": (BYTES, 2**30, 300)},
    "keys of GeoTIFF that are text": {"t34735": (ASCII, 80, 300), "t33550": (12, 3, 10**6), "t33922": (12, 6, 300)},
    "citations that are no UTF-8": {"t34735": (SHORT, 4, 300), "t34737": (ASCII, 80, 300)},
    "a kind that there is not": {"t50000": (99, 2**30, 300)},
    "XMP that ends nowhere": {"t700": (BYTES, 2**29, 300)},
    "orientation 9": {"t274": (SHORT, 1, 9)},
    "orientation that is text": {"t274": (ASCII, 4, 0)},
}


@pytest.mark.parametrize("case", ODD)
def test_odd_tags_cost_no_pixel_and_print_nothing(case, capfd):
    assert np.array_equal(rgb(tiff(tags_of(**ODD[case])))[..., 0], PIXELS)
    assert capfd.readouterr() == ("", "")


def jpeg_tiff(share, marker):
    """A JPEG in a TIFF with another marker at a share of its data's length."""
    data = encoded(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), "TIFF", compression="jpeg")
    start, end = data.index(b"\xff\xda"), data.rindex(b"\xff\xd9")
    at = start + int(share * (end - start))
    return data[:at] + marker + data[at + 2 :]


HALF_JPEGS = {
    "no marker": (jpeg_tiff(0, b"\xff\xa4"), unreadable.NO_IMAGE),
    "a marker that there is not": (jpeg_tiff(0.5, b"\xff\xa4"), unreadable.ENDS_EARLY),
    "the end in the middle": (jpeg_tiff(0.5, b"\xff\xd9"), unreadable.ENDS_EARLY),
}


@pytest.mark.parametrize("case", HALF_JPEGS)
def test_half_a_jpeg_in_a_tiff_is_no_image(case, capfd):
    data, reason = HALF_JPEGS[case]
    assert fails(data).startswith(reason)
    assert capfd.readouterr() == ("", "")


def size(data):
    try:
        return open_rgb(data, reading=PLAIN).size
    except UnreadableImage as error:
        return str(error)


@pytest.mark.parametrize("workers", [0, 1])
def test_libraries_print_nothing_in_worker_processes_either(workers, capfd):
    """GDAL's XML that is not text is what rasterio's own callback fails at."""
    xml = by_gdal(PIXELS[None], tags={"place": "here"}).replace(b'name="place"', b'name\xed"place"')
    assert b"\xed" in xml
    with Workers(workers) as pool:
        first, second = pool.map(size, [xml, HALF_JPEGS["no marker"][0]])
    assert first == (5, 4)
    assert second.startswith(unreadable.NO_IMAGE)
    assert capfd.readouterr() == ("", "")


def test_the_hooks_are_put_back_by_the_last_of_some_threads():
    hooks = sys.excepthook, sys.unraisablehook
    inside, leave = threading.Barrier(3), threading.Barrier(3)

    def ask():
        with gdal_alone():
            inside.wait(10)
            leave.wait(10)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    inside.wait(10)
    assert (sys.excepthook, sys.unraisablehook) != hooks
    leave.wait(10)
    for thread in threads:
        thread.join()
    assert (sys.excepthook, sys.unraisablehook) == hooks


def test_a_reason_is_the_same_each_time():
    data = tiff(tags_of(t273=(LONG, 1, 10**6)))
    assert fails(data) == fails(data)
    assert "previous exception" not in fails(data)


# --- what a head may claim

TILES = {"t324": (LONG, 1, 400), "t325": (LONG, 1, 9)}
CLAIMS = {
    "a column of 250 million": tags_of(250 * 10**6, 1),
    "a row of 250 million": tags_of(1, 250 * 10**6),
    "more pixels than there can be": tags_of(2**31, 2**31 - 1),
    "a strip for each of 9 million rows": tags_of(9 * 10**6, 1, t278=(LONG, 1, 1)),
    "a tile of 2^40 bytes": tags_of(64, 64, t322=(LONG, 1, 2**20), t323=(LONG, 1, 2**20), **TILES),
    "2^20 tiles and more": tags_of(15800, 15800, t322=(LONG, 1, 16), t323=(LONG, 1, 8), **TILES),
}


def test_claims_are_refused_for_what_they_would_cost():
    """In a process of its own, whose memory is measured: 1 GB is far above what the libraries take."""
    code = (
        "import re, sys\nfrom pathlib import Path\nfrom cspops.pixels.reading import Reading\n"
        "from cspops.pixels.rgb import open_rgb\n"
        "from cspops.pixels.unreadable import UnreadableImage\n"
        "for line in sys.stdin:\n    try:\n        open_rgb(bytes.fromhex(line), reading=Reading())\n"
        "    except UnreadableImage as error:\n        print(error)\n"
        "print(re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1])"  # ru_maxrss is the parent's, too
    )
    files = "\n".join(tiff(tags).hex() for tags in CLAIMS.values())
    run = subprocess.run([sys.executable, "-c", code], input=files, capture_output=True, text=True, timeout=60)
    *reasons, kilobytes = run.stdout.splitlines()
    assert len(reasons) == len(CLAIMS)
    for case, reason in zip(CLAIMS, reasons, strict=True):
        assert reason.startswith((unreadable.TOO_LARGE, unreadable.NO_IMAGE)), case
    assert int(kilobytes) < 10**6
    assert run.stderr == ""


def test_a_blank_page_in_few_bytes_is_no_bomb():
    """GDAL takes the 4000 rows of its one strip for strips."""
    data = encoded(Image.new("1", (300, 4000), 1), "TIFF", compression="group4")
    assert len(data) < 4000
    assert rgb(data).min() == 255
