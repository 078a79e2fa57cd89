"""Images, folders, tables and paths on standard input as rows with a position and a reason where there is none."""

import math
from pathlib import Path

import numpy as np
import pytest
from photos import gps_exif
from PIL import Image

from cspops.errors import DataError
from cspops.library.inputs import NO_POSITION, NOT_THERE, read_inputs
from cspops.pixels.reading import Reading
from cspops.pixels.unreadable import OTHER_FORMAT


def rows(*paths, stdin=(), position=None):
    return list(read_inputs(map(str, paths), stdin=stdin, position=position, reading=Reading()))


def plain(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file)
    return file


def test_an_image_without_a_position_says_so(tmp_path):
    [row] = rows(plain(tmp_path / "a.png"))
    assert row.where == str(tmp_path / "a.png")
    assert row.image == tmp_path / "a.png"
    assert (row.position, row.problem, row.error) == ("none", NO_POSITION, None)
    assert math.isnan(row.lon)


def test_a_given_position_goes_before_all(tmp_path):
    [row] = rows(plain(tmp_path / "a.png"), position=(8.5, 47.4))
    assert (row.lon, row.lat, row.position, row.problem) == (8.5, 47.4, "given", None)


def test_a_folder_gives_its_images_in_order(tmp_path):
    for name in ("b/2.png", "a.png", "b/10.png"):
        plain(tmp_path / "set" / name)
    (tmp_path / "set" / "notes.txt").write_text("no image")
    assert [row.where.removeprefix(f"{tmp_path}/set/") for row in rows(tmp_path / "set")] == ["a.png", "b/10.png", "b/2.png"]


def test_a_table_gives_positions_and_what_is_wrong_with_them(tmp_path):
    for name in ("a", "b", "c"):
        plain(tmp_path / f"{name}.png")
    (tmp_path / "t.csv").write_text("image,lon,lat\na.png,8.5,47.4\nb.png,8.5,147\nc.png,,\nd.png,1,2\n")
    found = rows(tmp_path / "t.csv")
    assert [row.where for row in found] == ["t.csv:2", "t.csv:3", "t.csv:4", "t.csv:5"]
    assert [row.position for row in found] == ["table", "none", "none", "table"]
    assert [row.problem for row in found] == [None, "latitude is outside [-90, 90]", NO_POSITION, None]
    assert (found[0].lon, found[0].lat) == (8.5, 47.4)


def test_paths_on_standard_input_and_files_that_are_missing(tmp_path):
    a = plain(tmp_path / "a.png")
    found = rows("-", stdin=[f"{a}\n", "\n", "nowhere.png\n"])
    assert [row.where for row in found] == [str(a), "nowhere.png"]
    assert [row.error for row in found] == [None, NOT_THERE]


def test_rows_come_as_they_are_needed(tmp_path):
    """The first row is there before the second line of standard input is read."""
    a = plain(tmp_path / "a.png")

    def lines():
        yield f"{a}\n"
        raise AssertionError("read ahead")

    source = read_inputs(["-"], stdin=lines(), position=None, reading=Reading())
    assert next(source).where == str(a)
    with pytest.raises(AssertionError, match="read ahead"):
        next(source)


def test_a_photo_has_its_own_position(tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "p.jpg", exif=gps_exif(8.5, 47.25))
    [row] = rows(tmp_path / "p.jpg")
    assert (row.position, row.problem) == ("file", None)
    assert (row.lon, row.lat) == (pytest.approx(8.5, abs=1e-6), pytest.approx(47.25, abs=1e-6))


def test_a_photo_of_takeout_has_the_position_beside_it(tmp_path):
    photo = plain(tmp_path / "a.jpg")
    (tmp_path / "a.jpg.supplemental-metadata.json").write_text('{"geoData": {"latitude": 47.5, "longitude": 8.5}}')
    (tmp_path / "t.csv").write_text("image\na.jpg\n")
    for given in (photo, tmp_path, tmp_path / "t.csv"):
        [row] = rows(given)
        assert (row.lon, row.lat, row.position, row.problem) == (8.5, 47.5, "file", None)


def test_other_formats_say_what_they_are(tmp_path):
    (tmp_path / "a.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n")
    [row] = rows(tmp_path)
    assert row.error == f"{OTHER_FORMAT} (JPEG 2000: convert it to JPEG or PNG)"


def test_labels_are_the_tables_column_or_the_folder_of_the_image(tmp_path):
    for name in ("set/oak/1.png", "set/fir/old/2.png", "set/3.png", "set/train/oak/4.png"):
        plain(tmp_path / name)
    assert [row.label for row in rows(tmp_path / "set")] == ["set", "old", "oak", "oak"]
    (tmp_path / "t.csv").write_text("image,species\nset/3.png,fir\nset/3.png,NA\n")
    assert [row.label for row in rows(tmp_path / "t.csv")] == ["fir", None]
    assert [row.label for row in rows("-", stdin=[f"{tmp_path}/set/oak/1.png"])] == ["oak"]


def test_what_is_odd_about_the_whole_is_told_after_its_last_row(tmp_path, said):
    plain(tmp_path / "set" / "a.png")
    (tmp_path / "set" / "notes.txt").write_text("no image")
    source = read_inputs([str(tmp_path / "set")], stdin=(), position=None, reading=Reading())
    next(source)
    assert said == []
    list(source)
    assert said == [f"{tmp_path / 'set'}: files that are not images, left out: 1 .txt"]


def test_what_holds_no_image_is_refused_without_a_word_of_params(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.csv").write_text("foo,bar\n1,2\n")
    for name in ("empty", "other.csv"):
        with pytest.raises(DataError, match=name) as refused:
            rows(tmp_path / name)
        assert "params.yaml" not in f"{refused.value} {refused.value.hint}"
