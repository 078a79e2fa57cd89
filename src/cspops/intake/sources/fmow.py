"""Functional Map of the World, RGB (fMoW/dataset): the published files, or the features that CSP's authors distribute.

    train/airport/airport_0/airport_0_3_rgb.jpg        category, place, view; the json file of the same name beside it
    test/0011978/0011978_3_rgb.jpg                     places without names
    groundtruth/test_gt/airport/airport_0/airport_0_3_rgb.json
    groundtruth/test_gt_mapping.json                   [{"input": "test_gt/airport/airport_0", "output": "test/0011978"}]

During the challenge the json files came without positions; those of groundtruth.tar.bz2, which is unpacked into
`groundtruth/`, have them and are preferred, for train/ and val/ too. `*_msrgb` files (the same views, coarser) and the
split `seq` are not read. An obs_id is `train/airport_0_3_rgb/ID` with the ID of the box; all views of a place have one
location_id, `train/airport_0`.
"""

import builtins
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from cspops.errors import DataError, NotThere, ParamsError
from cspops.intake.rows import ROWS, FileFacts, Source, batch, file_facts
from cspops.intake.sources import coco
from cspops.intake.sources.coco import AGAIN, FETCH, Part, find
from cspops.intake.sources.fmow_scene import Described, Row, Scene, read_scene
from cspops.intake.sources.released import list_released
from cspops.params.sections import Fmow
from cspops.pixels.reading import Reading
from cspops.pixels.workers import Map

FEATURES = "features_inception_pretrain/fmow_{split}_pretrain_net_feats.npy"
"""A ResNet-50 of MoCo-v2 with temporal positives, 2048 wide, despite the folder's name."""

TRUTH = "groundtruth"
ROWS_AT_ONCE = 8192


class Place(NamedTuple):
    """The folders that hold all views of one place."""

    split: str
    role: str
    category: str
    truth: Path
    """The folder of the json files."""
    images: Path


def open_fmow(root: Path, settings: Fmow, *, map: Map = builtins.map) -> Source:
    """Open the set, its rows still to be read; DataError names the first folder or file that is missing.

    Args:
        root: `CSPOPS_DATA_ROOT/fmow`; splits may lie below it or in one of its folders.
        settings: `form` `images`, an observation for each box of an object, cropped with context; or `features`, a matrix
            with a row for each image in their place (62 classes, train and val alone), and released predictions.
            `false_detections` are boxes that hold no object, most of them in test. `test` is the official split that is
            reported on. `val`: the split stage takes a validation part out of train, and test is not read. `test`: test
            with its ground truth; val is the validation part.
        map: applies a function to scenes, in order; another one may do so in other processes.
    """
    if settings.form == "features":
        if settings.test == "test":
            raise ParamsError(
                "dataset.fmow.test: test needs dataset.fmow.form: images; the authors' features are of train and val alone",
                hint="dataset.fmow.test: val",
            )
        return _open_features(root)
    remarks: list[str] = []
    files: dict[str, FileFacts] = {}
    base = _base(root)
    roles = {"train": "train", "val": "test"} if settings.test == "val" else {"train": "train", "val": "val", "test": "test"}
    for split in roles:
        if not (base / split).is_dir():
            raise NotThere(f"{base / split} is missing", hint=FETCH)
    mapping = _mapping(root, base) if settings.test == "test" else None
    places = chain.from_iterable(
        _places(root, base, split, role) if split != "test" or mapping is None else _hidden(base, mapping, role, remarks)
        for split, role in roles.items()
    )
    scenes = chain.from_iterable(_scenes(root, base, place) for place in places)
    return Source(
        _batches(map(partial(read_scene, false_detections=settings.false_detections), scenes), roles, root, remarks, files),
        Reading("data_root", (Path("fmow") / base.relative_to(root)).as_posix()),
        settings.inspection,
        files,
        remarks,
    )


def _open_features(root: Path) -> Source:
    """Open train.json, train_location.json and the like for val, category.json, and a matrix for each."""
    remarks: list[str] = []
    listed = find(root, "category.json")
    categories = coco.read_categories(listed, remarks)
    files: dict[str, FileFacts] = {listed.relative_to(root).as_posix(): file_facts(listed)}
    matrices = {split: find(root, FEATURES.format(split=split)) for split in ("train", "val")}
    coco.check_matrices(list(matrices.values()))
    parts = [
        Part(split, role, find(root, f"{split}.json"), find(root, f"{split}_location.json"), matrices[split])
        for split, role in (("train", "train"), ("val", "test"))
    ]
    predictions = list_released(
        root,
        folder="fmow",
        full="feature_moco/fmow_val_preds.npy",
        few_shot="fewshot/fmow_val_preds_ratio{ratio:.3f}.npy",
        matrix=matrices["val"],
        classes=coco.by_column(categories, listed),
        remarks=remarks,
    )
    rows = coco.batches(parts, categories, root=root, remarks=remarks, files=files)
    return Source(rows, Reading("data_root", "fmow"), "none", files, remarks, predictions)


def _base(root: Path) -> Path:
    """Find the folder that holds train/: the root, or one of its folders."""
    folders = [path.parent for path in (root / "train", *sorted(root.glob("*/train"))) if path.is_dir()]
    folders = [folder for folder in folders if folder.name != TRUTH and not folder.name.startswith(".")]
    if not folders:
        raise NotThere(f"{root / 'train'} is missing", hint=FETCH)
    if len(folders) > 1 and folders[0] != root:
        raise DataError(f"train lies more than once below {root}: {folders[0]} and {folders[1]}", hint="keep one of them")
    return folders[0]


