"""`cspops export`: a folder that needs no project, whole or not at all, and what its card says."""

import hashlib
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from judged_set import SEEDS, VIEW, write_site
from location_runs import POOL, write_run
from PIL import Image
from ruamel.yaml import YAML
from small_project import run as in_folder

import cspops
from cspops.commands import exported_folder, main
from cspops.data.given_features import GIVEN
from cspops.errors import CspopsError, DataError
from cspops.library.export_facts import SAMPLE, lacking, metrics_of, origin_of
from cspops.library.onnx import checking
from cspops.pipeline import evaluate

SAMPLE_README = Path(exported_folder.__file__).parents[1] / "sample" / "README.md"


def command(*arguments, at):
    """Run the command in this process; answers the exit code."""
    at.setattr(sys, "argv", ["cspops", *map(str, arguments)])
    at.setenv("COLUMNS", "120")
    return main()


def export(project, out, *, seed=None, label_ratio=None, force=False, **contents):
    wanted = exported_folder.Contents(**contents)
    return exported_folder.run(project, out, wanted, seed=seed, label_ratio=label_ratio, force=force)


@pytest.fixture
def project(tmp_path):
    """A run with an image network, without a catalogue: what `cspops.load` needs and no more."""
    write_run(tmp_path / "project" / "artifacts", seeds=(0, 1), ratios=(0.05, 1.0))
    return tmp_path / "project"


@pytest.fixture(scope="module")
def evaluated_once(tmp_path_factory):
    """A run on given features that stage evaluate has judged."""
    folder = tmp_path_factory.mktemp("evaluated")
    site = write_site(folder)
    evaluate.run(VIEW, site)
    artifacts = folder / "project" / "artifacts"
    artifacts.mkdir(parents=True)
    for name in ("download", "split", "finetune-loc", "finetune-img"):
        (folder / name).rename(artifacts / name.replace("-", "_"))
    (folder / "out" / "reports").rename(folder / "project" / "reports")
    (folder / "out").rename(artifacts / "evaluate")
    (artifacts / "pretrain_img").mkdir()
    (artifacts / "pretrain_img" / "config.json").write_text(json.dumps({"model": GIVEN}))
    params = {
        "download": {"dataset.source": "folder", "seed": 0},
        "pretrain_img": {"image_encoder": {"weights": "file:/home/me/net.pt"}},
    }
    for stage, of_stage in params.items():
        (artifacts / stage / "stage.json").write_text(json.dumps({"params": of_stage | {"seeds": [0, 1]}, "files": {}}))
    return folder / "project"


@pytest.fixture
def evaluated(evaluated_once, tmp_path):
    return shutil.copytree(evaluated_once, tmp_path / "project")


def front_matter(card):
    return YAML(typ="safe").load(re.match(r"---\n(.*?)---\n", card, re.DOTALL)[1])


def blocks(card):
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_whole_folder_works_without_the_project(project, tmp_path, said):
    """The card's lines, run as a reader would in the folder, answer what the project's model answers."""
    about = export(project, tmp_path / "out", seed=1, label_ratio=0.05)
    assert said == [f"export: onnx/{name}.onnx" for name in ("location_encoder", "location_classifier", "combined")]
    model = cspops.load(project, seed=1, label_ratio=0.05)
    shutil.rmtree(project)
    out = tmp_path / "out"
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8))
    image.save(out / "photo.png")
    expected = model.predict_proba([image], [[8.54, 47.37]])[0]
    python, onnx = (block.replace("photo.jpg", "photo.png") for block in blocks((out / "README.md").read_text()))
    for lines, tolerance in ((python.replace("model.predict", "p = model.predict"), 0), (onnx, 2e-3)):
        code = f"{lines}\nprint(*p[0].tolist())"
        done = in_folder(out, "python", "-c", code)
        np.testing.assert_allclose([float(number) for number in done.stdout.split()], expected, atol=tolerance)
        assert done.stderr == ""
    assert (about["seed"], about["label_ratio"]) == (1, 0.05)
    assert max(one["onnx"] for of_file in about["onnx"].values() for one in of_file.values()) < checking.TOLERANCE


