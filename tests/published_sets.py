"""Small data sets in the exact form in which iNaturalist 2018 and fMoW are published, and as the authors of CSP give them.

Classes live around places of their own and have colours of their own, so that both a location encoder and an image
network learn something. Nothing of the project takes part.

    write_inat2018(folder)           train2018.json, categories.json, ..._locations.json, train_val2018/
    write_inat2018_features(folder)  the same json files, .npy matrices, sparse predictions
    write_fmow(folder)               train/, val/ (test/ and groundtruth/ when asked), a json file beside each JPEG
    write_fmow_features(folder)      train.json, train_location.json, category.json, .npy matrices, dense predictions

``folder`` is CSPOPS_DATA_ROOT/inat2018 or CSPOPS_DATA_ROOT/fmow.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import sparse

HOMES = np.array([(-105.0, 42.0), (9.0, 48.0), (27.0, -22.0), (140.0, -30.0), (-60.0, -12.0), (105.0, 30.0)])
"""Longitude and latitude around which each class lives, degrees."""

COLOURS = np.array([(200, 60, 50), (60, 170, 70), (60, 80, 200), (210, 190, 60), (160, 70, 180), (70, 180, 190)])

SPECIES = ["Quercus robur", "Abies alba", "Turdus merula", "Rana temporaria", "Bombus terrestris", "Amanita muscaria"]
FMOW_CATEGORIES = ["airport", "barn", "crop_field", "zoo", "lighthouse", "stadium"]
WIDTH = 16
"""Of the features."""


def drawn(n: int, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Label (n,) and longitude, latitude (n, 2) with two decimals; classes in turn."""
    label = np.arange(n) % classes
    return label, np.round(HOMES[label] + rng.normal(0, 5, (n, 2)), 2)


