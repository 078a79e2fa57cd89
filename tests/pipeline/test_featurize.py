"""featurize on small sets: images by path, workers, resuming, jobs that share the work, given features."""

import json
import multiprocessing
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from image_sites import photos, site
from PIL import Image

from cspops.data import features
from cspops.data.features import read_features
from cspops.errors import CspopsError, DataError, EnvironmentProblem
from cspops.host import Host
from cspops.models.backbones import build_image_network
from cspops.models.checkpoint import save_model
from cspops.params.graph import FeaturizeView
from cspops.pipeline import featurize
from cspops.pixels.reading import Reading

N = 20


def network():
    return build_image_network("timm:test_resnet", pretrained=False, px=32, seed=0).eval()


def run(at):
    featurize.run(FeaturizeView(), at)
    rows = json.loads((at.out / "index.json").read_text())["rows"]
    return read_features(at.out, [f"o{row}" for row in range(rows)])[:]


def test_row_i_holds_the_features_of_image_i_whatever_decodes_it(tmp_path, monkeypatch, said):
    """Batches of 4 in blocks of 8. The catalogue crops every image to the same square, 32 of 40 x 48 pixels."""
    monkeypatch.setattr(featurize, "BLOCK", 8)
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
    monkeypatch.setattr(featurize, "BLOCK", 8)
    paths = photos(tmp_path / "raw", N)
    at = site(tmp_path, paths=paths)
    save_model(at.inputs["pretrain-img"], network(), network().config)
    good = (tmp_path / "raw" / paths[11]).read_bytes()
    (tmp_path / "raw" / paths[11]).write_bytes(good[:200])
    with pytest.raises(DataError, match=r"photos/11\.png cannot be used: image ends before it should"):
        run(at)
    assert not list(at.out.iterdir())
    (tmp_path / "raw" / paths[11]).write_bytes(good)
    (tmp_path / "raw" / paths[0]).unlink()  # of the block that is done
    matrix = np.array(run(at))
    assert said == [f"featurize: {stop} of {N} images" for stop in (8, 16, 20)]
    assert (np.abs(matrix).max(1) > 0).all()


def as_job(at, rank, world):
    return replace(at, host=Host(device="cpu", data_root=at.host.data_root, workers="0", rank=str(rank), world=str(world)))


def test_jobs_share_the_work_in_any_order_and_the_last_one_joins_shards(tmp_path, monkeypatch, said):
    """20 images in blocks of 2 and shards of 6: 4 jobs, of which one is stopped by a broken image, then repeated."""
    monkeypatch.setattr(featurize, "BLOCK", 2)
    paths = photos(tmp_path / "raw", N)
    at = site(tmp_path, paths=paths)
    save_model(at.inputs["pretrain-img"], network(), network().config)
    whole = run(at)
    for folder in (at.out, at.scratch):
        shutil.rmtree(folder)
        folder.mkdir()
    monkeypatch.setattr(features, "SHARD_BYTES", 6 * 2 * network().dim)
    good = (tmp_path / "raw" / paths[7]).read_bytes()
    (tmp_path / "raw" / paths[7]).write_bytes(good[:200])
    said.clear()
    for rank in (3, 0, 2):
        featurize.share(FeaturizeView(), as_job(at, rank, 4))
    with pytest.raises(DataError, match=r"photos/7\.png cannot be used"):
        featurize.share(FeaturizeView(), as_job(at, 1, 4))
    (tmp_path / "raw" / paths[7]).write_bytes(good)
    (tmp_path / "raw" / paths[4]).unlink()  # of job 1 as well, and done before it stopped
    assert said[-3:] == [
        "featurize: job 2 of 4 is done; 6 of 20 images are left to other jobs, or to `dvc repro featurize`",
        "featurize: job 1 of 4 makes the features of images 5 to 10 of 20",
        "featurize: 6 of 20 images",
    ]
    featurize.share(FeaturizeView(), as_job(at, 1, 4))
    assert said[-1] == "featurize: job 1 of 4 is done, as are all others: `dvc repro featurize` joins their shards"
    assert sorted(path.name[:6] for path in at.scratch.glob("*.npy")) == [f"0000{number}-" for number in range(4)]
    shutil.rmtree(tmp_path / "raw")  # nothing is left to compute
    said.clear()
    assert np.array_equal(run(as_job(at, 1, 4)), whole) and said == []
    assert sorted(path.name for path in at.out.iterdir()) == [*(f"0000{number}.npy" for number in range(4)), "index.json"]