def _mapping(root: Path, base: Path) -> Path | None:
    """Find the file that says which place each folder of test is; None where these folders are categories already."""
    for folder in (root / TRUTH, base / TRUTH, root, base):
        if (folder / "test_gt_mapping.json").is_file():
            return folder / "test_gt_mapping.json"
    if all(name.isdigit() for name in _folders(base / "test")):
        raise NotThere(
            f"{root / TRUTH / 'test_gt_mapping.json'} is missing: it says which place each folder of {base / 'test'} is",
            hint=FETCH,
        )
    return None


def _places(root: Path, base: Path, split: str, role: str) -> Iterator[Place]:
    """Yield the places of a split in folders by category, in the order of their names."""
    candidates = [above / name for above in (root / TRUTH, base / TRUTH) for name in (split, f"{split}_gt")]
    candidates += [root / f"{split}_gt", base / f"{split}_gt"]
    truth = next((folder for folder in candidates if folder.is_dir()), base / split)
    for category in sorted({*_folders(truth), *_folders(base / split)}):
        for place in sorted({*_folders(truth / category), *_folders(base / split / category)}):
            yield Place(split, role, category, truth / category / place, base / split / category / place)


def _hidden(base: Path, mapping: Path, role: str, remarks: list[str]) -> Iterator[Place]:
    """Yield the places of test, whose folders have numbers, in the order of the places' names."""
    try:
        pairs = sorted((str(entry["input"]), str(entry["output"])) for entry in json.loads(mapping.read_bytes()))
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{mapping} is not a list of objects with input and output", hint=AGAIN) from None
    unlisted = set(_folders(base / "test")) - {Path(images).name for _, images in pairs}
    if unlisted:
        remarks.append(
            f"{mapping.name}: {len(unlisted)} folders of test are not in it and are not read, such as {min(unlisted)}"
        )
    for truth, images in pairs:
        if Path(images).parts[:-1] == ("test",) and len(Path(truth).parts) == 3 and ".." not in Path(truth).parts:
            yield Place("test", role, Path(truth).parts[1], mapping.parent / truth, base / images)
        else:
            raise DataError(f"{mapping} has a pair that is not a place of test: {truth!r}, {images!r}", hint=AGAIN)


def _scenes(root: Path, base: Path, place: Place) -> Iterator[Scene]:
    """Yield the views of a place, in the order of their names."""
    hidden, named = f"{place.images.name}_", f"{place.truth.name}_"
    jsons = _stems(place.truth, ".json")
    images = {named + stem.removeprefix(hidden) if stem.startswith(hidden) else stem for stem in _stems(place.images, ".jpg")}
    for stem in sorted(jsons | images):
        image = hidden + stem.removeprefix(named) if stem.startswith(named) else stem
        yield Scene(
            root,
            (place.truth / f"{stem}.json").relative_to(root).as_posix() if stem in jsons else None,
            (place.images / f"{image}.jpg").relative_to(base).as_posix(),
            place.split,
            place.role,
            place.category,
            place.truth.name,
            stem,
        )


def _stems(folder: Path, ending: str) -> set[str]:
    """Return the names of the files `*_rgb` without their ending."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name.removesuffix(ending) for entry in entries if entry.name.endswith(f"_rgb{ending}")}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _batches(
    described: Iterable[Described],
    roles: Iterable[str],
    root: Path,
    remarks: list[str],
    files: dict[str, FileFacts],
) -> Iterator[pa.RecordBatch]:
    """Yield rows by thousands; ``files`` gets one entry per split, whose sha256 is over path and sha256 of each json file."""
    about = {split: {"files": 0, "size": 0, "whole_scene_boxes": 0} for split in roles}
    hashes = {split: hashlib.sha256() for split in roles}
    unlocated, rows = 0, []
    for scene, of_scene, size, sha256, located, whole_scene_boxes in described:
        if scene.json is not None:
            about[scene.split]["files"] += 1
            about[scene.split]["size"] += size
            about[scene.split]["whole_scene_boxes"] += whole_scene_boxes
            hashes[scene.split].update(f"{scene.json} {sha256}\n".encode())
            unlocated += not located
        rows += of_scene
        if len(rows) >= ROWS_AT_ONCE:
            yield _batch(rows)
            rows = []
    if rows:
        yield _batch(rows)
    for split, counts in about.items():
        if not counts["files"]:
            raise DataError(f"no *_rgb.json describes an image of {split} below {root}", hint=FETCH)
        files[f"{split}/**/*_rgb.json"] = {
            "files": counts["files"],
            "size": counts["size"],
            "whole_scene_boxes": counts["whole_scene_boxes"],
            "sha256": hashes[split].hexdigest(),
        }
    if unlocated:
        every = sum(counts["files"] for counts in about.values())
        remarks.append(
            f"{unlocated} of {every} json files have no raw_location, as those of the challenge: groundtruth.tar.bz2, unpacked "
            f"into {TRUTH}/, has them"
        )


def _batch(rows: list[Row]) -> pa.RecordBatch:
    return batch({name: [row.get(name) for row in rows] for name in ROWS.names})
