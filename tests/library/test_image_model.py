"""Images as callers have them, to features and probabilities."""

import numpy as np
import pytest
import torch
from image_files import encoded
from location_runs import POOL, write_run
from PIL import Image

import cspops
from cspops.errors import DataError
from cspops.library import image_model
from cspops.models.backbones import build_image_network
from cspops.models.checkpoint import load_config, load_weights, save_model
from cspops.models.heads import ImageHead, LinearProbe


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "artifacts"
    write_run(folder)
    return folder


def picture(seed: int = 0, side: int = 40) -> Image.Image:
    draws = np.random.default_rng(seed)
    return Image.fromarray(draws.integers(0, 256, (side, side + 8, 3), dtype=np.uint8))


def test_all_kinds_of_one_image_have_the_same_features(artifacts, tmp_path):
    model, image = cspops.load(artifacts), picture()
    image.save(tmp_path / "a.png")
    expected = model.encode_image([image])
    assert expected.shape == (1, model.image.network.dim)
    for kind in (str(tmp_path / "a.png"), tmp_path / "a.png", encoded(image), np.asarray(image)):
        assert np.array_equal(model.encode_image([kind]), expected)
    assert np.array_equal(model.encode_image(np.asarray(image)[None]), expected)
    assert torch.equal(model.encode_image(torch.from_numpy(np.array(image))[None]), torch.from_numpy(expected))


def test_features_are_those_of_the_network_on_the_centre_square(artifacts):
    """40 x 48 pixels: the middle 40, bicubic to 32, then the network; rounded to float16 as stage featurize does."""
    model, image = cspops.load(artifacts), picture()
    square = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC, box=(4, 0, 44, 40)))
    with torch.inference_mode():
        expected = model.image.network(torch.from_numpy(square.copy())[None]).half().float()
    assert np.array_equal(model.encode_image([image]), expected.numpy())


def test_batches_change_nothing(artifacts, monkeypatch):
    model, images = cspops.load(artifacts), [picture(seed) for seed in range(5)]
    whole = model.encode_image(images)
    monkeypatch.setattr(image_model, "BATCH", 2)
    np.testing.assert_allclose(model.encode_image(images), whole, rtol=2e-3, atol=1e-3)
    assert model.encode_image([]).shape == (0, model.image.network.dim)


def test_the_product_is_that_of_the_two_models(artifacts):
    model, images = cspops.load(artifacts), [picture(seed) for seed in range(3)]
    lonlat = np.array([[8.5, 47.4], [np.nan, np.nan], [-70.0, -33.0]])
    image, location = (model.predict_proba(images, lonlat, combine=one) for one in ("image", "location"))
    product = image * location
    both = model.predict_proba(images, lonlat, combine="product")
    np.testing.assert_allclose(both, product / product.sum(1, keepdims=True), rtol=1e-9)
    np.testing.assert_allclose(both[1], image[1])
    weights, _ = model.trust(torch.from_numpy(lonlat))
    place = model.place_log_p(torch.from_numpy(lonlat)).exp()
    pooled = (torch.from_numpy(image) ** weights[:, :1] * place ** weights[:, 1:]).numpy()
    assert weights[1].tolist() == [POOL.image_alone, 0]
    np.testing.assert_allclose(model.predict_proba(images, lonlat), pooled / pooled.sum(1, keepdims=True), rtol=1e-9)
    alone = image**POOL.image_alone
    np.testing.assert_allclose(model.predict_proba(images), alone / alone.sum(1, keepdims=True), rtol=1e-9)


def test_a_fine_tuned_network_goes_before_the_frozen_one(artifacts, tmp_path):
    import shutil

    shutil.copytree(artifacts, tmp_path / "artifacts")
    folder = tmp_path / "artifacts" / "finetune_img" / "seed_0" / "label_100"
    tuned = build_image_network("timm:test_resnet", pretrained=False, px=32, seed=9)
    save_model(folder / "network", tuned, tuned.config)
    head = ImageHead(tuned.dim, 3)
    save_model(folder, head, head.config)
    frozen, model = cspops.load(artifacts), cspops.load(tmp_path)
    assert isinstance(frozen.image.head, LinearProbe)
    assert isinstance(model.image.head, ImageHead)
    assert not np.allclose(model.encode_image([picture()]), frozen.encode_image([picture()]))
    again = build_image_network("timm:test_resnet", pretrained=False, px=32, seed=1)
    load_weights(folder / "network", again, remake="")
    assert load_config(folder / "network", remake="") == again.config | {"weights": "random"}


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (["missing.png"], r"image missing\.png cannot be used"),
        ([b"no image"], "image number 0 cannot be used"),
        ([3], "image number 0 is a int"),
        ("a.png", "images are one str, not a list"),
        (np.zeros((2, 4, 4, 3)), "images are float64 of shape"),
        (np.zeros((4, 4, 3), np.uint8), r"images are uint8 of shape \(4, 4, 3\)"),
    ],
)
def test_what_is_no_image_is_named(artifacts, tmp_path, monkeypatch, images, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=says):
        cspops.load(artifacts).encode_image(images)


def test_numbers_of_images_and_positions_must_agree(artifacts):
    with pytest.raises(DataError, match="1 images and 2 positions"):
        cspops.load(artifacts).predict_proba([picture()], [[8.5, 47.4], [9.0, 47.0]])
