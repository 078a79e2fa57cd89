"""`cspops.load`: which folders it takes, which piece it chooses, what it says of others."""

import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
import torch
from location_runs import CLASSES, PLACES, POOL, make_classifier, write_location_run

import cspops
from cspops.errors import DataError, ParamsError
from cspops.library.loading import load, load_seeds
from cspops.library.model import Model
from cspops.models.checkpoint import save_model

PLACE = [[8.54, 47.37]]


@pytest.fixture
def artifacts(tmp_path):
    write_location_run(tmp_path / "artifacts")
    return tmp_path / "artifacts"


def test_a_project_gives_its_smallest_seed_and_largest_ratio(artifacts):
    for path in (artifacts.parent, str(artifacts)):
        model = cspops.load(path)
        expected = make_classifier(1)
        torch.testing.assert_close(model.encode_location(torch.tensor(PLACE)), expected.encoder(torch.tensor(PLACE).double()))
        assert model.classes == tuple(CLASSES)
        assert model.pool == POOL
        assert model.places.lonlat.tolist() == PLACES.lonlat.tolist()
        assert model.image is None


@pytest.mark.parametrize(("seed", "ratio", "number"), [(0, 0.05, 0), (1, None, 11), (1, 0.05, 10), (None, 0.05, 0)])
def test_a_seed_and_ratio_can_be_chosen(artifacts, seed, ratio, number):
    model = cspops.load(artifacts, seed=seed, label_ratio=ratio)
    expected = make_classifier(number)(torch.tensor(PLACE).double()).sigmoid()[0].double()
    p = model.predict_proba(lonlat=PLACE, combine="location")[0]
    assert p == pytest.approx((expected / expected.sum()).tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("choice", "says", "hint"),
    [
        ({"seed": 7}, "has no seed 7: it has 0, 1", "--seed 0 (in Python seed=0), or add 7 to seeds"),
        (
            {"label_ratio": 0.3},
            r"has no label ratio 0\.3: it has 0\.05, 1",
            "--label-ratio 1 (in Python label_ratio=1), or add 0.3 to split.label_ratios",
        ),
    ],
)
def test_a_choice_that_is_not_there_is_refused_with_what_is(artifacts, choice, says, hint):
    with pytest.raises(ParamsError, match=says) as refused:
        cspops.load(artifacts, **choice)
    assert refused.value.hint == f"{hint} in params.yaml, then dvc repro"


def test_a_folder_of_finetune_loc_is_a_classifier_with_the_names_of_its_run(artifacts):
    model = cspops.load(artifacts / "finetune_loc" / "seed_1" / "label_5")
    assert model.classes == tuple(CLASSES)
    assert model.predict_proba(lonlat=PLACE).shape == (1, 3)


def test_a_folder_of_pretrain_embeds_and_knows_no_classes(artifacts):
    model = cspops.load(artifacts / "pretrain" / "seed_0")
    assert model.encode_location(np.array(PLACE)).shape == (1, 6)
    with pytest.raises(DataError, match="knows no classes"):
        model.predict_proba(lonlat=PLACE)
    with pytest.raises(DataError, match="no choice of seed"):
        cspops.load(artifacts / "pretrain" / "seed_0", seed=1)


def test_an_imported_checkpoint_is_a_classifier_or_an_encoder(tmp_path):
    classifier = make_classifier()
    save_model(tmp_path / "a" / "encoder", classifier.encoder, classifier.encoder.config)
    assert cspops.load(tmp_path / "a").classifier is None
    save_model(tmp_path / "a" / "classifier", classifier, classifier.config)
    model = cspops.load(tmp_path / "a")
    assert model.classifier is not None
    assert model.classes is None


def test_no_folder_a_file_and_an_empty_folder(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name, says in (("nowhere", "is missing"), ("file", "is a file"), ("empty", "holds no trained model")):
        with pytest.raises(DataError, match=says) as caught:
            cspops.load(tmp_path / name)
        assert "artifacts/pretrain/seed_0" in str(caught.value.hint)


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, cspops; print(sorted({'Model', '__version__', 'load'} & {*dir(cspops)}), cspops.__version__ != '', "
        "[name for name in ('torch', 'numpy') if name in sys.modules])"
    )
    shown = "['Model', '__version__', 'load'] True []\n"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == shown


def test_the_names_of_the_package_are_what_they_say():
    assert cspops.__version__ == version("cspops")
    assert (cspops.Model, cspops.load) == (Model, load)
    with pytest.raises(AttributeError, match="has no attribute 'Models'"):
        cspops.Models  # noqa: B018


@pytest.mark.parametrize(
    ("folder", "shown"),
    [
        (".", "Model(encoder='wrap', d=6, classes=3, seed=0, label_ratio=1.0)"),
        ("artifacts/finetune_loc/seed_1/label_5", "Model(encoder='wrap', d=6, classes=3, seed=1, label_ratio=0.05)"),
        ("artifacts/pretrain/seed_1", "Model(encoder='wrap', d=6, seed=1)"),
        ("imported", "Model(encoder='wrap', d=6, classes=3)"),
    ],
)
def test_a_model_is_shown_in_one_line(artifacts, monkeypatch, folder, shown):
    classifier = make_classifier()
    save_model(artifacts.parent / "imported" / "classifier", classifier, classifier.config)
    save_model(artifacts.parent / "imported" / "encoder", classifier.encoder, classifier.encoder.config)
    assert repr(cspops.load(artifacts.parent / folder)) == shown
    monkeypatch.chdir(artifacts.parent / folder)
    assert repr(cspops.load(".")) == shown


def test_all_seeds_of_a_run_at_one_ratio(artifacts):
    for ratio, number in ((None, 1), (0.05, 0)):
        models = load_seeds(artifacts, label_ratio=ratio)
        assert list(models) == [0, 1]
        for seed, model in models.items():
            expected = make_classifier(10 * seed + number)
            torch.testing.assert_close(
                model.encode_location(torch.tensor(PLACE)), expected.encoder(torch.tensor(PLACE).double())
            )
            assert model.folders[0] == artifacts / "finetune_loc" / f"seed_{seed}" / (
                "label_100" if ratio is None else "label_5"
            )
    with pytest.raises(ParamsError, match=r"has no label ratio 0\.5: it has 0\.05, 1"):
        load_seeds(artifacts, label_ratio=0.5)
    with pytest.raises(DataError, match="is no whole run"):
        load_seeds(artifacts / "pretrain" / "seed_0")
