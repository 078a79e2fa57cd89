"""pretrain-img on small sets: which images it sees, where they are kept, and given features."""

import hashlib
import json
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from image_sites import photos, site
from PIL import Image
from safetensors.torch import load_file
from unlabelled import unlabelled

from cspops.errors import DataError, EnvironmentProblem
from cspops.imagessl.images import Pretrained
from cspops.imagessl.methods import METHODS
from cspops.imagessl.moco import moco
from cspops.models.backbones import build_image_network
from cspops.params import load
from cspops.params.graph import PretrainImgView
from cspops.pipeline import pixels as pixels_module
from cspops.pipeline import pretrain_img
from cspops.pipeline.pieces import Shards
from cspops.pipeline.pixels import Squares
from cspops.training.curves import read_curve
from cspops.training.loop import Run

ROOT = Path(__file__).parents[2]
N = 20
TRAIN = [row % 3 != 1 for row in range(N)]


def view(method="moco", encoder=None, **changes):
    """The defaults of a method, with two epochs of small batches; ``encoder`` changes `image_encoder`."""
    params = load(ROOT / "params.yaml")
    encoder = params.image_encoder.model_copy(update={"model": "timm:test_resnet", "px": 32} | (encoder or {}))
    settings = getattr(params.pretrain_img.methods, method)
    small = {"epochs": 2, "batch_size": 7, "queue": 4} | changes
    known = {key: value for key, value in small.items() if key in type(settings).model_fields}
    return PretrainImgView(image_encoder=encoder, method=method, settings=settings.model_copy(update=known))