def test_a_model_that_takes_time_says_so_and_has_one_more_input(tmp_path, monkeypatch):
    """The card's lines run as they stand, and a date moves the answer; the loaded export takes dates too."""
    write_run(tmp_path / "project" / "artifacts", dated=True)
    export(tmp_path / "project", tmp_path / "out", only="location")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "A location encoder e(x, t) maps a place on Earth and a day of the year to 6 numbers." in card
    assert "`when`: float64 (n,), the share of the year in UTC" in card
    monkeypatch.chdir(tmp_path / "out")
    loading, by_onnx = blocks(card)
    names: dict = {}
    exec(loading, names)
    exec(by_onnx, names)
    p = names["model"].predict_proba(lonlat=[[8.54, 47.37]], dates=torch.tensor([0.45]), combine="location")
    np.testing.assert_allclose(names["answer"], p, atol=1e-5)
    assert not np.allclose(p, names["model"].predict_proba(lonlat=[[8.54, 47.37]], combine="location"), atol=1e-4)


def test_every_file_is_listed_with_its_hash(project, tmp_path):
    about = export(project, tmp_path / "out", onnx=False)
    written = contents(tmp_path / "out")
    card = written.pop("README.md").decode()
    assert json.loads(written.pop("export.json")) == json.loads(json.dumps(about))
    assert set(about["files"]) == set(written) == {
        "classes.json", "places.parquet", "pool.json", "reading.json",
        *(f"{part}/{file}" for part in ("image_head", "image_network", "location_classifier", "location_encoder")
          for file in ("config.json", "model.safetensors")),
    }  # fmt: skip
    for name, content in written.items():
        digest = hashlib.sha256(content).hexdigest()
        assert about["files"][name] == {"bytes": len(content), "sha256": digest}
        assert f"| `{name}` | {len(content):,} | `{digest}` |" in card
    assert export(project, tmp_path / "again", onnx=False) == about
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


def test_metrics_are_those_of_the_model(evaluated, tmp_path):
    about = export(evaluated, tmp_path / "out", label_ratio=0.5, onnx=False)
    summary = json.loads((evaluated / "reports" / "scores.json").read_text())
    found = about["metrics"]
    assert found["seeds"] == list(SEEDS)
    assert list(found["scores"]) == ["test", "spatial_test"]
    for role, models in found["scores"].items():
        assert list(models) == ["location"]  # there is no image network in the folder
        for metric in ("top1", "nll", "ece"):
            assert models["location"][metric] == summary[role]["label_50"]["location"][metric]
        both = [export(evaluated, tmp_path / f"{role}{seed}", seed=seed, label_ratio=0.5, onnx=False) for seed in SEEDS]
        of_seeds = [one["metrics"]["scores"][role]["location"]["this_seed"] for one in both]
        assert np.mean(of_seeds) == pytest.approx(models["location"]["top1"]["mean"], abs=1e-3)
    card = (tmp_path / "out" / "README.md").read_text()
    top1 = found["scores"]["test"]["location"]["top1"]
    assert f"| test | location | {top1['mean']:.2f} ({top1['sd']:.2f}) |" in card
    [entry] = front_matter(card)["model-index"]
    assert entry["results"][0]["metrics"][0]["value"] == pytest.approx(top1["mean"] / 100, abs=1e-6)
    assert "This is the model of seed 0 at 50 % of the labels." in card