def test_the_process_of_dvc_makes_its_own_share_first_and_then_what_other_jobs_have_left_from_the_end(
    tmp_path, monkeypatch, said
):
    monkeypatch.setattr(featurize, "BLOCK", 4)
    at = given_site(tmp_path, [("a.npy", row) for row in range(N)])
    assert np.array_equal(run(as_job(at, 1, 3)), 3 * np.arange(N)[:, None] + np.arange(3))
    assert [int(line.split()[1]) for line in said] == [8, 12, 20, 16, 4]


def test_more_jobs_than_blocks_leave_some_without_work(tmp_path, monkeypatch, said):
    monkeypatch.setattr(featurize, "BLOCK", 10)
    at = given_site(tmp_path, [("a.npy", row) for row in range(N)])
    for rank in range(5):
        featurize.share(FeaturizeView(), as_job(at, rank, 5))
    assert sum("makes the features of no image: there are 2 shares" in line for line in said) == 3
    assert said[-1] == "featurize: job 4 of 5 is done, as are all others: `dvc repro featurize` joins their shards"
    assert np.array_equal(run(at), 3 * np.arange(N)[:, None] + np.arange(3))


def test_two_jobs_of_one_rank_at_once_write_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(featurize, "BLOCK", 1)
    monkeypatch.setattr(features, "SHARD_BYTES", 5 * 2 * 3)
    at = given_site(tmp_path, [("a.npy", row) for row in range(N)])
    fork = multiprocessing.get_context("fork")
    twins = [fork.Process(target=featurize.share, args=(FeaturizeView(), as_job(at, 0, 2))) for _ in range(3)]
    for process in twins:
        process.start()
    for process in twins:
        process.join(60)
    assert [process.exitcode for process in twins] == [0, 0, 0]
    assert np.array_equal(run(at), 3 * np.arange(N)[:, None] + np.arange(3))


def test_a_job_that_computes_in_another_way_is_refused_and_a_single_process_warns(tmp_path, monkeypatch, said):
    monkeypatch.setattr(featurize, "BLOCK", 4)
    at = site(tmp_path, paths=photos(tmp_path / "raw", N))
    save_model(at.inputs["pretrain-img"], network(), network().config)
    featurize.share(FeaturizeView(), as_job(at, 0, 3))
    of_first = next(at.scratch.glob("by-*.txt")).read_text()
    monkeypatch.setattr(featurize, "portable", lambda: "not portably" in of_first)
    for _ in range(2):
        with pytest.raises(EnvironmentProblem, match=f"this job would compute features on cpu, .*{of_first}") as caught:
            featurize.share(FeaturizeView(), as_job(at, 1, 3))
        assert str(at.scratch) in caught.value.hint
    assert len(list(at.scratch.glob("by-*.txt"))) == 1
    said.clear()
    run(at)
    assert said[0].startswith(f"featurize: some features were computed {of_first}, and the others now are on cpu, ")
    said.clear()
    run(at)  # nothing is left
    assert said == []


@pytest.mark.parametrize("together", ["share", "run"])
def test_progress_that_another_process_has_joined_meanwhile_is_a_sentence(tmp_path, monkeypatch, said, together):
    monkeypatch.setattr(featurize, "BLOCK", 8)
    at = given_site(tmp_path, [("a.npy", row) for row in range(N)])
    write = features.write_matrix

    def joined(*about):
        shutil.rmtree(at.scratch)
        return write(*about)

    monkeypatch.setattr(features, "write_matrix", joined)
    says = f"{at.scratch} is gone: another process has joined the features"
    if together == "share":
        featurize.share(FeaturizeView(), as_job(at, 0, 2))
        assert said[-1] == f"featurize: job 0 of 2: {says}"
    else:
        with pytest.raises(EnvironmentProblem, match=says):
            featurize.run(FeaturizeView(), at)


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
    monkeypatch.setattr(featurize, "BLOCK", 8)
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
