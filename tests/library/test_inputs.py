"""Images, folders, tables and paths on standard input as rows with a position and a reason where there is none."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photos import gps_exif
from PIL import Image

from cspops.errors import DataError
from cspops.library.given_dates import NO_DAY, day_of_option
from cspops.library.inputs import NO_POSITION, NOT_THERE, count_inputs, read_inputs
from cspops.pixels.unreadable import OTHER_FORMAT


def rows(*paths, stdin=(), position=None):
    return list(read_inputs(map(str, paths), stdin=stdin, position=position))


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

    source = read_inputs(["-"], stdin=lines(), position=None)
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
    source = read_inputs([str(tmp_path / "set")], stdin=(), position=None)
    next(source)
    assert said == []
    list(source)
    assert said == [f"{tmp_path / 'set'}: files that are not images, left out: 1 .txt"]


HEADERS = ("foo,bar", "image,lon", "image,lon,LON,lat", "image,class,category", "image,a_lat,a_lon,b_lat,b_lon")


def test_what_cannot_be_read_is_refused_with_a_hint_that_fits_and_no_word_of_params(tmp_path):
    (tmp_path / "empty").mkdir()
    for number, header in enumerate(HEADERS):
        (tmp_path / f"{number}.csv").write_text(f"{header}\n{','.join('1' * (header.count(',') + 1))}\n")
    for name in ("empty", *(f"{number}.csv" for number in range(len(HEADERS)))):
        with pytest.raises(DataError, match=name) as refused:
            rows(tmp_path / name)
        assert "params.yaml" not in f"{refused.value} {refused.value.hint}"
        assert name == "empty" or "rename" in refused.value.hint


def write_table(file: Path) -> None:
    lines = [
        {"image": "a.png", "lon": 8.5, "lat": 47.5, "id": "p"},
        {"image": "sub/b.png", "lon": 9.0, "lat": 48.0, "id": "q"},
    ]
    features = [
        {"type": "Feature", "properties": one, "geometry": {"type": "Point", "coordinates": [one["lon"], one["lat"]]}}
        for one in lines
    ]
    match file.suffix:
        case ".csv" | ".tsv":
            rows = [list(lines[0]), *(map(str, one.values()) for one in lines)]
            file.write_text("".join(("," if file.suffix == ".csv" else "\t").join(row) + "\n" for row in rows))
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(lines), file)
        case ".geojson":
            file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        case _:
            file.write_text("\n".join(json.dumps(one) for one in features) + "\n")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".geojson", ".geojsonl"])
@pytest.mark.parametrize("way", ["t", "set/t", "set/in/t", "../beside/set/t", "./set/../set/t", "ABSOLUTE/t"])
def test_a_table_is_found_by_any_path_and_its_images_beside_it(tmp_path, monkeypatch, way, suffix):
    (tmp_path / "beside").mkdir()
    monkeypatch.chdir(tmp_path / "beside")
    file = Path(way.replace("ABSOLUTE", str(tmp_path / "beside" / "set")) + suffix)
    plain(file.parent / "a.png")
    plain(file.parent / "sub" / "b.png")
    write_table(file)
    found = rows(file)
    first = 2 if suffix in (".csv", ".tsv") else 1
    assert [(row.where, row.obs_id) for row in found] == [(f"{file.name}:{first}", "p"), (f"{file.name}:{first + 1}", "q")]
    assert [(row.lon, row.lat, row.position, row.error) for row in found] == [
        (8.5, 47.5, "table", None),
        (9.0, 48.0, "table", None),
    ]
    assert all(row.image.is_file() for row in found)
    assert rows("-", stdin=[f"{file}\n"]) == found


REMARKS = {
    "no position": (b"image,label\na.png,x\n", "t.csv: no column is known as longitude or latitude"),
    "several dates": (
        b"image,lon,lat,label,date_taken,acquired\na.png,1,2,x,2020-01-01,2021-01-01\n",
        "t.csv: captured_at is read from the column 'date_taken', not from 'acquired'",
    ),
    "another encoding": (
        "image,lon,lat,label\na.png,1,2,caf\xe9\n".encode("cp1252"),
        "t.csv: 1 line is not UTF-8 and read as cp1252, from line 2 on",
    ),
    "missing labels": (b"image,lon,lat,label\na.png,1,2,NA\n", "t.csv: labels that are read as missing: NA (1)"),
    "a form": (
        b"image,x_lat,x_lon,label\na.png,1,2,x\n",
        "t.csv: positions are read from the columns 'x_lon' and 'x_lat'",
    ),
    "uncertainty": (
        b"image,lon,lat,label,coordinateUncertaintyInMeters\na.png,1,2,x,50\n",
        "t.csv: positions are taken as exact, although an uncertainty is stated of 1 of 1 (median 50 m)",
    ),
}


@pytest.mark.parametrize("name", REMARKS)
def test_what_is_odd_about_a_table_is_said_once_after_its_rows(tmp_path, said, name):
    content, remark = REMARKS[name]
    plain(tmp_path / "a.png")
    (tmp_path / "t.csv").write_bytes(content)
    source = read_inputs([str(tmp_path / "t.csv")], stdin=(), position=None)
    next(source)
    assert said == []
    list(source)
    assert said.count(remark) == 1


def test_what_is_odd_about_a_folder_is_said(tmp_path, said):
    for name in ("set/train/oak/1.png", "set/test/oak/2.png", "set/.cache/3.png"):
        plain(tmp_path / name)
    rows(tmp_path / "set")
    whole = "\n".join(said)
    assert "hidden and system files and folders, left out: 1 .cache" in whole
    assert "the folders test, train are the official split" in whole


def test_names_that_are_not_utf8_are_read_and_shown_in_ascii(tmp_path):
    """An image, the table of one and the folder of one; on the command line, and as bytes of standard input."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path / "set") + b"\xe9"))
    image = plain(folder / "a.png").rename(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png"))
    plain(folder / "b.png")
    table = Path(os.fsdecode(os.fsencode(folder) + b"/t\xe9.csv"))
    table.write_text("image,lon,lat,label\nb.png,1,2,x\n")
    lines = [f"{image}\n"]
    shown = f"{tmp_path}/set\\xe9"
    for found in (rows(image), rows("-", stdin=lines)):
        assert [(row.where, row.image, row.label, row.error) for row in found] == [
            (f"{shown}/caf\\xe9.png", image, "set\\xe9", None)
        ]
    assert [(row.where, row.obs_id, row.error) for row in rows(table)] == [("t\\xe9.csv:2", "t\\xe9:2", None)]
    in_folder = rows(folder)
    assert [row.where for row in in_folder] == [f"{shown}/b.png", f"{shown}/caf\\xe9.png"]
    assert in_folder[0].error is None and "not UTF-8" in in_folder[1].error
    gone = rows(os.fsdecode(b"gone\xe9.png"))
    assert [(row.where, row.error) for row in gone] == [("gone\\xe9.png", NOT_THERE)]
    for row in [*in_folder, *gone]:
        f"{row.where}{row.label}".encode()


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "\N{SNOWMAN}" * 300])
def test_a_name_that_no_file_can_have_is_not_there(name):
    assert [row.error for row in rows(name)] == [NOT_THERE]


