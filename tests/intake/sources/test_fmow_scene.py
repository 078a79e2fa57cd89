"""A json of fMoW to rows: crops and centroids by hand-computed cases, bad content table-driven."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.intake.sources import fmow_scene
from cspops.intake.sources.fmow_scene import Described, Scene, centroid, read_scene, with_context
from tests.published_sets import fmow_box, fmow_json

prop = settings(deadline=None, derandomize=True, max_examples=100)

# --- the crop

CROPS = {
    # what: ((left, top, width, height), (image width, image height), crop). Each by the table of `with_context`:
    # buffer = int(side * share / 2).
    "half the image: 0.15": ((200, 300, 500, 500), (1000, 1000), (163, 263, 737, 837)),  # int(37.5) = 37
    "below half: 0.2": ((200, 300, 499, 499), (1000, 1000), (151, 251, 748, 848)),  # int(49.9) = 49
    "0.4 exactly: 0.2": ((200, 300, 400, 400), (1000, 1000), (160, 260, 640, 740)),  # 40
    "below 0.4: 0.3": ((200, 300, 399, 399), (1000, 1000), (141, 241, 658, 758)),  # int(59.85) = 59
    "0.3 exactly: 0.3": ((200, 300, 300, 300), (1000, 1000), (155, 255, 545, 645)),  # 45
    "below 0.3: 0.5": ((200, 300, 299, 299), (1000, 1000), (126, 226, 573, 673)),  # int(74.75) = 74
    "0.2 exactly: 0.5": ((200, 300, 200, 200), (1000, 1000), (150, 250, 450, 550)),  # 50
    "below 0.2: 1": ((200, 300, 199, 199), (1000, 1000), (101, 201, 498, 598)),  # int(99.5) = 99
    "0.1 exactly: 1": ((200, 300, 100, 100), (1000, 1000), (150, 250, 350, 450)),  # 50
    "below 0.1: 2": ((200, 300, 99, 99), (1000, 1000), (101, 201, 398, 498)),  # 99
    "the whole image is clipped to itself": ((0, 0, 640, 480), (640, 480), (0, 0, 640, 480)),
    "clipped left and above": ((10, 20, 90, 90), (1000, 1000), (0, 0, 190, 200)),  # 90 to each side
    "clipped right and below": ((900, 910, 90, 80), (1000, 1000), (810, 830, 1000, 1000)),
    # 2000 wide, 500 high. Width 300 / height of the image 500 = 0.6: share 0.15, int(22.5) = 22. Height 100 / width of the
    # image 2000 = 0.05: share 2, 100. With each side over its own the shares were 0.15 -> 1 and 0.2 -> 0.5.
    "sides are divided by the other side of the image": ((600, 200, 300, 100), (2000, 500), (578, 100, 922, 400)),
    "partly outside": ((-30, 10, 100, 100), (200, 200), (0, 3, 77, 117)),  # 0.5: 0.15, int(7.5) = 7
    # Context reaches into the image although the box itself does not.
    "outside with its context inside": ((-60, 50, 50, 50), (1000, 1000), (0, 0, 40, 150)),
    "wholly left of the image": ((-300, 50, 100, 50), (1000, 1000), None),
    "wholly below the image": ((50, 1200, 50, 50), (1000, 1000), None),
}


@pytest.mark.parametrize("case", CROPS)
def test_the_crop_is_the_baselines(case: str) -> None:
    (left, top, width, height), (image_width, image_height), expected = CROPS[case]
    assert with_context(left, top, width, height, image_width=image_width, image_height=image_height) == expected


@prop
@given(st.integers(1, 3000), st.integers(1, 3000), st.data())
def test_a_crop_lies_in_the_image_and_holds_the_box(image_width: int, image_height: int, data: st.DataObject) -> None:
    left, top = data.draw(st.integers(0, image_width - 1)), data.draw(st.integers(0, image_height - 1))
    width, height = data.draw(st.integers(1, image_width - left)), data.draw(st.integers(1, image_height - top))
    crop = with_context(left, top, width, height, image_width=image_width, image_height=image_height)
    assert crop is not None
    assert 0 <= crop[0] <= left
    assert 0 <= crop[1] <= top
    assert left + width <= crop[2] <= image_width
    assert top + height <= crop[3] <= image_height


# --- the centroid

POLYGONS = {
    "a rectangle": ("POLYGON ((10 50, 12 50, 12 51, 10 51, 10 50))", (11.0, 50.5)),
    # A triangle's centroid is the mean of its corners.
    "a triangle": ("POLYGON ((0 0, 3 0, 0 6, 0 0))", (1.0, 2.0)),
    # An L of a 2 x 1 and a 1 x 1 rectangle: (2 (1, 0.5) + (0.5, 1.5)) / 3; the mean of its corners is elsewhere.
    "an L": ("POLYGON ((0 0, 2 0, 2 1, 1 1, 1 2, 0 2, 0 0))", (2.5 / 3, 2.5 / 3)),
    "two parts": ("MULTIPOLYGON (((0 0, 1 0, 1 1, 0 1, 0 0)), ((3 0, 4 0, 4 1, 3 1, 3 0)))", (2.0, 0.5)),
    "with height": ("POLYGON Z ((10 50 3, 12 50 3, 12 51 3, 10 51 3, 10 50 3))", (11.0, 50.5)),
    "over the antimeridian, centre in the east": (
        "POLYGON ((179 -17, -179.5 -17, -179.5 -16, 179 -16, 179 -17))",
        (179.75, -16.5),
    ),
    "over the antimeridian, centre in the west": (
        "POLYGON ((179.5 10, -179 10, -179 12, 179.5 12, 179.5 10))",
        (-179.75, 11.0),
    ),
    "centre on the antimeridian": ("POLYGON ((179 0, -179 0, -179 2, 179 2, 179 0))", (-180.0, 1.0)),
    "up to the antimeridian": ("POLYGON ((-180 0, -179 0, -179 2, -180 2, -180 0))", (-179.5, 1.0)),
    # What is out of range stays so: `ingest` judges.
    "beyond 90": ("POLYGON ((0 95, 2 95, 2 97, 0 97, 0 95))", (1.0, 96.0)),
}


@pytest.mark.parametrize("case", POLYGONS)
def test_the_centroid_is_the_polygons(case: str) -> None:
    wkt, expected = POLYGONS[case]
    assert centroid(wkt) == pytest.approx(expected, abs=1e-9)


NO_POLYGONS = ["", "POLYGON", "POLYGON ((1 2))", "POINT (1 2)", "POLYGON EMPTY", "11.5, 48.1", "LINESTRING (0 0, 1 1)"]


NOT_FINITE = ["POLYGON ((nan nan, nan nan, nan nan, nan nan))", "POLYGON ((0 inf, 1 2, 3 4, 0 inf))"]


@pytest.mark.parametrize("wkt", [*NO_POLYGONS, *NOT_FINITE])
def test_what_is_no_polygon_has_no_centroid(wkt: str) -> None:
    assert centroid(wkt) is None


# --- a whole file


def scene(root: Path, content: Any) -> Scene:
    name = "val/airport/airport_3/airport_3_1_rgb"
    (root / name).parent.mkdir(parents=True)
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (root / f"{name}.json").write_bytes(data)
    return Scene(root, f"{name}.json", f"{name}.jpg", "val", "test", "airport", "airport_3", "airport_3_1_rgb")


def good(**changes: Any) -> dict[str, Any]:
    about = fmow_json("x.jpg", [fmow_box(17, "airport", [20, 10, 40, 30])], (8.5, 47.5), width=100, height=100)
    return about | changes


def read(root: Path, content: Any, false_detections: str = "set_aside") -> Described:
    return read_scene(scene(root, content), false_detections=false_detections)


def test_a_good_file_gives_a_row_for_each_object(tmp_path: Path) -> None:
    about = good()
    about["bounding_boxes"].append(fmow_box(18, "helipad", [0, 0, 50, 50]) | {"visible": "False"})
    found = read(tmp_path, about)
    assert found.whole_scene_boxes == 1
    assert found.located
    first, second = found.rows
    lon, lat = first.pop("lon"), first.pop("lat")
    assert (lon, lat) == pytest.approx((8.5, 47.5), abs=1e-9)
    assert first == {
        "where": "val/airport/airport_3/airport_3_1_rgb.json: box 17",
        "obs_id": "val/airport_3_1_rgb/17",
        "label": "airport",
        "captured_at": "2016-06-14T10:20:30Z",
        "location_id": "val/airport_3",
        "official_split": "test",
        "image": {"bytes": None, "path": "val/airport/airport_3/airport_3_1_rgb.jpg"},
        # 0.4: share 0.2, 4 to each side; 0.3: share 0.3, int(4.5) = 4.
        "crop": {"left": 16, "top": 6, "right": 64, "bottom": 44},
        "notes": [],
    }
    assert (second["obs_id"], second["label"]) == ("val/airport_3_1_rgb/18", "helipad")
    assert second["notes"] == [fmow_scene.NOT_VISIBLE]


def test_one_box_may_stand_without_a_list(tmp_path: Path) -> None:
    (row,) = read(tmp_path, good(bounding_boxes=fmow_box(5, "zoo", [0, 0, 50, 50]))).rows
    assert (row["obs_id"], row["label"], row.get("reason")) == ("val/airport_3_1_rgb/5", "zoo", None)


def test_the_folder_names_the_category_where_the_box_does_not(tmp_path: Path) -> None:
    (row,) = read(tmp_path, good(bounding_boxes=[{"ID": 5, "box": [0, 0, 50, 50]}])).rows
    assert row["label"] == "airport"


def test_without_a_polygon_there_is_no_position(tmp_path: Path) -> None:
    about = good()
    del about["raw_location"]
    found = read(tmp_path, about)
    assert not found.located
    assert "lon" not in found.rows[0]
    assert found.rows[0]["notes"] == []


@pytest.mark.parametrize("wkt", ["POINT (1 2)", 3, ["POLYGON"]])
def test_a_broken_polygon_is_no_position_and_a_note(tmp_path: Path, wkt: Any) -> None:
    (row,) = read(tmp_path, good(raw_location=wkt)).rows
    assert row["lon"] is None and row["lat"] is None
    assert row["notes"] == [fmow_scene.NO_POLYGON]
    assert "reason" not in row


def box(**changes: Any) -> dict[str, Any]:
    return good(bounding_boxes=[fmow_box(17, "airport", [20, 10, 40, 30]) | changes])


REASONS: dict[str, tuple[Any, str, str | None]] = {
    "empty": (b"", fmow_scene.BROKEN, "Expecting value: line 1 column 1 (char 0)"),
    "truncated": (b'{"gsd": 0.5, "bounding', fmow_scene.BROKEN, None),
    "no text": (b"\xff\xd8\xff\xe0", fmow_scene.BROKEN, None),
    "nested beyond measure": (b"[" * 100_000, fmow_scene.BROKEN, None),
    "a list": ([1], fmow_scene.BROKEN, "it holds a list"),
    "null": (None, fmow_scene.BROKEN, "it holds a NoneType"),
    "no boxes": (good(bounding_boxes=[]), fmow_scene.NO_BOXES, None),
    "boxes null": (good(bounding_boxes=None), fmow_scene.NO_BOXES, None),
    "boxes are numbers": (good(bounding_boxes=[1, 2, 3, 4]), fmow_scene.NO_BOXES, None),
    "the whole scene alone": (good(bounding_boxes=[fmow_box(-1, "zoo", [0, 0, 9, 9])]), fmow_scene.NO_BOXES, None),
    "no width": (good(img_width=None), fmow_scene.NO_SIZE, "(None, 100)"),
    "height as text": (good(img_height="100"), fmow_scene.NO_SIZE, "(100, '100')"),
    "height 0": (good(img_height=0), fmow_scene.NO_SIZE, "(100, 0)"),
    "no ID": (box(ID=None), fmow_scene.NO_ID, None),
    "ID is a list": (box(ID=[1]), fmow_scene.NO_ID, None),
    "category null": (box(category=None), fmow_scene.NO_CATEGORY, "None"),
    "category half a surrogate": (box(category="a\ud800"), fmow_scene.NO_CATEGORY, r"'a\ud800'"),
    "false detection": (box(category="false_detection"), fmow_scene.FALSE, None),
    "no box": (box(box=None), fmow_scene.NOT_A_BOX, "None"),
    "three numbers": (box(box=[1, 2, 3]), fmow_scene.NOT_A_BOX, "[1, 2, 3]"),
    "NaN in the box": (box(box=[1, 2, float("nan"), 9]), fmow_scene.NOT_A_BOX, "[1, 2, nan, 9]"),
    "a number without measure": (box(box=[1, 2, 10**400, 9]), fmow_scene.NOT_A_BOX, None),
    "true in the box": (box(box=[1, 2, True, 9]), fmow_scene.NOT_A_BOX, None),
    "2 pixels wide": (box(box=[5, 5, 2, 40]), fmow_scene.TINY, "[5, 5, 2, 40]"),
    "2 pixels high": (box(box=[5, 5, 40, 2]), fmow_scene.TINY, "[5, 5, 40, 2]"),
    "negative width": (box(box=[50, 5, -40, 40]), fmow_scene.TINY, "[50, 5, -40, 40]"),
    "outside": (box(box=[500, 5, 40, 40]), fmow_scene.OUTSIDE, "[500, 5, 40, 40] in an image of 100 x 100"),
}


@pytest.mark.parametrize("case", REASONS)
def test_what_cannot_be_used_is_a_row_with_its_reason(tmp_path: Path, case: str) -> None:
    content, reason, detail = REASONS[case]
    (row,) = read(tmp_path, content).rows
    assert row["reason"] == reason
    assert detail is None or row["detail"] == detail
    assert row["location_id"] == "val/airport_3"
    assert row["where"].startswith("val/airport/airport_3/airport_3_1_rgb.json")


def test_3_pixels_are_enough(tmp_path: Path) -> None:
    (row,) = read(tmp_path, box(box=[5, 5, 3, 3])).rows
    assert "reason" not in row
    assert row["crop"] == {"left": 2, "top": 2, "right": 11, "bottom": 11}  # 0.03: share 2, 3 to each side


def test_false_detections_may_be_a_class(tmp_path: Path) -> None:
    (row,) = read(tmp_path, box(category="false_detection"), "class").rows
    assert row["label"] == "false_detection"
    assert "reason" not in row