def test_metrics_of_other_models_are_left_out(evaluated, tmp_path):
    """Models that were trained anew, and numbers of another run."""
    other, folder = evaluated / "artifacts" / "finetune_loc" / "seed_1" / "label_100", "artifacts/finetune_loc/seed_0/label_100"
    kept = shutil.copytree(evaluated / folder, tmp_path / "kept")
    shutil.rmtree(evaluated / folder)
    shutil.copytree(other, evaluated / folder)
    about = export(evaluated, tmp_path / "a", onnx=False)
    assert about["metrics"] == {}
    assert "Metrics: those in reports are of another run (dvc repro evaluate)." in about["lacking"]
    assert "## Metrics" not in (tmp_path / "a" / "README.md").read_text()
    shutil.rmtree(evaluated / folder)
    shutil.copytree(kept, evaluated / folder)
    assert export(evaluated, tmp_path / "b", onnx=False)["metrics"]
    file = evaluated / "reports" / "scores.json"
    summary = json.loads(file.read_text())
    summary["test"]["label_100"]["combined"]["top1"]["mean"] += 1
    file.write_text(json.dumps(summary))
    assert export(evaluated, tmp_path / "c", onnx=False)["metrics"] == {}


def test_the_card_says_whose_data_and_what_is_not_there(evaluated, tmp_path):
    about = export(evaluated, tmp_path / "out", onnx=False)
    card = (tmp_path / "out" / "README.md").read_text()
    matter = front_matter(card)
    assert (matter["license"], matter["library_name"], matter["pipeline_tag"]) == ("unknown", "cspops", "feature-extraction")
    assert "Licence of the data: not stated." in card
    assert "the data came with image features" in card
    assert (about["data"]["observations"], about["data"]["training_rows"], about["data"]["labelled_rows"]) == (60, 20, 20)
    west, south, east, north = about["data"]["box"]
    assert -180 <= west < east < 180
    assert -90 <= south < north <= 90
    assert f"{west:g} to {east:g} degrees of longitude, {south:g} to {north:g} of latitude" in card
    assert '| `image_encoder.weights` | `"file:net.pt"` |' in card
    assert "`seeds`" not in card


@pytest.mark.parametrize(
    ("source", "licence", "says"),
    [
        ("blue_marble", {"license": "apache-2.0"}, "public domain (NASA"),
        ("inat2018", {"license": "other", "license_name": "non-commercial"}, "Non-commercial research and education only"),
        (
            "fmow",
            {"license": "other", "license_name": "non-commercial"},
            "Functional Map of the World Challenge Public License",
        ),
    ],
)
def test_the_licence_of_published_data(evaluated, tmp_path, source, licence, says):
    file = evaluated / "artifacts" / "download" / "stage.json"
    file.write_text(json.dumps({"params": {"dataset.source": source}, "files": {}}))
    export(evaluated, tmp_path / "out", onnx=False)
    card = (tmp_path / "out" / "README.md").read_text()
    assert licence.items() <= front_matter(card).items()
    assert says in card


def test_the_licences_of_the_sample_are_those_beside_it():
    beside = " ".join(SAMPLE_README.read_text().split())
    for phrase in (
        "public domain (NASA Earth Observatory",
        "BSD 3-clause",
        "doi 10.1127/metz/2016/0816",
        "Stoeckli, R., Vermote",
    ):
        assert phrase in beside
        assert phrase in f"{SAMPLE['licence']} {SAMPLE['citation']}"


def test_weights_of_others_have_a_licence_of_their_own(project, tmp_path):
    file = project / "artifacts" / "pretrain_img" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"weights": "pretrained"}))
    (project / "artifacts" / "download" / "stage.json").write_text(
        json.dumps({"params": {"dataset.source": "blue_marble"}, "files": {}})
    )
    export(project, tmp_path / "out", onnx=False)
    card = (tmp_path / "out" / "README.md").read_text()
    assert front_matter(card)["license"] == "unknown"
    assert "started from published weights (`timm:test_resnet`)" in card


@pytest.mark.parametrize(
    ("only", "parts"), [("encoder", {"location_encoder"}), ("location", {"location_encoder", "location_classifier"})]
)
def test_a_part_alone(project, tmp_path, only, parts):
    about = export(project, tmp_path / "out", only=only, onnx=False)
    assert {name.split("/")[0] for name in about["files"] if "/" in name} == parts
    assert about["lacking"][0] == f"All other parts: `--only {only}` left them out."
    places = [[8.54, 47.37]]
    assert np.array_equal(cspops.load(tmp_path / "out").encode_location(places), cspops.load(project).encode_location(places))


