"""finetune-img of the whole network on a few dozen small images: what is decoded, written, and found again after a kill."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from feature_files import write_features
from image_sites import photos, site
from PIL import Image
from told import told

from cspops.data.catalogue import read_observations
from cspops.data.features import Features, read_features
from cspops.data.splits import piece
from cspops.errors import DataError
from cspops.evaluation.predictions import Judged
from cspops.evaluation.predictor import image_log_p
from cspops.models.backbones import build_image_network, rebuild_image_network
from cspops.models.checkpoint import load_config, load_weights, save_model
from cspops.models.heads import ImageHead
from cspops.params import load
from cspops.params.graph import FinetuneImgView
from cspops.pipeline import finetune_img, finetune_img_full
from cspops.pipeline.judged_models import image_of_rows
from cspops.pipeline.together import run_on
from cspops.site import Site
from cspops.training.curves import read_curve

ROOT = Path(__file__).parents[2]
N, CLASSES = 36, 3
ROLES = [("train", "train", "train", "val", "test", "spatial_test")[row % 6] for row in range(N)]
UNLABELLED = (3, 10)
LABEL = [None if row in UNLABELLED else row // 6 % 2 for row in range(N)]
"""Class 2 has no row."""


def view(*, seeds=(0,), **changes) -> FinetuneImgView:
    full = load(ROOT / "params.yaml").finetune_img.modes.full
    small = {"epochs": 2, "batch_size": 8, "patience": 0, "learning_rate": 0.01}
    return FinetuneImgView(seeds, (0.5, 1.0), "full", full.model_copy(update=small | changes))


@pytest.fixture
def at(tmp_path) -> Site:
    paths = photos(tmp_path / "raw", N, side=32)
    made = site(tmp_path, paths=paths)
    file = made.inputs["download"] / "observations.parquet"
    table = pq.read_table(file)
    schema = table.schema
    table = table.set_column(
        schema.get_field_index("label"), schema.field("label"), pa.array(LABEL, schema.field("label").type)
    )
    pq.write_table(table, file, row_group_size=7)
    (made.inputs["download"] / "classes.json").write_text(json.dumps(["a", "b", "c"]))
    obs_id = table["obs_id"].to_pylist()
    pq.write_table(pa.table({"obs_id": obs_id, "role": ROLES}), made.inputs["split"] / "roles.parquet")
    level = [(0.5 if row % 4 else 1.0) if ROLES[row] == "train" and LABEL[row] is not None else None for row in range(N)]
    levels = {f"seed_{seed}": pa.array(level, pa.float32()) for seed in (0, 1)}
    pq.write_table(pa.table({"obs_id": obs_id} | levels), made.inputs["split"] / "few_shot.parquet")
    may_choose = pa.array([0.5 if ROLES[row] == "val" and LABEL[row] is not None else None for row in range(N)], pa.float32())
    table = pa.table({"obs_id": obs_id} | dict.fromkeys(levels, may_choose))
    pq.write_table(table, made.inputs["split"] / "choosing.parquet")
    network = build_image_network("timm:test_resnet", pretrained=False, px=32, seed=0)
    save_model(made.inputs["pretrain-img"], network, network.config)
    pixels = np.stack([np.asarray(Image.open(tmp_path / "raw" / path))[:, 4:36] for path in paths])
    with torch.inference_mode():
        features = network.eval()(torch.from_numpy(pixels)).numpy()
    write_features(tmp_path / "featurize", obs_id, features)
    return dataclasses.replace(made, inputs={**made.inputs, "featurize": tmp_path / "featurize"})


def written(at: Site) -> dict[str, bytes]:
    return {file.relative_to(at.out).as_posix(): file.read_bytes() for file in at.out.rglob("*") if file.is_file()}


def test_each_piece_has_head_network_curve_and_the_features_of_the_judged_rows(at, tmp_path):
    """The training rows of the largest ratio and the labelled judged ones are decoded; files of others are not opened."""
    for row in UNLABELLED:
        (tmp_path / "raw" / f"photos/{row}.png").unlink()
    finetune_img.run(view(), at)
    judged = [row for row in range(N) if ROLES[row] != "train" and LABEL[row] is not None]
    for ratio in (0.5, 1.0):
        folder = at.out / piece(0, ratio)
        names = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
        own = {"model.safetensors", "config.json", "rows.npy", "features.npy", "curve.tsv"}
        assert names == own | {"network/model.safetensors", "network/config.json"}
        assert np.load(folder / "rows.npy").tolist() == judged
        features = np.load(folder / "features.npy")
        assert features.dtype == np.float16
        network = rebuild_image_network(load_config(folder / "network", remake="")).eval()
        load_weights(folder / "network", network, remake="")
        pixels = np.stack([np.asarray(Image.open(tmp_path / "raw" / f"photos/{row}.png"))[:, 4:36] for row in judged])
        with torch.inference_mode():
            expected = network(torch.from_numpy(pixels))
        torch.testing.assert_close(torch.from_numpy(features).float(), expected, rtol=2e-3, atol=1e-3)
    curve = read_curve(at.reports / "curves" / "finetune_img.tsv")
    keys = [f"label_{ratio}{part}" for ratio in (50, 100) for part in ("", "_val_nll", "_val_top1")]
    assert [list(row) for row in curve] == [["epoch", *keys]] * 2
    assert not any(name.startswith(("pixels", "progress", "shard")) for name in written(at))


def test_only_rows_that_may_choose_stop_the_training(at, monkeypatch):
    """The other labelled ones keep their features: they are judged."""
    rows = [row for row in range(N) if ROLES[row] == "val" and LABEL[row] is not None]
    obs_id = read_observations(at.inputs["download"]).obs_id
    levels = pa.array([{rows[0]: 0.5, rows[1]: 1.0}.get(row) for row in range(N)], pa.float32())
    pq.write_table(pa.table({"obs_id": obs_id, "seed_0": levels}), at.inputs["split"] / "choosing.parquet")
    seen, train = {}, finetune_img_full.train_piece

    def watched(piece, *others):
        seen[piece.ratio] = piece.val.tolist(), piece.val_label.tolist(), set(rows) <= set(piece.judged.tolist())
        train(piece, *others)

    monkeypatch.setattr(finetune_img_full, "train_piece", watched)
    finetune_img.run(view(epochs=1), at)
    assert seen == {0.5: ([rows[0]], [LABEL[rows[0]]], True), 1.0: (rows[:2], [LABEL[row] for row in rows[:2]], True)}


def test_evaluate_reads_the_features_of_the_network_itself(at):
    """log softmax(head(features)), of rows in the order asked for; a class without labels has no probability."""
    finetune_img.run(view(), at)
    folder = at.out / piece(0, 1.0)
    row = torch.tensor([row for row in range(N) if ROLES[row] in ("test", "spatial_test") and LABEL[row] is not None])
    n = len(row)
    ones = torch.ones(n, dtype=torch.bool)
    ids = pa.array([f"o{i}" for i in row.tolist()])
    judged = Judged(row, ids, torch.zeros(n, dtype=torch.long), torch.zeros(n, 2), torch.zeros(n), ones, ones, {"test": ones})
    head = ImageHead(**{key: value for key, value in load_config(folder, remake="").items() if key != "kind"}).eval()
    load_weights(folder, head, remake="")
    of_network = dict(zip(np.load(folder / "rows.npy").tolist(), np.load(folder / "features.npy"), strict=True))
    asked = torch.tensor([4, 0, 2])
    with torch.inference_mode():
        model = image_of_rows(
            folder, judged, read_features(at.inputs["featurize"], [f"o{i}" for i in range(N)]), classes=CLASSES
        )
        found = image_log_p(model(asked))
        own = torch.from_numpy(np.stack([of_network[int(row[i])] for i in asked])).float()
        torch.testing.assert_close(found, image_log_p(head(own)))
    assert found.exp()[:, 2].tolist() == [0, 0, 0]
    np.save(folder / "rows.npy", np.load(folder / "rows.npy") + 1)
    with pytest.raises(DataError, match=r"features\.npy lacks some of the judged rows"):
        image_of_rows(folder, judged, Features(1, N, (np.zeros((N, 1), np.float16),)), classes=CLASSES)


@pytest.mark.parametrize("line", ["36 images decoded", "ratio 1: epoch 2", "ratio 0.5: epoch 1"])
def test_a_killed_run_continues_and_writes_the_same_bytes(at, tmp_path, line):
    finetune_img.run(view(), at)
    before = written(at)

    def kill(said: str) -> None:
        if line.replace("36", str(N - len(UNLABELLED))) in said:
            raise KeyboardInterrupt

    for name in ("scratch", "out"):
        (tmp_path / f"second-{name}").mkdir()
    again = dataclasses.replace(at, scratch=tmp_path / "second-scratch", out=tmp_path / "second-out")
    with pytest.raises(KeyboardInterrupt), told(kill):
        finetune_img.run(view(), again)
    lines: list[str] = []
    with told(lines.append):
        finetune_img.run(view(), again)
    assert not any("decoded" in said for said in lines)
    assert any("continuing after epoch 1 of 2" in said for said in lines) == ("epoch 2" in line)
    assert any("ratio 1" in said for said in lines) == ("ratio 0.5" not in line)
    assert written(again) == before


def test_other_modes_leave_the_header_of_a_curve(at):
    probe = load(ROOT / "params.yaml").finetune_img.modes.linear_probe
    finetune_img.run(FinetuneImgView((0,), (1.0,), "linear_probe", probe), at)
    assert (
        at.reports / "curves" / "finetune_img.tsv"
    ).read_text() == "epoch\tlabel_100\tlabel_100_val_nll\tlabel_100_val_top1\n"
    assert {file.name for file in (at.out / piece(0, 1.0)).iterdir()} == {"model.safetensors", "config.json", "search.json"}


def test_given_features_leave_no_network_to_fine_tune(at):
    (at.inputs["pretrain-img"] / "config.json").write_text(json.dumps({"model": "given features", "dim": 5}))
    with pytest.raises(DataError, match="the data set comes with image features and no images") as error:
        finetune_img.run(view(), at)
    assert "linear_probe" in str(error.value.hint)


def test_two_processes_write_what_one_writes(at, tmp_path):
    """The first of them: one decodes, both train; what the second writes is nowhere."""
    finetune_img.run(view(epochs=1), at)
    alone = written(at)
    shutil.rmtree(at.out)
    shutil.rmtree(at.scratch)
    at.out.mkdir()
    at.scratch.mkdir()
    run_on(2, "finetune-img", view(epochs=1), at)
    assert written(at).keys() == alone.keys()
    for ratio in (0.5, 1.0):
        rows = f"{piece(0, ratio)}/rows.npy"
        assert written(at)[rows] == alone[rows]
    assert len(read_curve(at.reports / "curves" / "finetune_img.tsv")) == 1
    before = written(at)
    run_on(2, "finetune-img", view(epochs=1), at)  # all pieces are there
    assert written(at) == before
