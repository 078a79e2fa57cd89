"""iNaturalist 2018 in both forms: what becomes of good files and of bad ones."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from cspops.errors import DataError
from cspops.intake.rows import Source
from cspops.intake.sources import coco
from cspops.intake.sources.inat2018 import open_inat2018
from cspops.params.sections import Inat2018
from cspops.pixels.reading import Reading
from tests.published_sets import dump, write_inat2018, write_inat2018_features


def table(source: Source) -> pa.Table:
    return pa.Table.from_batches(source.batches)


def small(root: Path, **changes: Any) -> None:
    """Three training images and one of validation, written by hand; ``changes`` replace files by their name without dots."""
    files: dict[str, Any] = {
        "categories_json": [{"id": 0, "name": "Abies alba"}, {"id": 1, "name": "Rana temporaria"}],
        "train2018_json": {
            "info": {},
            "images": [{"id": number, "file_name": f"train_val2018/x/{number}.jpg"} for number in (7, 3, 5)],
            "annotations": [{"id": 1, "image_id": 5, "category_id": 1}, {"id": 2, "image_id": 7, "category_id": 0}],
            "categories": [{"id": 0, "name": "0000"}, {"id": 1, "name": "0001"}],
        },
        "train2018_locations_json": [
            {"id": 3, "lat": None, "lon": None, "loc_uncert": None, "user_id": None, "date": None, "date_c": None},
            {"id": 5, "lat": -33, "lon": 151.25, "loc_uncert": 9, "user_id": 2, "date": "2016-01-02", "date_c": 0.01},
            {"id": 7, "lat": 47.5, "lon": 8.5, "loc_uncert": 9, "user_id": None, "date": "2016-01-02 03:04:05", "date_c": 0.01},
        ],
        "val2018_json": {
            "images": [{"id": 9, "file_name": "train_val2018/x/9.jpg"}],
            "annotations": [{"id": 1, "image_id": 9, "category_id": 1}],
        },
        "val2018_locations_json": [{"id": 9, "lat": 1.0, "lon": 2.0, "date": None}],
    } | changes
    for name, content in files.items():
        file = root / (name.removesuffix("_json") + ".json")
        if isinstance(content, bytes):
            root.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        elif content is not None:
            dump(file, content)
    (root / "train_val2018").mkdir(exist_ok=True)


def uncertain(name: str, of: int, median: int) -> str:
    said = f"an uncertainty is stated of {of} of {of} (median {median} m)"
    return f"{name}_locations.json: positions are taken as exact, although {said}; dataset.max_uncertainty_m sets a limit"


def opened(root: Path, form: Any = "images", inspection: Any = "exists") -> Source:
    return open_inat2018(root, Inat2018(form=form, inspection=inspection))


def test_a_set_written_by_hand_row_by_row(tmp_path: Path) -> None:
    small(tmp_path)
    source = opened(tmp_path)
    rows = table(source)
    assert rows["obs_id"].to_pylist() == ["train2018/7", "train2018/3", "train2018/5", "val2018/9"]
    assert rows["where"].to_pylist()[0] == "train2018.json: image 7"
    assert rows["lon"].to_pylist() == [8.5, None, 151.25, 2.0]
    assert rows["lat"].to_pylist() == [47.5, None, -33.0, 1.0]
    assert rows["label"].to_pylist() == ["Abies alba", None, "Rana temporaria", "Rana temporaria"]
    assert rows["captured_at"].to_pylist() == ["2016-01-02 03:04:05", None, "2016-01-02", None]
    assert rows["official_split"].to_pylist() == ["train", "train", "train", "test"]
    assert [image["path"] for image in rows["image"].to_pylist()] == [f"train_val2018/x/{n}.jpg" for n in (7, 3, 5, 9)]
    assert rows["location_id"].null_count == rows["reason"].null_count == rows["image_features"].null_count == 4
    assert (source.reading, source.inspection) == (Reading("data_root", "inat2018"), "exists")
    assert rows["uncertainty_m"].to_pylist() == [9.0, None, 9.0, None]
    assert (source.remarks, source.predictions) == ([uncertain("train2018", 2, 9)], None)


def test_files_are_named_with_size_and_sha256_when_the_rows_have_ended(tmp_path: Path) -> None:
    small(tmp_path)
    source = opened(tmp_path)
    table(source)
    read = {"categories.json", *(f"{split}2018{what}.json" for split in ("train", "val") for what in ("", "_locations"))}
    assert set(source.files) == read
    for name, about in source.files.items():
        data = (tmp_path / name).read_bytes()
        assert about == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_files_may_lie_one_folder_deeper(tmp_path: Path) -> None:
    small(tmp_path / "unpacked")
    source = opened(tmp_path)
    assert len(table(source)) == 4
    assert source.reading == Reading("data_root", "inat2018/unpacked")
    assert "unpacked/train2018.json" in source.files


def test_two_copies_one_folder_deeper_are_refused_and_the_upper_one_is_preferred(tmp_path: Path) -> None:
    small(tmp_path / "a")
    small(tmp_path / "b")
    with pytest.raises(DataError, match=r"categories.json lies more than once below .*: .*/a/categories.json and .*/b/cat"):
        opened(tmp_path)
    small(tmp_path)
    assert opened(tmp_path).reading.folder == "inat2018"


BATCH = [{"id": n, "file_name": f"{n}.jpg"} for n in range(5)]


def test_batches_are_slices_of_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path, train2018_json={"images": BATCH, "annotations": [{"image_id": 4, "category_id": 1}]})
    whole = table(opened(tmp_path))
    monkeypatch.setattr(coco, "ROWS_AT_ONCE", 2)
    batches = list(opened(tmp_path).batches)
    assert [batch.num_rows for batch in batches] == [2, 2, 1, 1]
    assert pa.Table.from_batches(batches).combine_chunks() == whole.combine_chunks()


# --- bad files


def test_every_file_is_missed_by_its_name(tmp_path: Path) -> None:
    small(tmp_path / "good")
    for file in sorted((tmp_path / "good").iterdir()):
        root = tmp_path / f"without_{file.name}"
        small(root)
        (root / file.name).rename(tmp_path / "gone")
        with pytest.raises(DataError, match=rf"{root / file.name} is missing") as caught:
            opened(root)
        assert "dvc repro download" in (caught.value.hint or "")
        (tmp_path / "gone").rename(tmp_path / f"gone_{file.name}")


def change_train(**changes: Any) -> dict[str, Any]:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 0}, {"image_id": 2, "category_id": 1}],
    }
    return {"train2018_json": content | changes, "train2018_locations_json": [{"id": n, "lat": 1, "lon": 2} for n in (1, 2)]}


BROKEN = {
    "truncated json": ({"train2018_json": b'{"images": [{"id": 1, "file_'}, r"train2018.json is broken or ends before it sh"),
    "no json": ({"train2018_json": b"<html>404</html>"}, r"train2018.json is broken or ends before it should: Expecting value"),
    "empty json": ({"val2018_json": b""}, r"val2018.json is broken or ends before it should"),
    "bytes that are no text": ({"train2018_json": b'{"images": [{"id": "\xff\xfe"}]}'}, r"train2018.json is broken"),
    "no images": (change_train(images=[]), r"train2018.json lists no images"),
    "images is no list": (change_train(images={"id": 1}), r"train2018.json lists no images"),
    "positions is an object": ({"val2018_locations_json": {"id": 3}}, r"val2018_locations.json lists no positions"),
    "broken categories": ({"categories_json": b"[{"}, r"categories.json is not a list of categories with id and name"),
    "category without a name": ({"categories_json": [{"id": 0}]}, r"categories.json is not a list of categories .*: 'name'"),
    "categories is a number": ({"categories_json": 3}, r"categories.json is not a list of categories"),
    "no categories": ({"categories_json": []}, r"categories.json lists no category"),
    "a category id twice": (
        {"categories_json": [{"id": 0, "name": "a"}, {"id": 4, "name": "b"}, {"id": 4, "name": "c"}]},
        r"categories.json has the category id 4 more than once",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_stop_the_run_in_a_sentence(tmp_path: Path, case: str) -> None:
    changes, message = BROKEN[case]
    small(tmp_path, **changes)
    with pytest.raises(DataError, match=message) as caught:
        table(opened(tmp_path))
    assert caught.value.hint


ROW = {
    # what: (changes, index of the row, column: value)
    "category not listed": (
        change_train(annotations=[{"image_id": 1, "category_id": 8}]),
        {"reason": coco.UNLISTED, "detail": "category_id 8", "label": None},
    ),
    "category null": (
        change_train(annotations=[{"image_id": 1, "category_id": None}]),
        {"reason": coco.UNLISTED, "detail": "category_id null"},
    ),
    "two categories": (
        change_train(annotations=[{"image_id": 1, "category_id": 0}, {"image_id": 1, "category_id": 1}]),
        {"reason": coco.SEVERAL},
    ),
    "the same category twice": (
        change_train(annotations=[{"image_id": 1, "category_id": 1}, {"image_id": 1, "category_id": 1}]),
        {"reason": None, "label": "Rana temporaria"},
    ),
    "no annotation": (change_train(annotations=[]), {"reason": None, "label": None}),
    "an annotation that is no object": (change_train(annotations=[3, "x", None]), {"reason": None, "label": None}),
    "ids as text": (change_train(annotations=[{"image_id": "1", "category_id": "1"}]), {"label": "Rana temporaria"}),
    "image without id": (
        change_train(images=[{"file_name": "a.jpg"}]),
        {"obs_id": None, "where": "train2018.json: image number 0", "label": None},
    ),
    "a null id matches no null": (
        {
            "train2018_json": {"images": [{"id": None}], "annotations": [{"image_id": None, "category_id": 1}]},
            "train2018_locations_json": [{"id": None, "lat": 1, "lon": 2}],
        },
        {"obs_id": None, "label": None, "lon": None, "notes": [coco.NO_ENTRY]},
    ),
    "image that is no object": (change_train(images=["a.jpg"]), {"obs_id": None, "image": {"bytes": None, "path": None}}),
    "file_name that is no text": (change_train(images=[{"id": 1, "file_name": 3}]), {"image": {"bytes": None, "path": None}}),
    "no entry among the positions": (
        {**change_train(), "train2018_locations_json": [{"id": 2, "lat": 1, "lon": 2}]},
        {"lon": None, "lat": None, "notes": [coco.NO_ENTRY], "reason": None},
    ),
    "two entries among the positions": (
        {**change_train(), "train2018_locations_json": [{"id": 1, "lat": 1, "lon": 2}, {"id": 1, "lat": 5, "lon": 6}]},
        {"lon": 2.0, "lat": 1.0, "notes": [coco.SEVERAL_POSITIONS]},
    ),
    "positions as text stay text": (
        {**change_train(), "train2018_locations_json": [{"id": 1, "lat": "47,5", "lon": 8}, {"id": 2, "lat": 1.5, "lon": 2}]},
        {"lat": "47,5", "lon": "8"},
    ),
    "true is no latitude": (
        {**change_train(), "train2018_locations_json": [{"id": 1, "lat": True, "lon": 8}]},
        {"lat": "True"},
    ),
    "a number beyond all": (
        {**change_train(), "train2018_locations_json": b'[{"id": 1, "lat": 1' + b"0" * 400 + b', "lon": 2}]'},
        {"lat": "1" + "0" * 400, "lon": "2"},
    ),
    "half a surrogate pair": (
        change_train(images=[{"id": 1, "file_name": "\ud800.jpg"}]),
        {"image": {"bytes": None, "path": "?.jpg"}},
    ),
    "NaN, which is no json": (
        {**change_train(), "train2018_locations_json": b'[{"id": 1, "lat": NaN, "lon": -Infinity, "date": "NaN"}]'},
        {"lat": None, "lon": None, "captured_at": "NaN", "reason": None},
    ),
    "longitude alone": (
        {**change_train(), "train2018_locations_json": [{"id": 1, "lon": 8}]},
        {"lat": None, "lon": 8.0},
    ),
}


@pytest.mark.parametrize("case", ROW)
def test_odd_entries_give_a_reason_or_a_null_and_no_row_is_lost(tmp_path: Path, case: str) -> None:
    changes, expected = ROW[case]
    small(tmp_path, **changes)
    rows = table_of_first_split(opened(tmp_path))
    assert len(rows) == len(changes["train2018_json"]["images"])
    assert {name: rows[0][name] for name in expected} == expected


def table_of_first_split(source: Source) -> list[dict[str, Any]]:
    return [row for batch in source.batches for row in batch.to_pylist() if row["official_split"] == "train"]


REMARKS = {
    "annotations of strangers": (
        change_train(annotations=[{"image_id": 1, "category_id": 0}] + [{"image_id": n, "category_id": 0} for n in (8, 9)]),
        ["train2018.json: annotations of 2 images that it does not list"],
    ),
    "positions of strangers": (
        {**change_train(), "train2018_locations_json": [{"id": n, "lat": 1, "lon": 2} for n in (1, 2, 3)]},
        ["train2018_locations.json: 1 entries of images that train2018.json does not list"],
    ),
    "no annotations": (change_train(annotations=[]), ["train2018.json: no annotations, so no labels"]),
    "names that are shared": (
        {"categories_json": [{"id": 0, "name": "Abies alba"}, {"id": 1, "name": " Abies  alba"}]},
        [
            "categories.json: 1 names stand for more than one category; their ids were added",
            uncertain("train2018", 2, 9),
        ],
    ),
}


@pytest.mark.parametrize("case", REMARKS)
def test_what_is_odd_about_a_file_is_remarked_with_its_count(tmp_path: Path, case: str) -> None:
    changes, expected = REMARKS[case]
    small(tmp_path, **changes)
    source = opened(tmp_path)
    table(source)
    assert source.remarks == expected


def test_shared_names_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    small(tmp_path, categories_json={"categories": [{"id": 0, "name": "Abies alba"}, {"id": 1, "name": " Abies  alba"}]})
    rows = table(opened(tmp_path))
    assert rows["label"].to_pylist() == ["Abies alba (id 0)", None, "Abies alba (id 1)", "Abies alba (id 1)"]


def test_a_name_that_is_null_or_blank_is_the_id(tmp_path: Path) -> None:
    small(tmp_path, categories_json={"categories": [{"id": 0, "name": None}, {"id": 1, "name": " "}]})
    rows = table(opened(tmp_path))
    assert rows["label"].to_pylist() == ["category 0", None, "category 1", "category 1"]


# --- the writers, as the whole pipeline uses them


def test_the_written_set_is_read_whole_with_its_images(tmp_path: Path) -> None:
    write_inat2018(tmp_path, images=40, classes=4)
    source = opened(tmp_path)
    rows = table(source)
    assert len(rows) == 40
    assert source.remarks == [uncertain("train2018", 29, 30), uncertain("val2018", 10, 30)]
    assert rows["official_split"].to_pylist() == ["train"] * 30 + ["test"] * 10
    assert rows["lon"].null_count == rows["lat"].null_count == 1  # row 19 of train
    assert rows["reason"].null_count == 40
    for row in rows.to_pylist():
        with Image.open(tmp_path / row["image"]["path"]) as image:
            assert sorted(image.size) == [30, 40]
            image.load()
    # Annotations and positions stand in other orders than images, so a join by place would fail here.
    about = json.loads((tmp_path / "train2018.json").read_text())
    names = [one["name"] for one in json.loads((tmp_path / "categories.json").read_text())]
    of = {one["image_id"]: names[one["category_id"]] for one in about["annotations"]}
    at = {one["id"]: (one["lon"], one["lat"]) for one in json.loads((tmp_path / "train2018_locations.json").read_text())}
    for image, row in zip(about["images"], rows.to_pylist(), strict=False):
        assert (row["obs_id"], row["label"]) == (f"train2018/{image['id']}", of[image["id"]])
        assert (row["lon"], row["lat"]) == at[image["id"]]


# --- the pre-extracted form


def test_features_stand_in_the_place_of_images_row_by_row(tmp_path: Path) -> None:
    write_inat2018_features(tmp_path, images=40, classes=4)
    source = opened(tmp_path, "features", "decode")
    rows = table(source)
    path = "features_inception_pretrain/inat2018_{}_pretrain_net_feats.npy"
    assert rows["image_features"].to_pylist() == [{"path": path.format("train"), "row": n} for n in range(30)] + [
        {"path": path.format("val"), "row": n} for n in range(10)
    ]
    assert rows["image"].null_count == 40
    assert (source.reading, source.inspection) == (Reading("data_root", "inat2018"), "none")
    assert source.remarks == [uncertain("train2018", 29, 30), uncertain("val2018", 10, 30)]
    assert path.format("train") in source.files
    assert source.predictions is not None
    assert source.predictions["classes"][:2] == ["Quercus robur", "Abies alba"]
    assert list(source.predictions["files"]) == ["0.05", "0.1", "0.2", "1"]


def test_features_of_a_tuned_network_are_taken_with_a_remark(tmp_path: Path) -> None:
    write_inat2018_features(tmp_path, images=8)
    for split in ("train", "val"):
        old = tmp_path / f"features_inception_pretrain/inat2018_{split}_pretrain_net_feats.npy"
        old.rename(tmp_path / f"features_inception/inat2018_{split}_net_feats.npy")
    source = opened(tmp_path, "features")
    assert source.remarks == [
        "features_inception: of a network that was fine-tuned on all labels; few-shot scores with it are too good"
    ]


def test_predictions_are_none_where_there_are_none(tmp_path: Path) -> None:
    write_inat2018_features(tmp_path, images=8)
    for file in [*tmp_path.glob("fewshot/*"), *tmp_path.glob("features_inception/*")]:
        file.unlink()
    source = opened(tmp_path, "features")
    assert source.predictions is None
    assert source.remarks == [
        "no released predictions of images: neither features_inception/inat2018_val_preds_sparse.npz nor "
        "fewshot/inat2018_val_preds_sparse_ratio0.050.npz is below inat2018"
    ]


def test_the_whole_bundle_may_lie_one_folder_deeper(tmp_path: Path) -> None:
    write_inat2018_features(tmp_path / "bundle", images=8)
    source = opened(tmp_path, "features")
    assert source.predictions is not None
    assert source.predictions["files"]["1"]["path"] == "bundle/features_inception/inat2018_val_preds_sparse.npz"
    rows = table(source)
    assert {one["path"] for one in rows["image_features"].to_pylist()} == {
        f"bundle/features_inception_pretrain/inat2018_{split}_pretrain_net_feats.npy" for split in ("train", "val")
    }
    assert source.predictions["rows"] == rows["image_features"].to_pylist()[-1]["path"]


TRAIN = "features_inception_pretrain/inat2018_train_pretrain_net_feats.npy"
UNREADABLE = r"feats.npy is not an .npy file that can be read"


def matrix_bytes(values: np.ndarray) -> bytes:
    with io.BytesIO() as file:
        np.save(file, values, allow_pickle=True)
        return file.getvalue()


BAD_MATRICES = {
    "too few rows": (np.zeros((5, 16), np.float32), r"feats.npy has 5 rows, but train2018.json lists 6 images"),
    "another width": (np.zeros((6, 8), np.float32), r"differ in width: inat2018_train_\S+ 8, inat2018_val_\S+ 16"),
    "a vector": (np.zeros(6, np.float32), r"is not a matrix of floats: its shape is \(6,\), its kind float32"),
    "integers": (np.zeros((6, 16), np.int64), r"is not a matrix of floats: its shape is \(6, 16\), its kind int64"),
    "a pickle": (np.array([[{}]], dtype=object), UNREADABLE),
    "empty": (b"", UNREADABLE),
    "no matrix": (b"no matrix", UNREADABLE),
    "a truncated matrix": (matrix_bytes(np.zeros((6, 16), np.float32))[:-4], UNREADABLE),
}


@pytest.mark.parametrize("case", BAD_MATRICES)
def test_unfit_matrices_are_refused_before_any_row(tmp_path: Path, case: str) -> None:
    write_inat2018_features(tmp_path, images=8)
    values, message = BAD_MATRICES[case]
    (tmp_path / TRAIN).write_bytes(values if isinstance(values, bytes) else matrix_bytes(values))
    with pytest.raises(DataError, match=message):
        next(opened(tmp_path, "features").batches)


def test_category_ids_that_are_no_numbers_have_no_columns(tmp_path: Path) -> None:
    write_inat2018_features(tmp_path, images=8)
    dump(tmp_path / "categories2018.json", [{"id": "a", "name": "Abies alba"}])
    with pytest.raises(DataError, match=r"categories2018.json has category ids that are not numbers"):
        opened(tmp_path, "features")