def test_models_of_one_stage(project, tmp_path):
    pretrained = export(project / "artifacts/pretrain/seed_1", tmp_path / "a", onnx=False)
    assert (pretrained["stage"], pretrained["seed"], pretrained["classes"]) == ("pretrain", 1, None)
    assert "saw no label" in (tmp_path / "a" / "README.md").read_text()
    classifier = export(project / "artifacts/finetune_loc/seed_0/label_5", tmp_path / "b", onnx=False)
    assert (classifier["stage"], classifier["label_ratio"], classifier["classes"]) == ("finetune_loc", 0.05, 3)
    assert cspops.load(tmp_path / "b").classes == ("beech", "fir", "oak")
    assert any("this is a model of locations only" in one for one in classifier["lacking"])


def test_released_predictions_and_no_evaluation(project, tmp_path):
    folder = project / "artifacts" / "finetune_img" / "seed_0" / "label_100"
    (folder / "config.json").unlink()
    shutil.rmtree(project / "artifacts" / "evaluate")
    about = export(project, tmp_path / "out", onnx=False)
    assert "Image classifier: P(y|I) are predictions that came with the data." in about["lacking"]
    assert any(one.startswith("Pool of image, location and labelled neighbours: stage") for one in about["lacking"])
    assert cspops.load(tmp_path / "out").encode_image([Image.new("RGB", (32, 32))]).shape[0] == 1
    shutil.rmtree(project / "artifacts" / "pretrain_img")
    (folder / "released.npz").touch()
    origin = origin_of(project, seed=None, label_ratio=None)
    assert any("came with the data" in one for one in lacking(origin, cspops.load(project)))


def test_a_fusion_is_named_as_not_included(project):
    origin, model = origin_of(project, seed=None, label_ratio=None), cspops.load(project)
    assert not any(one.startswith("Fusion") for one in lacking(origin, model))
    (project / "artifacts" / "finetune_loc" / origin.piece / "fusion").mkdir()
    assert any(one.startswith("Fusion of image and place") for one in lacking(origin, model))


