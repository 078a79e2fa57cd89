"""fMoW's folders, in both forms: which files are read, what they are called, what is missing."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from cspops.errors import DataError, ParamsError
from cspops.intake.rows import Source
from cspops.intake.sources import fmow, fmow_scene
from cspops.intake.sources.fmow import open_fmow
from cspops.params.sections import Fmow
from cspops.pixels.reading import Reading
from tests.published_sets import dump, fmow_box, fmow_json, write_fmow, write_fmow_features


def opened(root: Path, **changes: Any) -> Source:
    usual: dict[str, Any] = {"form": "images", "inspection": "exists", "false_detections": "set_aside", "test": "val"}
    mapping = {"map": changes.pop("map")} if "map" in changes else {}
    return open_fmow(root, Fmow(**(usual | changes)), **mapping)


def rows_of(source: Source) -> list[dict[str, Any]]:
    return [row for batch in source.batches for row in batch.to_pylist()]


def view(root: Path, path: str, *, truth: str | None = None, image: bool = True, number: int = 1) -> None:
    """One view: a json file, at ``truth`` or beside the image, and an image of some bytes."""
    category = path.split("/")[1]
    about = fmow_json(path, [fmow_box(number, category, [10, 10, 50, 50])], (8.5, 47.5), width=100, height=100)
    dump(root / f"{truth or path}.json", about)
    if image:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{path}.jpg").write_bytes(b"jpeg")


def small(root: Path) -> None:
    view(root, "train/zoo/zoo_0/zoo_0_1_rgb")
    view(root, "train/zoo/zoo_0/zoo_0_0_rgb")
    view(root, "train/airport/airport_10/airport_10_0_rgb", number=7)
    view(root, "train/airport/airport_1/airport_1_0_rgb", number=7)
    view(root, "val/zoo/zoo_0/zoo_0_0_rgb")


ORDER = [
    "train/airport_1_0_rgb/7",
    "train/airport_10_0_rgb/7",
    "train/zoo_0_0_rgb/1",
    "train/zoo_0_1_rgb/1",
    "val/zoo_0_0_rgb/1",
]


def test_views_come_in_the_order_of_their_names_with_place_and_role(tmp_path: Path) -> None:
    small(tmp_path)
    source = opened(tmp_path)
    rows = rows_of(source)
    assert [row["obs_id"] for row in rows] == ORDER
    assert [row["location_id"] for row in rows] == [
        f"train/{name}" for name in ("airport_1", "airport_10", "zoo_0", "zoo_0")
    ] + ["val/zoo_0"]
    assert [row["official_split"] for row in rows] == ["train"] * 4 + ["test"]
    assert rows[0]["image"]["path"] == "train/airport/airport_1/airport_1_0_rgb.jpg"
    assert {row["reason"] for row in rows} == {None}
    assert (source.reading, source.inspection, source.remarks) == (Reading("data_root", "fmow"), "exists", [])


def test_views_of_a_place_are_sorted_as_text(tmp_path: Path) -> None:
    small(tmp_path)
    for number in range(12):
        view(tmp_path, f"val/zoo/zoo_1/zoo_1_{number}_rgb")
    names = [row["obs_id"] for row in rows_of(opened(tmp_path)) if row["location_id"] == "val/zoo_1"]
    assert names == [f"val/zoo_1_{number}_rgb/1" for number in (0, 10, 11, *range(1, 10))]  # 0 stands before _


def test_files_of_another_kind_are_no_rows(tmp_path: Path) -> None:
    small(tmp_path)
    place = tmp_path / "train/zoo/zoo_0"
    shutil.copy(place / "zoo_0_0_rgb.json", place / "zoo_0_0_msrgb.json")
    (place / "zoo_0_0_msrgb.jpg").write_bytes(b"jpeg")
    (place / "README.txt").write_text("")
    (tmp_path / "train/manifest.json").write_text("[]")
    assert [row["obs_id"] for row in rows_of(opened(tmp_path))] == ORDER


def test_files_that_do_not_begin_with_their_places_name_are_read_too(tmp_path: Path) -> None:
    small(tmp_path)
    view(tmp_path, "val/zoo/zoo_0/odd_rgb")
    (odd,) = [row for row in rows_of(opened(tmp_path)) if row["obs_id"] not in ORDER]
    assert (odd["obs_id"], odd["image"]["path"]) == ("val/odd_rgb/1", "val/zoo/zoo_0/odd_rgb.jpg")


def test_an_image_without_json_is_a_row_with_a_reason_and_a_json_without_image_is_a_row(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / "train/zoo/zoo_0/zoo_0_0_rgb.json").unlink()
    (tmp_path / "train/zoo/zoo_0/zoo_0_1_rgb.jpg").unlink()
    rows = {row["obs_id"]: row for row in rows_of(opened(tmp_path))}
    alone = rows["train/zoo_0_0_rgb"]
    assert (alone["reason"], alone["where"]) == (fmow_scene.NO_JSON, "train/zoo/zoo_0/zoo_0_0_rgb.jpg")
    assert rows["train/zoo_0_1_rgb/1"]["reason"] is None  # whether its image is there, inspection says
    assert len(rows) == 5


def test_json_files_of_the_ground_truth_are_preferred(tmp_path: Path) -> None:
    small(tmp_path)
    for split in ("train", "val"):
        shutil.copytree(tmp_path / split, tmp_path / "groundtruth" / split, ignore=shutil.ignore_patterns("*.jpg"))
    for file in tmp_path.glob("*/*/*/*_rgb.json"):  # those beside the images, as the challenge gave them out
        about = json.loads(file.read_text())
        del about["raw_location"]
        dump(file, about)
    source = opened(tmp_path)
    rows = rows_of(source)
    assert [row["obs_id"] for row in rows] == ORDER
    assert all(abs(row["lon"] - 8.5) < 1e-9 for row in rows)
    assert rows[0]["where"] == "groundtruth/train/airport/airport_1/airport_1_0_rgb.json: box 7"
    assert source.remarks == []
    shutil.rmtree(tmp_path / "groundtruth/val")
    source = opened(tmp_path)
    assert [row["lon"] is None for row in rows_of(source)] == [False] * 4 + [True]
    assert source.remarks == [
        "1 of 5 json files have no raw_location, as those of the challenge: groundtruth.tar.bz2, unpacked into groundtruth/, "
        "has them"
    ]


def hidden(root: Path) -> None:
    small(root)
    view(root, "test/0000001/0000001_0_rgb", truth="groundtruth/test_gt/zoo/zoo_5/zoo_5_0_rgb")
    view(root, "test/0000001/0000001_12_rgb", truth="groundtruth/test_gt/zoo/zoo_5/zoo_5_12_rgb")
    view(root, "test/0000000/0000000_0_rgb", truth="groundtruth/test_gt/airport/airport_1/airport_1_0_rgb", number=3)
    for file in root.glob("groundtruth/test_gt/*/*/*.json"):
        about = json.loads(file.read_text())
        for one in about["bounding_boxes"]:
            one["category"] = file.parts[-3]
        dump(file, about)
    pairs = [("test_gt/zoo/zoo_5", "test/0000001"), ("test_gt/airport/airport_1", "test/0000000")]
    dump(root / "groundtruth/test_gt_mapping.json", [{"input": a, "output": b} for a, b in pairs])


def test_test_joins_its_numbered_folders_with_the_ground_truth(tmp_path: Path) -> None:
    hidden(tmp_path)
    rows = rows_of(opened(tmp_path, test="test"))
    assert [row["official_split"] for row in rows] == ["train"] * 4 + ["val"] + ["test"] * 3
    of_test = [(row["obs_id"], row["label"], row["location_id"], row["image"]["path"]) for row in rows[5:]]
    assert of_test == [
        ("test/airport_1_0_rgb/3", "airport", "test/airport_1", "test/0000000/0000000_0_rgb.jpg"),
        ("test/zoo_5_0_rgb/1", "zoo", "test/zoo_5", "test/0000001/0000001_0_rgb.jpg"),
        ("test/zoo_5_12_rgb/1", "zoo", "test/zoo_5", "test/0000001/0000001_12_rgb.jpg"),
    ]


def test_test_is_not_read_when_val_is_reported_on(tmp_path: Path) -> None:
    hidden(tmp_path)
    assert [row["obs_id"] for row in rows_of(opened(tmp_path))] == ORDER


def test_an_image_of_test_without_json_has_the_places_name(tmp_path: Path) -> None:
    hidden(tmp_path)
    (tmp_path / "groundtruth/test_gt/zoo/zoo_5/zoo_5_12_rgb.json").unlink()
    row = rows_of(opened(tmp_path, test="test"))[-1]
    assert (row["obs_id"], row["reason"]) == ("test/zoo_5_12_rgb", fmow_scene.NO_JSON)
    assert row["where"] == "test/0000001/0000001_12_rgb.jpg"


def test_folders_of_test_that_the_mapping_does_not_name_are_remarked(tmp_path: Path) -> None:
    hidden(tmp_path)
    view(tmp_path, "test/0000009/0000009_0_rgb")
    source = opened(tmp_path, test="test")
    assert len(rows_of(source)) == 8
    assert source.remarks == ["test_gt_mapping.json: 1 folders of test are not in it and are not read, such as 0000009"]


def test_test_may_lie_in_folders_by_category_already(tmp_path: Path) -> None:
    small(tmp_path)
    view(tmp_path, "test/barn/barn_2/barn_2_0_rgb")
    row = rows_of(opened(tmp_path, test="test"))[-1]
    assert (row["obs_id"], row["official_split"]) == ("test/barn_2_0_rgb/1", "test")


def test_the_splits_may_lie_one_folder_deeper(tmp_path: Path) -> None:
    hidden(tmp_path / "fmow-rgb")
    source = opened(tmp_path, test="test")
    rows = rows_of(source)
    assert len(rows) == 8
    assert source.reading == Reading("data_root", "fmow/fmow-rgb")
    assert rows[-1]["image"]["path"] == "test/0000001/0000001_12_rgb.jpg"
    assert rows[0]["where"] == "fmow-rgb/train/airport/airport_1/airport_1_0_rgb.json: box 7"


def test_the_ground_truth_is_not_taken_for_the_images_folder(tmp_path: Path) -> None:
    small(tmp_path / "fmow-rgb")
    shutil.copytree(tmp_path / "fmow-rgb/train", tmp_path / "groundtruth/train", ignore=shutil.ignore_patterns("*.jpg"))
    source = opened(tmp_path)
    assert source.reading.folder == "fmow/fmow-rgb"
    assert rows_of(source)[0]["where"].startswith("groundtruth/train/")


def test_one_fact_a_split_about_its_json_files(tmp_path: Path) -> None:
    small(tmp_path)
    source = opened(tmp_path)
    rows_of(source)
    (file,) = tmp_path.glob("val/*/*/*.json")
    of_file = f"{file.relative_to(tmp_path).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}\n"
    assert source.files["val/**/*_rgb.json"] == {
        "files": 1,
        "size": file.stat().st_size,
        "whole_scene_boxes": 1,
        "sha256": hashlib.sha256(of_file.encode()).hexdigest(),
    }
    assert source.files["train/**/*_rgb.json"]["files"] == 4


def test_batches_do_not_depend_on_the_map_nor_on_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fmow(tmp_path, places=12, false_detections=True)
    whole = pa.Table.from_batches(opened(tmp_path).batches).to_pylist()
    asked = []

    def eager(function: Any, scenes: Any) -> Any:
        asked.extend(scenes)
        return [function(scene) for scene in asked]

    monkeypatch.setattr(fmow, "ROWS_AT_ONCE", 5)
    source = opened(tmp_path, map=eager)
    batches = list(source.batches)
    assert len(asked) == 24
    assert len(batches) > 3
    assert [row for batch in batches for row in batch.to_pylist()] == whole


# --- what is missing


@pytest.mark.parametrize("gone", ["train", "val", "test"])
def test_a_missing_split_is_named(tmp_path: Path, gone: str) -> None:
    small(tmp_path)
    shutil.rmtree(tmp_path / gone, ignore_errors=True)
    with pytest.raises(DataError, match=rf"{tmp_path / gone} is missing") as caught:
        opened(tmp_path, test="test" if gone == "test" else "val")
    assert "dvc repro download" in (caught.value.hint or "")


def test_a_missing_mapping_is_named(tmp_path: Path) -> None:
    hidden(tmp_path)
    (tmp_path / "groundtruth/test_gt_mapping.json").unlink()
    with pytest.raises(DataError, match=r"groundtruth/test_gt_mapping.json is missing: it says which place each folder of"):
        opened(tmp_path, test="test")


MAPPINGS: dict[str, tuple[Any, str]] = {
    "no list": (3, r"test_gt_mapping.json is not a list of objects with input and output"),
    "without output": ([{"input": "test_gt/zoo/zoo_5"}], r"is not a list of objects with input and output"),
    "out of the folder": (
        [{"input": "../../x", "output": "test/0000001"}],
        r"has a pair that is not a place of test: '../../x'",
    ),
    "another split": ([{"input": "seq_gt/zoo/zoo_5", "output": "seq/0000001"}], r"has a pair that is not a place of test"),
}


@pytest.mark.parametrize("case", MAPPINGS)
def test_a_broken_mapping_is_named(tmp_path: Path, case: str) -> None:
    hidden(tmp_path)
    content, message = MAPPINGS[case]
    dump(tmp_path / "groundtruth/test_gt_mapping.json", content)
    with pytest.raises(DataError, match=message):
        rows_of(opened(tmp_path, test="test"))


def test_a_split_without_json_files_is_named(tmp_path: Path) -> None:
    small(tmp_path)
    for file in tmp_path.glob("val/*/*/*.json"):
        file.unlink()
    with pytest.raises(DataError, match=r"no \*_rgb.json describes an image of val below"):
        rows_of(opened(tmp_path))


def test_two_folders_with_images_are_refused(tmp_path: Path) -> None:
    small(tmp_path / "a")
    small(tmp_path / "b")
    with pytest.raises(DataError, match=r"train lies more than once below .*/a and .*/b"):
        opened(tmp_path)


def test_the_module_imports_nothing_heavy() -> None:
    code = (
        "import sys, cspops.intake.sources.fmow, cspops.intake.sources.inat2018\n"
        "print([name for name in ('torch', 'shapely', 'scipy', 'PIL') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# --- the writers, as the whole pipeline uses them


@pytest.mark.parametrize("false_detections", ["set_aside", "class"])
def test_the_written_set_is_read_whole_with_its_images(tmp_path: Path, false_detections: str) -> None:
    write_fmow(tmp_path, places=24, classes=4, test=True, false_detections=True)
    source = opened(tmp_path, test="test", false_detections=false_detections)
    rows = rows_of(source)
    assert Counter(row["official_split"] for row in rows) == {"train": 32, "val": 8, "test": 16}
    assert len({row["obs_id"] for row in rows}) == len(rows)
    aside = [row for row in rows if row["reason"]]
    assert [row["reason"] for row in aside] == [fmow_scene.FALSE] * (8 if false_detections == "set_aside" else 0)
    assert len({row["label"] for row in rows if not row["reason"]}) == (4 if false_detections == "set_aside" else 5)
    assert source.remarks == []
    for row in rows:
        if row["reason"] is None:
            with Image.open(tmp_path / row["image"]["path"]) as image:
                assert image.size == (64, 48)
                assert row["crop"]["right"] <= 64
                assert row["crop"]["bottom"] <= 48
    views = Counter(row["location_id"] for row in rows if not row["reason"] and row["label"] != "false_detection")
    assert set(views.values()) == {2}


# --- the pre-extracted form


def test_features_stand_in_the_place_of_images(tmp_path: Path) -> None:
    write_fmow_features(tmp_path, images=40, classes=4)
    source = opened(tmp_path, form="features", inspection="decode")
    rows = rows_of(source)
    path = "features_inception_pretrain/fmow_{}_pretrain_net_feats.npy"
    assert [row["image_features"] for row in rows] == [{"path": path.format("train"), "row": n} for n in range(30)] + [
        {"path": path.format("val"), "row": n} for n in range(10)
    ]
    assert [row["label"] for row in rows[:5]] == ["airport", "barn", "crop_field", "zoo", "airport"]
    assert [row["official_split"] for row in rows] == ["train"] * 30 + ["test"] * 10
    assert (rows[0]["obs_id"], rows[30]["obs_id"], rows[0]["location_id"]) == ("train/0", "val/0", None)
    assert (source.reading, source.inspection) == (Reading("data_root", "fmow"), "none")
    assert source.predictions is not None
    assert source.predictions["classes"] == ["airport", "barn", "crop_field", "zoo"]


def test_features_have_no_test_split(tmp_path: Path) -> None:
    write_fmow_features(tmp_path, images=8)
    with pytest.raises(ParamsError, match=r"dataset.fmow.test: test needs dataset.fmow.form: images") as caught:
        opened(tmp_path, form="features", test="test")
    assert caught.value.hint == "dataset.fmow.test: val"


@pytest.mark.parametrize("name", ["category.json", "train.json", "val_location.json"])
def test_a_missing_file_of_the_features_is_named(tmp_path: Path, name: str) -> None:
    write_fmow_features(tmp_path, images=8)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=rf"{tmp_path / name} is missing"):
        opened(tmp_path, form="features")
