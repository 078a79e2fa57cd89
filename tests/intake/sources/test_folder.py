import csv
import io
import json
import os
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from cspops.errors import DataError, ParamsError
from cspops.intake.images.metadata import BROKEN, DATE_FROM_TAKEOUT, FROM_TAKEOUT
from cspops.intake.rows import ROWS, batch
from cspops.intake.sources import folder
from cspops.intake.sources.folder import NAME_NOT_TEXT, NOT_NAMED, open_folder
from cspops.intake.sources.sidecar import AMBIGUOUS, BY_NAME, NO_NAME, NOT_LOOKED_AT, NOT_THERE
from cspops.pixels.unreadable import OTHER_FORMAT

COLUMNS = dict.fromkeys(("obs_id", "lon", "lat", "label", "image", "captured_at", "location_id", "split"))


def jpeg(lon=None, lat=None, taken=None):
    """A small JPEG; whole degrees and a date in UTC+1 in its EXIF."""
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    if taken is not None:
        exif.get_ifd(0x8769).update({0x9003: taken, 0x9011: "+01:00"})
    if lon is not None:
        exif.get_ifd(0x8825).update({1: "N", 2: (lat, 0.0, 0.0), 3: "E", 4: (lon, 0.0, 0.0)})
    stream = io.BytesIO()
    Image.new("L", (4, 4)).save(stream, "jpeg", exif=exif)
    return stream.getvalue()


def planted(root, files):
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def opened(root, **more):
    return open_folder(root, **({"pattern": "**/*", "label": "folder", "sidecar": None, "columns": COLUMNS} | more))


def rows(source):
    read = list(source.batches)
    for part in read:
        assert part.schema.names == ROWS.names
    return [row for part in read for row in part.to_pylist()]


def column(source, name):
    return [row[name] for row in rows(source)]


@pytest.fixture
def table(monkeypatch):
    """A side-car whose rows a test gives; the file itself is never looked into."""

    def put(root, name="t.csv", **columns):
        n = len(columns["image"])
        columns["image"] = [{"path": path} for path in columns["image"]]
        whole = batch({"where": [f"{name}:{line}" for line in range(2, 2 + n)]} | columns)

        def read_sidecar(file, *, columns, remarks, **_):
            assert (file, columns) == (root / name, COLUMNS)
            remarks.append(f"{name}: a remark")
            yield whole.slice(0, 1)
            yield whole.slice(1)

        monkeypatch.setattr(folder, "read_sidecar", read_sidecar)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"text")
        return root

    return put


# --- without a side-car


def test_a_row_of_each_image(tmp_path):
    root = planted(
        tmp_path, {"oak/b.jpg": jpeg(11.0, 43.0, "2020:05:06 07:08:09"), "oak/a.jpg": jpeg(), "c.jpg": b"", "x.txt": b"?"}
    )
    source = opened(root)
    assert source.files == {}
    assert source.remarks == ["files that are not images, left out: 1 .txt"]
    nothing = dict.fromkeys(ROWS.names)
    assert rows(source) == [
        nothing | {"where": "c.jpg", "obs_id": "c.jpg", "image": {"bytes": None, "path": "c.jpg"}},
        nothing | {"where": "oak/a.jpg", "obs_id": "oak/a.jpg", "image": {"bytes": None, "path": "oak/a.jpg"}, "label": "oak"},
        nothing
        | {"where": "oak/b.jpg", "obs_id": "oak/b.jpg", "image": {"bytes": None, "path": "oak/b.jpg"}, "label": "oak"}
        | {"lon": 11.0, "lat": 43.0, "captured_at": "2020-05-06T07:08:09+01:00"},
    ]


def test_batches_are_cut_anywhere(tmp_path, monkeypatch):
    root = planted(tmp_path, {f"{n % 3}/{n}.jpg": jpeg(float(n), 1.0) for n in range(10)} | {"9.heic": b""})
    whole = pa.Table.from_batches(opened(root).batches)
    for size in (1, 3, 10, 11):
        monkeypatch.setattr(folder, "ROWS_PER_BATCH", size)
        parts = list(opened(root).batches)
        assert [len(part) for part in parts] == [size] * (11 // size) + [11 % size] * (11 % size > 0)
        assert pa.Table.from_batches(parts).to_pylist() == whole.to_pylist()


def test_the_given_map_is_used_once_and_may_look_ahead(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "ROWS_PER_BATCH", 2)
    root = planted(tmp_path, {f"{n}.jpg": jpeg(float(n), 1.0) for n in range(5)})
    calls = []

    def eager(function, items):
        calls.append(list(items))
        return iter([function(item) for item in calls[-1]])

    assert column(opened(root, map=eager), "lon") == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("label", "labels"), [("folder", [None, "oak", "old oak", "Straße"]), ("none", [None, None, None, None])]
)
def test_labels(tmp_path, label, labels):
    root = planted(tmp_path, dict.fromkeys(["0.jpg", "oak/1.jpg", "oak/old oak/2.jpg", "x/Straße/3.jpg"], b""))
    assert column(opened(root, label=label), "label") == labels