def picture(label: int, lonlat: np.ndarray, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """The colour of the class, a little lighter in the north, noisy."""
    width, height = size
    colour = COLOURS[label] + lonlat[1] / 4
    return Image.fromarray((colour + rng.normal(0, 25, (height, width, 3))).clip(0, 255).astype(np.uint8))


def matrix(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, WIDTH) float32: a corner of its own for each class, noisy, not negative (as after a ReLU)."""
    return np.maximum(2 * np.eye(WIDTH)[label] + rng.normal(0, 0.7, (len(label), WIDTH)), 0).astype(np.float32)


def softmax(features: np.ndarray, classes: int) -> np.ndarray:
    """(n, classes) float32, rows sum to one."""
    odds = np.exp(2.0 * features[:, :classes])
    return (odds / odds.sum(1, keepdims=True)).astype(np.float32)


def dump(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


# --- iNaturalist 2018


def write_inat2018(folder: Path, *, images: int = 200, classes: int = 4, seed: int = 0) -> None:
    """Three quarters of ``images`` in train2018, the others in val2018; one in twenty has no position."""
    rng = np.random.default_rng(seed)
    for split, about in _inat2018(folder, images, classes, rng, "categories.json").items():
        for image, label, lonlat in zip(about["images"], about["label"], about["lonlat"], strict=True):
            file = folder / image["file_name"]
            file.parent.mkdir(parents=True, exist_ok=True)
            picture(label, lonlat, rng, (image["width"], image["height"])).save(file, quality=90)
        assert split in ("train", "val")


def write_inat2018_features(
    folder: Path, *, images: int = 200, classes: int = 4, seed: int = 0, ratios: tuple[float, ...] = (0.05, 0.1, 0.2)
) -> None:
    """As `write_inat2018`, with features in the place of images, and predictions for ``ratios`` and for 1."""
    rng = np.random.default_rng(seed)
    for split, about in _inat2018(folder, images, classes, rng, "categories2018.json").items():
        features = matrix(about["label"], rng)
        _save(folder / f"features_inception_pretrain/inat2018_{split}_pretrain_net_feats.npy", features)
        if split == "val":
            names = {1.0: "features_inception/inat2018_val_preds_sparse.npz"}
            names |= {ratio: f"fewshot/inat2018_val_preds_sparse_ratio{ratio:.3f}.npz" for ratio in ratios}
            for ratio, name in names.items():
                odds = softmax(features + rng.normal(0, 1 - ratio, features.shape), classes)
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                sparse.save_npz(folder / name, sparse.csr_matrix(np.where(odds > 1e-3, odds, 0)))


def _inat2018(folder: Path, images: int, classes: int, rng: np.random.Generator, categories: str) -> dict[str, dict[str, Any]]:
    """The json files; returns images, labels and positions of each split."""
    kingdom = {
        "supercategory": "Plantae",
        "kingdom": "k",
        "phylum": "p",
        "class": "c",
        "order": "o",
        "family": "f",
        "genus": "g",
    }
    hidden = [{"id": number, "name": f"{number:04d}", **kingdom} for number in range(classes)]
    dump(folder / categories, [{**about, "name": SPECIES[about["id"]]} for about in hidden])
    made, number = {}, 1
    for split, n in (("train", images - images // 4), ("val", images // 4)):
        label, lonlat = drawn(n, classes, rng)
        listed, annotations, positions = [], [], []
        for row in range(n):
            name = f"train_val2018/Plantae/{label[row]}/{int(rng.integers(2**63)):032x}.jpg"
            width, height = (40, 30) if row % 2 else (30, 40)
            listed.append(
                {"license": 1, "file_name": name, "rights_holder": "R. Holder", "height": height, "width": width, "id": number}
            )
            annotations.append({"image_id": number, "category_id": int(label[row]), "id": number})
            lon, lat = (None, None) if row % 20 == 19 else lonlat[row].tolist()
            when = f"2017-{1 + row % 12:02d}-05 10:30:00+00:00"
            positions.append(
                {"id": number, "lat": lat, "lon": lon, "loc_uncert": 30, "user_id": row % 7, "date": when, "date_c": 0.4}
            )
            number += 1
        order = rng.permutation(n)  # as published: annotations and positions stand in orders of their own
        content = {"info": {"year": 2018}, "images": listed, "licenses": [{"id": 1, "name": "CC BY-NC", "url": ""}]}
        content |= {"annotations": [annotations[row] for row in order], "categories": hidden}
        dump(folder / f"{split}2018.json", content)
        dump(folder / f"{split}2018_locations.json", [positions[row] for row in order[::-1]])
        made[split] = {"images": listed, "label": label, "lonlat": lonlat}
    return made


# --- fMoW


def write_fmow(
    folder: Path,
    *,
    places: int = 72,
    classes: int = 4,
    views: int = 2,
    test: bool = False,
    false_detections: bool = False,
    seed: int = 0,
) -> None:
    """Two thirds of ``places`` in train/, the others in val/; with ``test`` half of those hidden in test/ instead.

    Each place has ``views`` JPEGs and json files with a polygon. ``false_detections`` adds a box to each view of the last
    split.
    """
    rng = np.random.default_rng(seed)
    splits = {"train": places - places // 3, "val": places // 3}
    if test:
        splits |= {"val": places // 3 - places // 6, "test": places // 6}
    mapping, box_id = [], 100
    for split, n in splits.items():
        label, lonlat = drawn(n, classes, rng)
        for row in range(n):
            category = FMOW_CATEGORIES[label[row]]
            name = f"{category}_{row // classes}"
            truth = images = f"{split}/{category}/{name}"
            if split == "test":
                truth, images = f"groundtruth/test_gt/{category}/{name}", f"test/{row:07d}"
                mapping.append({"input": f"test_gt/{category}/{name}", "output": images})
            for view in range(views):
                boxes = [fmow_box(box_id, category, [12, 8, 24, 20])]
                if false_detections and split == [*splits][-1]:
                    boxes.append(fmow_box(box_id + 50_000, "false_detection", [2, 2, 8, 8]))
                about = fmow_json(f"{name}_{view}_rgb.jpg", boxes, lonlat[row], width=64, height=48, year=2014 + view)
                dump(folder / truth / f"{name}_{view}_rgb.json", about)
                file = folder / images / f"{Path(images).name}_{view}_rgb.jpg"
                file.parent.mkdir(parents=True, exist_ok=True)
                picture(label[row], lonlat[row], rng, (64, 48)).save(file, quality=90)
            box_id += 1
    if test:
        dump(folder / "groundtruth/test_gt_mapping.json", mapping)


def fmow_box(number: int, category: str, box: list[int]) -> dict[str, Any]:
    return {"ID": number, "box": box, "category": category, "visible": "True"}


def fmow_json(
    image: str, boxes: list[dict[str, Any]], lonlat: np.ndarray, *, width: int, height: int, year: int = 2016
) -> dict[str, Any]:
    """With the box of the whole scene first (ID -1), and a square polygon around ``lonlat``, counterclockwise."""
    lon, lat = lonlat
    ring = [(lon - 0.01, lat - 0.01), (lon + 0.01, lat - 0.01), (lon + 0.01, lat + 0.01), (lon - 0.01, lat + 0.01)]
    return {
        "img_filename": image,
        "gsd": 0.5,
        "img_width": width,
        "img_height": height,
        "utm": "32U",
        "country_code": "XYZ",
        "cloud_cover": 3,
        "timestamp": f"{year}-06-14T10:20:30Z",
        "bounding_boxes": [
            {"ID": -1, "box": [0, 0, width, height], "category": boxes[0]["category"], "visible": "True"},
            *boxes,
        ],
        "raw_location": "POLYGON ((" + ", ".join(f"{x} {y}" for x, y in [*ring, ring[0]]) + "))",
    }


def write_fmow_features(
    folder: Path, *, images: int = 200, classes: int = 4, seed: int = 0, ratios: tuple[float, ...] = (0.05, 0.1, 0.2)
) -> None:
    """The authors' form: one row an image, no places; predictions are dense."""
    rng = np.random.default_rng(seed)
    dump(folder / "category.json", {name: number for number, name in enumerate(FMOW_CATEGORIES[:classes])})
    for split, n in (("train", images - images // 4), ("val", images // 4)):
        label, lonlat = drawn(n, classes, rng)
        dump(
            folder / f"{split}.json",
            {
                "images": [{"id": row, "file_name": f"{FMOW_CATEGORIES[label[row]]}_{row}_rgb.jpg"} for row in range(n)],
                "annotations": [{"image_id": row, "category_id": int(label[row])} for row in range(n)],
            },
        )
        dump(
            folder / f"{split}_location.json",
            [{"id": row, "lon": lonlat[row, 0], "lat": lonlat[row, 1], "date_c": 0.5, "user_id": 0} for row in range(n)],
        )
        features = matrix(label, rng)
        _save(folder / f"features_inception_pretrain/fmow_{split}_pretrain_net_feats.npy", features)
        if split == "val":
            _save(folder / "feature_moco/fmow_val_preds.npy", softmax(features, classes))
            for ratio in ratios:
                noisy = features + rng.normal(0, 1 - ratio, features.shape)
                _save(folder / f"fewshot/fmow_val_preds_ratio{ratio:.3f}.npy", softmax(noisy, classes))


def _save(file: Path, values: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, values)