def test_images_and_folders_are_counted_before_they_are_read_and_tables_are_not(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.png", "b/3.png", "4.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
    paths = [str(tmp_path), str(tmp_path / "4.png"), str(tmp_path / "none.png")]
    assert count_inputs(paths) == len(list(read_inputs(paths, stdin=(), position=None))) == 6
    (tmp_path / "t.csv").write_text("image\n4.png\n")
    assert count_inputs([*paths, str(tmp_path / "t.csv")]) is None
    assert count_inputs(["-"]) is None


def dated(file: Path, taken: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(file, exif=gps_exif(8.5, 47.4, taken=taken))
    return file


def test_a_photo_has_its_own_date_alone_and_in_a_folder(tmp_path):
    a = dated(tmp_path / "set" / "a.jpg", "2021:06:05 12:13:14")
    dated(tmp_path / "set" / "b.jpg", "2021:02:30 12:13:14")
    plain(tmp_path / "set" / "c.png")
    for found in (rows(a)[:1], rows(tmp_path / "set")[:1]):
        assert [(row.day.text, row.day.origin, row.day.problem) for row in found] == [("2021-06-05", "file", None)]
        assert found[0].day.when == pytest.approx((155 + (12 * 3600 + 13 * 60 + 14) / 86400) / 365)
    b, c = rows(tmp_path / "set")[1:]
    assert (b.day.text, b.day.origin, b.day.problem) == (None, "none", "EXIF date does not exist in the calendar")
    assert c.day == NO_DAY
    assert rows(tmp_path / "set" / "b.jpg")[0].day == b.day


def test_a_tables_dates_are_its_columns_and_where_that_is_empty_the_files(tmp_path):
    dated(tmp_path / "a.jpg", "2021:06:05 12:13:14")
    (tmp_path / "t.csv").write_text(
        "image,lon,lat,eventDate\na.jpg,8,47,2020-01-02\na.jpg,8,47,\na.jpg,,,\na.jpg,8,47,03/04/2020\n"
    )
    said = [
        (row.day.text, row.day.origin) for row in read_inputs([str(tmp_path / "t.csv")], stdin=(), position=None, dated=True)
    ]
    assert said == [("2020-01-02", "table"), ("2021-06-05", "file"), ("2021-06-05", "file"), (None, "none")]
    undated = rows(tmp_path / "t.csv")
    assert undated[1].day == NO_DAY  # nobody asked, and no file is opened for it
    assert "not known" in str(undated[3].day.problem)


def test_a_given_date_goes_before_all(tmp_path):
    day = day_of_option("June")
    dated(tmp_path / "a.jpg", "2021:06:05 12:13:14")
    (tmp_path / "t.csv").write_text("image,date\na.jpg,2020-01-02\na.jpg,x\n")
    found = read_inputs([str(tmp_path / "t.csv"), str(tmp_path / "a.jpg")], stdin=(), position=None, day=day, dated=True)
    assert {row.day for row in found} == {day}