SPLITS = {
    "all three": (["train/oak/1.jpg", "val/oak/2.jpg", "test/elm/3.jpg"], {"train": "train", "val": "val", "test": "test"}),
    "other spellings": (["Training/a/1.jpg", "VALID/a/2.jpg", "testing/a/3.jpg"],
                        {"Training": "train", "VALID": "val", "testing": "test"}),
    "more spellings": (["TRAIN/a/1.jpg", "dev/a/2.jpg", "validation/a/3.jpg"],
                       {"TRAIN": "train", "dev": "val", "validation": "val"}),
    "two": (["train/oak/1.jpg", "validate/oak/2.jpg"], {"train": "train", "validate": "val"}),
    "only one": (["train/oak/1.jpg", "train/elm/2.jpg"], {}),
    "no train": (["val/oak/1.jpg", "test/elm/2.jpg"], {}),
    "another folder": (["train/oak/1.jpg", "test/elm/2.jpg", "extra/elm/3.jpg"], {}),
    "an image beside them": (["train/oak/1.jpg", "test/elm/2.jpg", "3.jpg"], {}),
    "deeper": (["set/train/oak/1.jpg", "set/test/oak/2.jpg"], {}),
}  # fmt: skip


@pytest.mark.parametrize("case", SPLITS)
def test_folders_that_are_an_official_split(tmp_path, case):
    paths, roles = SPLITS[case]
    source = opened(planted(tmp_path, dict.fromkeys(paths, b"")))
    assert column(source, "official_split") == [roles.get(path.split("/")[0]) for path in sorted(paths)]
    said = " ".join(source.remarks)
    assert ("are the official split" in said) == bool(roles)
    assert ("are not an official split" in said) == (case in ("another folder", "an image beside them"))


def test_a_folder_of_the_split_is_no_label(tmp_path):
    root = planted(tmp_path, dict.fromkeys(["train/1.jpg", "train/oak/2.jpg", "test/test/3.jpg"], b""))
    assert column(opened(root), "label") == ["test", None, "oak"]


def test_broken_files_are_rows_with_a_note(tmp_path):
    root = planted(tmp_path, {"a.jpg": b"\xff\xd8\xff\xe1\x00\x10Exif\0\0rubbish!", "b.jpg": b"", "c.jpg": b"no image"})
    (root / "d.jpg").symlink_to(root / "nothing")
    made = rows(opened(root))
    assert [row["notes"] for row in made] == [[BROKEN], None, None, None]
    assert [row["reason"] for row in made] == [None] * 4


def test_other_formats_and_unreadable_names_are_given_up(tmp_path):
    root = planted(tmp_path, {"a.jp2": b"\0\0\0\x0cjP  \r\n\x87\n", "b.jpg": b"", "c": b"8BPS", "d.cr2": b"?"})
    (root / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"")
    made = rows(opened(root))
    assert [(row["where"], row["reason"], row["detail"]) for row in made] == [
        ("a.jp2", OTHER_FORMAT, "JPEG 2000: convert it to JPEG or PNG"),
        ("b.jpg", None, None),
        ("c", OTHER_FORMAT, "Photoshop: convert it to JPEG or PNG"),
        ("caf\\xe9.jpg", NAME_NOT_TEXT, "caf\\xe9.jpg"),
        ("d.cr2", OTHER_FORMAT, "text that begins with '?'"),
    ]
    assert made[3]["image"] is None or made[3]["image"]["path"] is None