def captures():
    """Positions, places and dates of `N` rows: pairs of images of one place, a year apart, on land of several climates."""
    return {
        "lonlat": [(10 + row // 2 * 8.0, 45 - row // 2 * 4.0) for row in range(N)],
        "place": [f"place {row // 2}" for row in range(N)],
        "captured_at": [1_600_000_000_000 + row % 2 * 31_536_000_000 for row in range(N)],
    }


def test_the_pixels_are_those_of_the_training_rows_in_order(tmp_path, monkeypatch, said):
    """40 x 48 pixels, centre squares of 40. Files of other roles are not even opened."""
    monkeypatch.setattr(pixels_module, "SHARD", 5)
    paths = photos(tmp_path / "raw", N)
    at = site(tmp_path, paths=paths, train=TRAIN, workers="2")
    expected = [
        np.asarray(Image.open(tmp_path / "raw" / path))[:, 4:44] for path, train in zip(paths, TRAIN, strict=True) if train
    ]
    for path, train in zip(paths, TRAIN, strict=True):
        if not train:
            (tmp_path / "raw" / path).unlink()
    pixels = pretrain_img.role_pixels("train", Squares(40), at)
    assert pixels.dtype == torch.uint8
    assert np.array_equal(pixels.numpy(), np.stack(expected))
    n = len(expected)
    assert said == [f"pretrain-img: {min(stop, n)} of {n} images decoded" for stop in (5, 10, 15)]
    assert np.array_equal(np.load(at.scratch / "pixels.npy"), pixels)


def test_decoding_continues_where_it_was_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(pixels_module, "SHARD", 6)
    paths = photos(tmp_path / "raw", N)
    at = site(tmp_path, paths=paths)
    good = (tmp_path / "raw" / paths[8]).read_bytes()
    (tmp_path / "raw" / paths[8]).write_bytes(b"")
    with pytest.raises(DataError, match=r"photos/8\.png cannot be used: image file is empty"):
        pretrain_img.role_pixels("train", Squares(40), at)
    (tmp_path / "raw" / paths[8]).write_bytes(good)
    done = np.asarray(Image.open(tmp_path / "raw" / paths[0]))[:, 4:44]
    (tmp_path / "raw" / paths[0]).unlink()
    pixels = pretrain_img.role_pixels("train", Squares(40), at)
    assert np.array_equal(pixels[0], done)
    assert pixels.flatten(1).max(1).values.min() > 0
    assert Shards(at.scratch, N, 6).left() == []


@pytest.mark.parametrize("keep", [None, 0, 50, 200])
def test_decoded_images_that_are_missing_or_cut_are_decoded_again(tmp_path, keep):
    paths = photos(tmp_path / "raw", N)
    at = site(tmp_path, paths=paths)
    whole = pretrain_img.role_pixels("train", Squares(40), at).clone()
    file = at.scratch / "pixels.npy"
    content = file.read_bytes()
    file.unlink()
    if keep is not None:
        file.write_bytes(content[:keep])
    assert torch.equal(pretrain_img.role_pixels("train", Squares(40), at), whole)


def test_a_disk_without_room_is_said_before_anything_is_decoded(tmp_path, monkeypatch, said):
    at = site(tmp_path, paths=["missing.png"] * N)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(pixels_module.shutil, "disk_usage", lambda folder: usage(10**6, 0, N * 40 * 40 * 3 - 1))
    with pytest.raises(
        EnvironmentProblem, match=rf"{N} training images of 40 px take {N * 4800} bytes, and .* has {N * 4800 - 1} free"
    ):
        pretrain_img.role_pixels("train", Squares(40), at)
    assert not list(at.scratch.iterdir())


@pytest.mark.parametrize("seed", [0, 1])
def test_it_trains_on_them_as_if_they_were_in_memory(tmp_path, seed):
    paths = photos(tmp_path / "raw", N, side=32)
    at = site(tmp_path, paths=paths, train=TRAIN)
    asked = view(encoder={"seed": seed})
    pretrain_img.run(asked, at)
    curve = read_curve(at.reports / "curves" / "pretrain_img.tsv")
    assert [row["epoch"] for row in curve] == [1, 2]
    chosen = [path for path, train in zip(paths, TRAIN, strict=True) if train]
    pixels = np.stack([np.asarray(Image.open(tmp_path / "raw" / path))[:, 4:36] for path in chosen])
    network = build_image_network("timm:test_resnet", pretrained=False, px=32, seed=seed)
    moco(network, unlabelled(torch.from_numpy(pixels)), asked.settings, Run(seed, torch.device("cpu")))
    made = load_file(at.out / "model.safetensors")
    assert made.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(made[name], tensor), name


@pytest.mark.parametrize("method", METHODS)
def test_no_method_reads_a_label(tmp_path, method):
    """With the labels of all rows permuted, and a class more, the weights are the same to the byte; so are curve and facts."""
    made = []
    for number, label in enumerate(([row % 4 for row in range(N)], [(row * 7 + 1) % 5 for row in range(N)])):
        folder = tmp_path / str(number)
        folder.mkdir()
        at = site(folder, paths=photos(folder / "raw", N, side=32), label=label, **captures())
        pretrain_img.run(view(method, epochs=1), at)
        assert [row["epoch"] for row in read_curve(at.reports / "curves" / "pretrain_img.tsv")] == [1]
        assert json.loads((at.reports / "pretrain_img.json").read_text())["method"] == method
        files = ("model.safetensors", "config.json", "reports/pretrain_img.json", "reports/curves/pretrain_img.tsv")
        made.append([(at.out / file).read_bytes() for file in files])
    assert made[0] == made[1]


def test_it_trains_on_whole_squares_whatever_the_crop_is(tmp_path, monkeypatch):
    """Of 40 x 48 pixels the middle 40, resized as asked for; the network's config keeps the crop for featurize."""
    paths = photos(tmp_path / "raw", N)
    at = site(tmp_path, paths=paths)
    seen = []

    def stopped(network, images, *args):
        seen.append(images.pixels.numpy().copy())
        return Pretrained([])

    monkeypatch.setitem(METHODS, "moco", stopped)
    pretrain_img.run(view(encoder={"crop": 0.5, "interpolation": "bilinear"}), at)
    whole = [Image.open(tmp_path / "raw" / path) for path in paths]
    expected = [image.resize((32, 32), Image.Resampling.BILINEAR, box=(4, 0, 44, 40)) for image in whole]
    assert np.array_equal(seen[0], np.stack(expected))
    config = json.loads((at.out / "config.json").read_text())
    assert (config["px"], config["crop"], config["interpolation"]) == (32, 0.5, "bilinear")
    assert config["weights"] == "random"


@pytest.mark.parametrize("named", ["relative", "absolute", "at home"])
def test_weights_of_a_file_are_taken_and_said(tmp_path, monkeypatch, named, said):
    """A path is relative to the folder that stages run in, the project's."""
    theirs = build_image_network("timm:test_resnet", pretrained=False, px=32, seed=5).network
    (tmp_path / "weights").mkdir()
    file = tmp_path / "weights" / "mine.pth"
    torch.save({"state_dict": theirs.state_dict() | {"fc.weight": torch.ones(3, 4)}}, file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = {"relative": "weights/mine.pth", "absolute": str(file), "at home": "~/weights/mine.pth"}[named]
    at = site(tmp_path, paths=["not opened.png"] * 3)
    pretrain_img.run(view("none", encoder={"weights": f"file:{path}"}), at)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert said == [f"pretrain-img: weights of {path}, sha256 {sha256[:12]}; left out: fc.*"]
    config = json.loads((at.out / "config.json").read_text())
    assert config["weights"] == {"file": "mine.pth", "sha256": sha256, "left_out": ["fc.*"]}
    made = load_file(at.out / "model.safetensors")
    assert {name: made[f"network.{name}"].equal(tensor) for name, tensor in theirs.state_dict().items()} == dict.fromkeys(
        theirs.state_dict(), True
    )


def test_without_the_file_it_says_so(tmp_path):
    with pytest.raises(DataError, match=r"none\.pth is missing") as caught:
        pretrain_img.run(view("none", encoder={"weights": f"file:{tmp_path}/none.pth"}), site(tmp_path, paths=["a.png"]))
    assert "image_encoder.weights" in caught.value.hint


@pytest.mark.parametrize("method", ["moco", "none"])
def test_given_features_need_no_network(tmp_path, method, said):
    (tmp_path / "raw").mkdir()
    np.save(tmp_path / "raw" / "a.npy", np.ones((20, 5), np.float32))
    at = site(tmp_path, given=[("a.npy", row) for row in range(4)])
    pretrain_img.run(view(method), at)
    assert json.loads((at.out / "config.json").read_text()) == {"model": "given features", "dim": 5}
    assert {file.name for file in at.out.iterdir()} == {"config.json", "reports"}
    assert (at.reports / "curves" / "pretrain_img.tsv").read_text() == "epoch\ttotal\n"
    assert said == ["pretrain-img: the data set comes with 5 image features: no network is made"]


def test_features_for_some_only(tmp_path):
    (tmp_path / "raw").mkdir()
    np.save(tmp_path / "raw" / "a.npy", np.ones((20, 5), np.float32))
    with pytest.raises(DataError, match="1 observations come with image features and 2 without"):
        pretrain_img.run(view(), site(tmp_path, given=[("a.npy", 0), None, None]))
