"""featurize on small sets: images by path, workers, resuming, given features."""

import json

import numpy as np
import pytest
import torch
from image_sites import photos, site
from PIL import Image

from cspops.data.features import FeatureFile
from cspops.errors import CspopsError, DataError
from cspops.models.backbones import build_image_network
from cspops.models.checkpoint import save_model
from cspops.params.graph import FeaturizeView
from cspops.pipeline import featurize
from cspops.pipeline.pieces import Shards
from cspops.pixels.reading import Reading

N = 20


def network():
    return build_image_network("timm:test_resnet", pretrained=False, px=32, seed=0).eval()


def run(at):
    featurize.run(FeaturizeView(), at)
    rows = json.loads((at.out / "features.json").read_text())["rows"]
    return FeatureFile(at.out).read([f"o{row}" for row in range(rows)])


def test_row_i_holds_the_features_of_image_i_whatever_decodes_it(tmp_path, monkeypatch, said):
    """Batches of 4 in shards of 8. The catalogue crops every image to the same square, 32 of 40 x 48 pixels."""
    monkeypatch.setattr(featurize, "SHARD", 8)
    monkeypatch.setattr(featurize, "BATCH", 4)
    paths = photos(tmp_path / "data_root" / "set", N)
    crops = [{"left": 3, "top": 5, "right": 35, "bottom": 37}] * N
    outputs = []
    for workers in ("0", "2"):
        folder = tmp_path / workers
        folder.mkdir()
        (folder / "data_root").symlink_to(tmp_path / "data_root")
        said.clear()
        at = site(folder, paths=paths, crops=crops, reading=Reading("data_root", "set"), workers=workers)
        save_model(at.inputs["pretrain-img"], network(), network().config)
        outputs.append(np.array(run(at)))
        assert said == [f"featurize: {stop} of {N} images" for stop in (8, 16, 20)]
    images = [np.asarray(Image.open(tmp_path / "data_root/set" / path))[5:37, 3:35] for path in paths]
    with torch.inference_mode():
        expected = torch.cat([network()(torch.from_numpy(np.stack(images[i : i + 4]))) for i in range(0, N, 4)])
    assert np.array_equal(outputs[0], expected.half().numpy())
    assert np.array_equal(outputs[0], outputs[1])


@pytest.mark.parametrize("workers", ["0", "1"])
def test_images_are_prepared_as_the_networks_config_says(tmp_path, workers):
    """40 x 48 pixels, of which the middle 32 stay: four fifths of 40."""
    paths = photos(tmp_path / "raw", 6)
    at = site(tmp_path, paths=paths, workers=workers)
    save_model(at.inputs["pretrain-img"], network(), network().config | {"crop": 0.8, "interpolation": "bilinear"})
    matrix = np.array(run(at))
    images = [np.asarray(Image.open(tmp_path / "raw" / path))[4:36, 8:40] for path in paths]
    with torch.inference_mode():
        assert np.array_equal(matrix, network()(torch.from_numpy(np.stack(images))).half().numpy())


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_images_are_resized_as_the_networks_config_says(tmp_path, interpolation):
    paths = photos(tmp_path / "raw", 4)
    at = site(tmp_path, paths=paths)
    save_model(at.inputs["pretrain-img"], network(), network().config | {"interpolation": interpolation})
    matrix = np.array(run(at))
    kind = Image.Resampling[interpolation.upper()]
    images = [Image.open(tmp_path / "raw" / path).resize((32, 32), kind, box=(4, 0, 44, 40)) for path in paths]
    with torch.inference_mode():
        assert np.array_equal(matrix, network()(torch.from_numpy(np.stack(images))).half().numpy())


def test_a_network_of_before_crops_gives_what_it_gave(tmp_path):
    paths = photos(tmp_path / "raw", 4)
    at = site(tmp_path, paths=paths)
    old = {name: network().config[name] for name in ("model", "px", "mean", "sd")}
    save_model(at.inputs["pretrain-img"], network(), old)
    matrix = np.array(run(at))
    images = [
        Image.open(tmp_path / "raw" / path).resize((32, 32), Image.Resampling.BICUBIC, box=(4, 0, 44, 40)) for path in paths
    ]
    with torch.inference_mode():
        assert np.array_equal(matrix, network()(torch.from_numpy(np.stack(images))).half().numpy())