def test_names_that_are_not_utf_8_anywhere(tmp_path):
    """Of the image, of its folder, of what lies beside it."""
    (tmp_path / os.fsdecode(b"\xe9t\xe9")).mkdir()
    for name in (
        b"caf\xe9.jpg",
        b"caf\xe9.jpg.json",
        b"\xe9t\xe9/a.jpg",
        b"\xe9t\xe9/\x1b]0;x\x07.jpg",
        b"\xe9.txt",
        b"a.\xe9",
    ):
        (tmp_path / os.fsdecode(name)).write_bytes(b"")
    source = opened(tmp_path)
    made = rows(source)
    assert [row["where"] for row in made] == ["caf\\xe9.jpg", "\\xe9t\\xe9/\x1b]0;x\x07.jpg", "\\xe9t\\xe9/a.jpg"]
    assert [row["reason"] for row in made] == [NAME_NOT_TEXT] * 3
    assert [row["label"] for row in made] == [None, "\\xe9t\\xe9", "\\xe9t\\xe9"]
    assert source.remarks[0] == "files that are not images, left out: 1 .\\xe9, 1 .txt"


def test_takeout_beside_photos(tmp_path):
    """Its place where the photo has none; the table beside them comes before both."""

    def about(lon, lat):
        place = {"longitude": lon, "latitude": lat}
        return json.dumps({"geoData": place, "photoTakenTime": {"timestamp": "1589010000"}}).encode()

    files = {
        "a/IMG_1.jpg": jpeg(), "a/IMG_1.jpg.supplemental-me.json": about(1.5, 2.5),
        "a/IMG_1(1).jpg": jpeg(), "a/IMG_1.jpg(1).json": about(3.5, 4.5),
        "a/IMG_1-edited.jpg": jpeg(),
        "b/IMG_1.jpg": jpeg(11.0, 43.0, "2020:05:06 07:08:09"), "b/IMG_1.jpg.json": about(5.5, 6.5),
        "b/IMG_2.jpg": jpeg(), "b/IMG_2.jpg.json": about(0.0, 0.0),
        "c/metadata.json": b"{}",
    }  # fmt: skip
    source = opened(planted(tmp_path, files))
    found = {row["where"]: (row["lon"], row["lat"], row["captured_at"], row["notes"]) for row in rows(source)}
    taken, notes = "2020-05-09T07:40:00Z", [FROM_TAKEOUT, DATE_FROM_TAKEOUT]
    assert found == {
        "a/IMG_1.jpg": (1.5, 2.5, taken, notes),
        "a/IMG_1(1).jpg": (3.5, 4.5, taken, notes),
        "a/IMG_1-edited.jpg": (1.5, 2.5, taken, notes),
        "b/IMG_1.jpg": (11.0, 43.0, "2020-05-06T07:08:09+01:00", None),
        "b/IMG_2.jpg": (None, None, taken, [DATE_FROM_TAKEOUT]),
    }
    assert source.remarks == [
        "files that are not images, left out: 1 .json",
        "JSON files beside images, looked at for what Google Takeout writes: 4",
    ]
    assert opened(tmp_path, pattern="**/*.jpg").remarks[0] == source.remarks[1]


# --- with a side-car


def test_the_side_car_comes_before_exif(tmp_path, table):
    placed = jpeg(11.0, 43.0, "2020:05:06 07:08:09")
    root = planted(tmp_path, {"x/1.jpg": placed, "x/2.jpg": placed, "x/3.jpg": placed, "x/4.jpg": placed})
    table(
        root,
        image=["x/1.jpg", "x/2.jpg", "x/3.jpg"],
        obs_id=["first", None, None],
        lon=["7.5", None, "8.5"],
        lat=["50.5", None, None],
        uncertainty_m=[30.0, 5000.0, None],
        label=["oak", "elm", None],
        captured_at=[None, "2019", None],
        location_id=["here", None, None],
        official_split=["Train", None, None],
        notes=[["a note"], None, None],
    )
    source = opened(root, sidecar="t.csv", label="column")
    made = rows(source)
    assert source.remarks == ["t.csv: a remark"]
    # sha256 of "text", by sha256sum.
    assert source.files == {"t.csv": {"size": 4, "sha256": "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"}}
    names = ("where", "obs_id", "lon", "lat", "label", "captured_at", "location_id", "official_split", "notes")
    date = "2020-05-06T07:08:09+01:00"
    assert [tuple(row[name] for name in names) for row in made] == [
        ("x/1.jpg (t.csv:2)", "first", "7.5", "50.5", "oak", date, "here", "Train", ["a note"]),
        ("x/2.jpg (t.csv:3)", "x/2.jpg", "11", "43", "elm", "2019", None, None, None),
        ("x/3.jpg (t.csv:4)", "x/3.jpg", "8.5", None, None, date, None, None, None),
        ("x/4.jpg", "x/4.jpg", "11", "43", None, date, None, None, [NOT_NAMED]),
    ]
    assert [row["uncertainty_m"] for row in made] == [30.0, None, None, None]  # none of EXIF's position
    assert [row["image"]["path"] for row in made] == ["x/1.jpg", "x/2.jpg", "x/3.jpg", "x/4.jpg"]
    assert [row["reason"] for row in made] == [None] * 4


