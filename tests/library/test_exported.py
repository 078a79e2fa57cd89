"""An exported folder, read back: the same numbers, and nothing imported that it does not need."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from location_runs import CLASSES, make_classifier, write_location_run, write_run
from PIL import Image

import cspops
from cspops.errors import DataError
from cspops.library.exported import ABOUT, write_parts
from cspops.library.model import COMBINE, Model

PLACES = np.array([[8.54, 47.37], [-70.0, -33.0], [np.nan, np.nan], [180.0, 90.0]])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "artifacts"
    write_run(folder)
    model = cspops.load(folder)
    reading = dataclasses.replace(model.image.reading, bands=(3, 2, 1), black=5.0, white=250.0)
    return dataclasses.replace(model, image=dataclasses.replace(model.image, reading=reading))


def exported(folder, model):
    folder.mkdir()
    write_parts(folder, model)
    (folder / ABOUT).write_text(json.dumps({"seed": model.seed, "label_ratio": model.label_ratio}))
    return folder


def test_all_answers_are_bit_identical(model, tmp_path):
    again = cspops.load(exported(tmp_path / "out", model))
    draws = np.random.default_rng(0)
    images = [Image.fromarray(draws.integers(0, 256, (40, 48, 3), dtype=np.uint8)) for _ in PLACES]
    assert np.array_equal(again.encode_location(PLACES), model.encode_location(PLACES), equal_nan=True)
    assert np.array_equal(again.encode_image(images), model.encode_image(images))
    for how in (None, *COMBINE):
        asked = [one.predict_proba(images, PLACES, combine=how) for one in (again, model)]
        assert np.array_equal(*asked)
    assert np.array_equal(again.predict_proba(lonlat=PLACES), model.predict_proba(lonlat=PLACES))
    assert (again.classes, again.pool) == (tuple(CLASSES), model.pool)
    shown = "Model(encoder='wrap', d=6, image='timm:test_resnet', classes=3, seed=0, label_ratio=1.0)"
    assert repr(again) == repr(model) == shown
    assert again.image.network.config == model.image.network.config
    assert again.image.reading == dataclasses.replace(model.image.reading, root="data", folder="")


def test_without_the_image_network_places_get_the_same_answers(model, tmp_path):
    for folder in (exported(tmp_path / "out", model), model.folders[0].parents[2]):
        placed = cspops.load(folder, images=False)
        assert placed.image is None
        assert np.array_equal(placed.predict_proba(lonlat=PLACES), model.predict_proba(lonlat=PLACES))


def test_each_part_is_a_model_of_its_own(model, tmp_path):
    folder = exported(tmp_path / "out", model)
    encoder, classifier = (cspops.load(folder / part) for part in ("location_encoder", "location_classifier"))
    assert np.array_equal(encoder.encode_location(PLACES), model.encode_location(PLACES), equal_nan=True)
    assert encoder.classifier is None
    learned = model.predict_proba(lonlat=PLACES, combine="location")
    assert np.array_equal(classifier.predict_proba(lonlat=PLACES), learned)
    assert classifier.classes == tuple(CLASSES)


def test_an_encoder_alone_needs_no_project_and_no_image_library(tmp_path):
    """Of an export, nor of a run."""
    folder = exported(tmp_path / "out", Model(make_classifier().encoder))
    write_location_run(tmp_path / "artifacts")
    code = (
        "import sys, cspops; "
        "print(*(cspops.load(path).encode_location([[8.5, 47.4]]).shape for path in ('.', '../artifacts/pretrain/seed_0'))); "
        "heavy = ('timm', 'torchvision', 'PIL', 'pandas', 'geopandas', 'rasterio', 'sklearn', 'matplotlib', 'sympy', "
        "'torch._dynamo', 'dvc', 'onnx', 'scipy', 'pyarrow'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 6) (1, 6)\n[]\n"


def test_no_choice_of_seed_and_broken_folders(model, tmp_path):
    folder = exported(tmp_path / "out", model)
    with pytest.raises(DataError, match="no choice of seed"):
        cspops.load(folder, seed=0)
    (folder / "reading.json").unlink()
    with pytest.raises(DataError, match=r"reading\.json is missing"):
        cspops.load(folder)
    (folder / "classes.json").write_text("[")
    with pytest.raises(DataError, match=r"(classes|reading)\.json is"):
        cspops.load(folder)
    weights = folder / "location_classifier" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(DataError, match="no whole safetensors"):
        cspops.load(folder)


def test_names_are_written_as_they_are(tmp_path):
    classifier = make_classifier()
    folder = exported(tmp_path / "out", Model(classifier.encoder, classifier, classes=("épicéa", "chêne", "hêtre")))
    assert "épicéa" in (folder / "classes.json").read_text(encoding="utf-8")
    assert json.loads((folder / "classes.json").read_text(encoding="utf-8"))[0] == cspops.load(folder).classes[0]
