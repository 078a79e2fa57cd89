"""The JSON of Google Takeout: its names, and what is taken from it."""

import json

import pytest

from cspops.intake.images import takeout
from cspops.intake.images.takeout import About, beside, beside_file, read

LONG = "a very long name of a photo of a small oak wood.jpg"
NAMES = {
    "IMG_1.jpg": "IMG_1.jpg.json",
    "IMG_2.jpg": "IMG_2.jpg.supplemental-metadata.json",
    "IMG_3.jpg": "IMG_3.jpg.supplemental-me.json",
    "IMG_4.jpg": "IMG_4.jpg.s.json",
    "IMG_5(1).jpg": "IMG_5.jpg(1).json",
    "IMG_6(12).jpg": "IMG_6.jpg.supplemental-metadata(12).json",
    "IMG_7(1).jpg": "IMG_7(1).jpg.json",
    "IMG_8-edited.jpg": "IMG_8.jpg.json",
    "IMG_9-edited(1).jpg": "IMG_9.jpg(1).json",
    "IMG_10.HEIC": "IMG_10.HEIC.supplemental-metad.json",
    LONG: "a very long name of a photo of a small oak woo.json",
    "20200509_074000_with some more.jpg": "20200509_074000_with some more.jpg.supplementa.json",
    "without a suffix": "without a suffix.json",
}


@pytest.mark.parametrize("image", NAMES)
def test_names(image, tmp_path):
    assert beside(image, {NAMES[image], "IMG.json", "metadata.json"}) == NAMES[image]
    assert beside(image, {"IMG.json", "IMG_11.jpg.json", "metadata.json", f"{image}.xml.json"}) is None
    assert len(takeout.MIDDLE) < takeout.LONGEST
    (tmp_path / NAMES[image]).write_bytes(b"")
    assert beside_file(tmp_path / image) == tmp_path / NAMES[image]


def test_the_own_json_goes_before_that_of_the_first_copy():
    names = {"a.jpg.json", "a.jpg(1).json"}
    assert [beside(name, names) for name in ("a.jpg", "a(1).jpg", "a-edited.jpg")] == [
        "a.jpg.json",
        "a.jpg(1).json",
        "a.jpg.json",
    ]


def place(lon, lat):
    return {"longitude": lon, "latitude": lat, "altitude": 0.0}


ZERO, HERE, THERE = place(0.0, 0.0), place(8.54, 47.37), place(-1.5, 2)
TIME = {"photoTakenTime": {"timestamp": "1589010000", "formatted": "May 9, 2020, 7:40:00 AM UTC"}}
DATE = "2020-05-09T07:40:00Z"
CONTENT = {
    "all": ({"geoData": HERE, "geoDataExif": THERE} | TIME, About((8.54, 47.37), DATE)),
    "the place of EXIF": ({"geoData": ZERO, "geoDataExif": THERE}, About((-1.5, 2.0), None)),
    "no place": ({"geoData": ZERO, "geoDataExif": ZERO} | TIME, About(None, DATE)),
    "a date alone": (TIME, About(None, DATE)),
    "before 1970": ({"photoTakenTime": {"timestamp": "-86400"}}, About(None, "1969-12-31T00:00:00Z")),
    "a date that is none": ({"photoTakenTime": {"timestamp": "soon"}}, About(None, None)),
    "a date far away": ({"photoTakenTime": {"timestamp": "999999999999"}}, About(None, None)),
    "a place that is none": ({"geoData": place("8.54", None)}, About(None, None)),
    "half a place": ({"geoData": {"longitude": 8.54}}, About(None, None)),
    "a list for a place": ({"geoData": [8.54, 47.37]}, About(None, None)),
    "of another tool": ({"title": "a.jpg", "latitude": 8.54}, None),
    "a list": ([1], None),
}


@pytest.mark.parametrize("case", CONTENT)
def test_content(tmp_path, case):
    given, expected = CONTENT[case]
    (tmp_path / "a.json").write_text(json.dumps(given))
    assert read(tmp_path / "a.json") == expected


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"geoData": {"latitude": NaN, "longitude": 1}}'])
def test_what_is_broken_is_passed_over(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    assert read(tmp_path / "a.json") in (None, About(None, None))
    assert read(tmp_path / "nothing.json") is None