def test_nothing_is_overwritten_but_an_export(project, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter").write_text("dear")
    for force in (True, False):
        with pytest.raises(DataError, match="not made by cspops export"):
            export(project, home, onnx=False, force=force)
    assert contents(home) == {"letter": b"dear"}
    out = tmp_path / "out"
    export(project, out, onnx=False)
    with pytest.raises(DataError, match="exists already"):
        export(project, out, onnx=False)
    export(project, out, only="encoder", onnx=False, force=True)
    assert not (out / "image_network").exists()
    (out / ".git").mkdir()
    (out / ".git" / "HEAD").write_text("ref")
    with pytest.raises(DataError, match=r"holds \.git/HEAD, which cspops export did not write"):
        export(project, out, onnx=False, force=True)
    with pytest.raises(DataError, match="an exported folder already"):
        export(out, tmp_path / "copy", onnx=False)


IMAGES = [Image.fromarray(np.random.default_rng(n).integers(0, 256, (40, 48, 3), dtype=np.uint8)) for n in range(3)]
LONLAT = [[8.1, 47.1], [100.0, -10.0], [np.nan, np.nan]]


def test_an_export_keeps_the_pool_and_its_places_and_says_what_they_tell(project, tmp_path):
    about = export(project, tmp_path / "out", onnx=False)
    assert about["pool"]["places"] == 3
    assert not any("abelled places" in one for one in about["lacking"])
    expected = cspops.load(project).predict_proba(IMAGES, LONLAT)
    assert np.array_equal(cspops.load(tmp_path / "out").predict_proba(IMAGES, LONLAT), expected)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "`places.parquet` holds the positions and classes of 3 labelled training rows" in card


@pytest.mark.parametrize(
    ("contents", "most", "why"),
    [({"places": False}, 10, "`--without-places` left them out"), ({}, 2, "there are 3, more than 2")],
)
def test_labelled_places_can_be_left_out_and_are_where_they_are_many(project, tmp_path, monkeypatch, contents, most, why):
    monkeypatch.setattr(exported_folder, "MOST_PLACES", most)
    about = export(project, tmp_path / "out", onnx=False, **contents)
    assert f"Labelled places: {why}. The pool counts no neighbours and weighs image and place as far" in str(about["lacking"])
    assert about["pool"]["places"] == 0
    again = cspops.load(tmp_path / "out")
    image, location = (again.predict_proba(IMAGES, LONLAT, combine=one) for one in ("image", "location"))
    far = image[:2] ** POOL.image[1] * location[:2] ** POOL.place[1]
    np.testing.assert_allclose(again.predict_proba(IMAGES, LONLAT)[:2], far / far.sum(1, keepdims=True), rtol=1e-9)
    assert "The labelled places are not in this folder" in (tmp_path / "out" / "README.md").read_text()
    assert pq.read_metadata(tmp_path / "out" / "places.parquet").num_rows == 0


def test_a_pool_without_its_places_has_not_the_metrics_of_the_run(evaluated):
    origin, model = origin_of(evaluated, seed=0, label_ratio=0.5), cspops.load(evaluated, seed=0, label_ratio=0.5)
    model = replace(model, image=object())  # one that sees images
    assert "pool" in metrics_of(origin, model)[0]["scores"]["test"]
    assert list(metrics_of(origin, replace(model, places=None))[0]["scores"]["test"]) == ["image", "location", "combined"]


def test_the_onnx_file_has_no_pool_of_many_places(project, tmp_path, monkeypatch):
    monkeypatch.setattr(exported_folder, "MOST_PLACES_IN_ONNX", 2)
    about = export(project, tmp_path / "out")
    assert list(about["onnx"]["combined.onnx"]) == ["probabilities", "image_probabilities", "location_probabilities"]
    assert "The pool in the ONNX files: there are more than 2 labelled places." in about["lacking"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert 'session.run(["probabilities"]' in card and "pool_probabilities" not in card


def test_a_failure_leaves_nothing(project, tmp_path, monkeypatch):
    out = tmp_path / "new" / "out"
    export(project, tmp_path / "old", only="encoder", onnx=False)
    before = contents(tmp_path / "old")

    def refused(*_, **__):
        raise CspopsError("the location encoder cannot be written as ONNX: no", hint="--no-onnx leaves the ONNX files out")

    monkeypatch.setattr(exported_folder, "_write_onnx", refused)
    for target, force in ((out, False), (tmp_path / "old", True)):
        with pytest.raises(CspopsError, match="cannot be written as ONNX"):
            export(project, target, force=force)
    assert list(out.parent.iterdir()) == []
    assert contents(tmp_path / "old") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old", "project"]


def test_the_command(project, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project)
    assert command("export", "--out", "out", "--no-onnx", at=monkeypatch) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "out"
    assert "image_network/model.safetensors" in said.out
    assert "not included: ONNX files: --no-onnx left them out." in said.err
    assert "in places.parquet: 3 labelled places, which say where training images were taken; --without-places" in said.err
    assert command("export", "--out", "out", "--no-onnx", at=monkeypatch) == 3
    assert capsys.readouterr().err == "error: out exists already\nhint: --force replaces it, --out FOLDER names another\n"
    assert command("export", "--out", "out", "--no-onnx", "--force", "--json", at=monkeypatch) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((project / "out" / "export.json").read_text())
    assert command("export", "--out", "out", "--no-onnx", "--force", "--without-places", at=monkeypatch) == 0
    assert "not included: Labelled places: --without-places left them out" in capsys.readouterr().err
    assert command("export", "--out", "more", "--no-onnx", "--seed", "7", at=monkeypatch) == 2
    assert "has no seed 7: it has 0, 1" in capsys.readouterr().err
    monkeypatch.setattr("cspops.library.onnx.writing.find_spec", lambda name: None)
    assert command("export", "--out", "more", at=monkeypatch) == 4
    assert "pip install 'cspops[export]', or --no-onnx leaves" in capsys.readouterr().err
    assert not (project / "more").exists()