def test_rows_and_images_that_do_not_meet(tmp_path, table, monkeypatch):
    monkeypatch.setattr(folder, "ROWS_PER_BATCH", 2)
    files = dict.fromkeys(["a/1.jpg", "a/2.jpg", "b/2.jpg", "b/3.jpg", "c/4.png"], b"")
    table(
        planted(tmp_path, files),
        image=["b/3.jpg", "9.jpg", "x/1.jpg", "2.jpg", "b/3.jpg", None, "c/4.png"],
        obs_id=["0", "1", None, None, "4", "5", None],
        reason=[None, None, None, None, "a reason", "more fields", None],
        detail=[None, None, None, None, "a detail", "17", None],
    )
    made = rows(opened(tmp_path, sidecar="t.csv", pattern="**/*.jpg"))
    assert [(row["where"], row["obs_id"], row["reason"], row["detail"], row["notes"]) for row in made] == [
        ("a/1.jpg (t.csv:4)", "a/1.jpg", None, None, [BY_NAME]),
        ("a/2.jpg", "a/2.jpg", None, None, [NOT_NAMED]),
        ("b/2.jpg", "b/2.jpg", None, None, [NOT_NAMED]),
        ("b/3.jpg (t.csv:2)", "0", None, None, None),
        ("b/3.jpg (t.csv:6)", "4", "a reason", "a detail", None),
        ("t.csv:3", "1", NOT_THERE, "9.jpg", None),
        ("t.csv:5", "2.jpg", AMBIGUOUS, "2.jpg", None),
        ("t.csv:7", "5", "more fields", "17", None),
        ("t.csv:8", "c/4.png", NOT_LOOKED_AT, "c/4.png", None),
    ]
    table(tmp_path, image=["a/1.jpg", None])
    assert rows(opened(tmp_path, sidecar="t.csv"))[-1]["reason"] == NO_NAME


def test_a_file_that_has_nothing_to_add_is_not_opened(tmp_path, table):
    root = planted(tmp_path, {f"{n}.jpg": jpeg(11.0, 43.0, "2020:05:06 07:08:09") for n in range(4)} | {"5.jp2": b""})
    table(
        root,
        image=["0.jpg", "1.jpg", "2.jpg", "3.jpg"],
        lon=["1", "1", None, None],
        lat=["1", "1", None, None],
        captured_at=["2019", None, "2019", "2019"],
        reason=[None, None, None, "a reason"],
    )
    asked = []

    def noted(function, items):
        for item in items:
            asked.append((item.file.name, item.position))
            yield function(item)

    made = rows(opened(root, sidecar="t.csv", map=noted))
    assert asked == [("1.jpg", False), ("2.jpg", True)]
    assert [row["lon"] for row in made] == ["1", "1", "11", None, None]


def test_labels_of_folders_where_the_side_car_has_some_too(tmp_path, table):
    root = table(planted(tmp_path, {"oak/1.jpg": b""}), image=["oak/1.jpg"], label=["Quercus"])
    source = opened(root, sidecar="t.csv")
    assert column(source, "label") == ["oak"]
    assert source.remarks[-1] == "the labels of t.csv are not used: dataset.folder.label is folder"


def test_a_split_of_the_side_car_comes_before_the_folders(tmp_path, table):
    root = planted(tmp_path, dict.fromkeys(["train/1.jpg", "test/2.jpg"], b""))
    table(root, image=["train/1.jpg"], official_split=["val"])
    assert column(opened(root, sidecar="t.csv"), "official_split") == ["test", "val"]


# --- what cannot be


def refused(root, kind, **more):
    with pytest.raises(kind) as caught:
        opened(root, **more)
    return caught.value


def test_no_image(tmp_path):
    error = refused(planted(tmp_path, {"a.jpg": b"", "b.txt": b""}), DataError, pattern="*.txt")
    assert (
        error.message
        == f"{tmp_path}: no image (JPEG, PNG, TIFF, WebP, HEIC, AVIF, GIF and BMP) fits dataset.folder.pattern '*.txt'"
    )
    assert error.hint == (
        "files that are not images, left out: 1 .txt; images that dataset.folder.pattern '*.txt' does not fit, left out: 1"
    )