def test_a_broken_image_stops_it_and_what_was_done_before_is_kept(tmp_path, monkeypatch, said):
    monkeypatch.setattr(featurize, "SHARD", 8)
    paths = photos(tmp_path / "raw", N)
    at = site(tmp_path, paths=paths)
    save_model(at.inputs["pretrain-img"], network(), network().config)
    good = (tmp_path / "raw" / paths[11]).read_bytes()
    (tmp_path / "raw" / paths[11]).write_bytes(good[:200])
    with pytest.raises(DataError, match=r"photos/11\.png cannot be used: image ends before it should"):
        run(at)
    assert not list(at.out.iterdir())
    (tmp_path / "raw" / paths[11]).write_bytes(good)
    (tmp_path / "raw" / paths[0]).unlink()  # of the shard that is done
    matrix = np.array(run(at))
    assert said == [f"featurize: {stop} of {N} images" for stop in (8, 16, 20)]
    assert (np.abs(matrix).max(1) > 0).all()


@pytest.mark.parametrize("broken", ["features.npy", "features.json"])
@pytest.mark.parametrize("keep", [None, 0, 100])
def test_features_that_are_missing_or_cut_are_computed_again(tmp_path, monkeypatch, broken, keep):
    monkeypatch.setattr(featurize, "SHARD", 8)
    at = site(tmp_path, paths=photos(tmp_path / "raw", N))
    save_model(at.inputs["pretrain-img"], network(), network().config)
    whole = np.array(run(at))
    file = at.scratch / broken
    content = file.read_bytes()
    file.unlink()
    if keep is not None:
        file.write_bytes(content[:keep])
    assert np.array_equal(run(at), whole) and whole.any()


def test_features_beyond_float16_are_refused(tmp_path):
    at = site(tmp_path, paths=photos(tmp_path / "raw", 2))
    wild = network()
    for parameter in wild.parameters():
        parameter.data *= 1e9
    save_model(at.inputs["pretrain-img"], wild, wild.config)
    with pytest.raises(CspopsError, match="features of rows 0 to 2 leave the range of float16"):
        run(at)


def given_site(tmp_path, given, **about):
    (tmp_path / "raw").mkdir()
    np.save(tmp_path / "raw" / "a.npy", np.arange(60, dtype=np.float32).reshape(20, 3))
    at = site(tmp_path, given=given, **about)
    (at.inputs["pretrain-img"] / "config.json").write_text('{"model": "given features", "dim": 3}')
    return at


def test_given_features_are_copied(tmp_path, monkeypatch, said):
    monkeypatch.setattr(featurize, "SHARD", 8)
    rows = np.random.default_rng(0).permutation(N)
    at = given_site(tmp_path, [("a.npy", int(row)) for row in rows])
    assert np.array_equal(run(at), 3 * rows[:, None] + np.arange(3))
    assert said == [f"featurize: {stop} of {N} rows of given features" for stop in (8, 16, 20)]


def test_a_network_of_another_data_set_is_refused(tmp_path):
    at = given_site(tmp_path, [("a.npy", 0)])
    (at.inputs["pretrain-img"] / "config.json").write_text('{"model": "timm:test_resnet", "px": 32}')
    with pytest.raises(DataError, match="was made for another data set") as caught:
        run(at)
    assert caught.value.hint == "dvc repro pretrain-img"


def test_shards_that_are_done_are_left_out(tmp_path):
    shards = Shards(tmp_path, 10, 4)
    assert shards.left() == [range(4), range(4, 8), range(8, 10)]
    shards.finish(range(4, 8))
    assert Shards(tmp_path, 10, 4).left() == [range(4), range(8, 10)]
    assert Shards(tmp_path, 0, 4).left() == []