def test_an_empty_folder(tmp_path):
    assert refused(tmp_path, DataError).hint == "the folder is empty: cspops data use PATH"


def test_a_side_car_that_is_not_there(tmp_path):
    planted(tmp_path, {"a.jpg": b"", "photos.csv": b""})
    error = refused(tmp_path, DataError, sidecar="photo.csv")
    assert error.message == f"the side-car {tmp_path}/photo.csv is missing; did you mean photos.csv?"
    assert refused(tmp_path, DataError, sidecar="x/y.csv").message == f"the side-car {tmp_path}/x/y.csv is missing"


@pytest.mark.parametrize("sidecar", ["../t.csv", "/t.csv", "a/../../t.csv"])
def test_a_side_car_out_of_the_folder(tmp_path, sidecar):
    error = refused(planted(tmp_path, {"a.jpg": b""}), ParamsError, sidecar=sidecar)
    assert f"dataset.folder.sidecar {sidecar!r} leads out of" in error.message


def test_labels_asked_from_a_side_car_that_has_none(tmp_path, table):
    root = table(planted(tmp_path, {"a.jpg": b""}), image=["a.jpg"])
    error = refused(root, DataError, sidecar="t.csv", label="column")
    assert error.message == f"{tmp_path}/t.csv gives no label, and dataset.folder.label is column"
    assert "dataset.folder.sidecar" in refused(root, ParamsError, label="column").message


# --- real data


@pytest.fixture
def real():
    """The folder of real data; skipped where none is named."""
    named = os.environ.get("CSPOPS_TEST_REALDATA")
    if not named:
        pytest.skip("CSPOPS_TEST_REALDATA names no folder")
    return Path(named)


def listed(file):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_real_photos(real):
    made = rows(opened(real / "exif_gps_samples", pattern="*.jpg", label="none"))
    expected = listed(real / "exif_gps_samples/expected.csv")
    assert [row["where"] for row in made] == [row["file"] for row in expected]
    for row, its in zip(made, expected, strict=True):
        # Equal to the digits that are printed there, seven behind the point.
        assert f"{row['lon']:.7f}".rstrip("0") == its["lon"] and f"{row['lat']:.7f}".rstrip("0") == its["lat"]
        hours, minutes, seconds = (float(part) for part in its["gps_time"].strip("()").split(","))
        clock = f"{int(hours):02d}:{int(minutes):02d}:{seconds:06.3f}"
        assert row["captured_at"] == f"{its['gps_date'].replace(':', '-')}T{clock}Z"
        assert row["notes"] == ["camera clock and GPS clock are more than a time zone apart, GPS is taken"]


@pytest.fixture
def eurosat(real):
    return real / "eurosat100", {row["id"]: row for row in listed(real / "eurosat100/catalogue.csv")}


def test_real_geotiffs(eurosat):
    root, expected = eurosat
    made = rows(opened(root, pattern="tif/**/*"))
    assert len(made) == 100 and set(Counter(row["label"] for row in made).values()) == {10}
    for row in made:
        its = expected[Path(row["where"]).stem]
        assert (row["where"], row["label"], row["notes"]) == (its["geotiff"], its["label"], None)
        # There it is the middle of the corners' bounding box, rounded to six digits (5e-7). On the ground a tile is a
        # trapezium, its edges apart by w * 640 m / R * tan(58.3 degrees) = w * 1.6e-4 with w = 0.011 degrees of longitude.
        # If it is turned too, the box reaches to opposite corners: its middle is off by up to a quarter of that, 4.5e-7.
        assert (row["lon"], row["lat"]) == pytest.approx((float(its["lon"]), float(its["lat"])), rel=0, abs=1e-6)


def test_real_thumbnails_with_a_side_car(eurosat):
    root, expected = eurosat
    source = opened(root, pattern="png/**/*", sidecar="catalogue.csv", label="column", columns=COLUMNS | {"image": "image"})
    made = rows(source)
    assert set(source.files) == {"catalogue.csv"} and len(made) == 100
    for row in made:
        its = expected[row["obs_id"]]
        assert row["image"]["path"] == its["image"] and row["reason"] is None and row["notes"] is None
        assert (row["lon"], row["lat"], row["label"], row["official_split"]) == (
            its["lon"],
            its["lat"],
            its["label"],
            its["split"],
        )
