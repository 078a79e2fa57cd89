"""Stage finetune-loc with a fusion head, and stage evaluate after it, on a catalogue of a few dozen rows made by hand."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from judged_set import ENCODER, RATIOS, ROLES, SEEDS, UNLOCATED, VIEW, N, place, write_site

from cspops.data.features import read_features
from cspops.data.splits import piece
from cspops.errors import DataError
from cspops.evaluation.metrics import MODELS
from cspops.models.checkpoint import save_model
from cspops.models.loading import load_fusion, load_location_classifier
from cspops.models.location_encoder import LocationEncoder
from cspops.params.graph import FinetuneLocView
from cspops.params.image_networks import LinearProbe
from cspops.params.location_classifiers import CrossEntropy, Fusion
from cspops.pipeline import evaluate, finetune_loc
from cspops.site import Site

FILM = Fusion(head="film", hidden=4, steps=30, learning_rate=0.01, weight_decay=0.0, dropout=0.1, domain_weight=0.2, patience=0)
PROBE = LinearProbe(l2=(0.1,), max_iterations=20)
LOC_VIEW = FinetuneLocView(SEEDS, RATIOS, "linear_probe", PROBE, "cross_entropy", CrossEntropy(label_smoothing=0.0), FILM)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """What stage finetune-loc reads, with outputs of its own, which stage evaluate then reads."""
    whole = write_site(tmp_path)
    for seed in SEEDS:
        torch.manual_seed(seed)
        save_model(tmp_path / "pretrain" / f"seed_{seed}", LocationEncoder(ENCODER), ENCODER)
    shutil.rmtree(tmp_path / "finetune-loc")
    for name in ("finetune-loc", "loc-scratch"):
        (tmp_path / name).mkdir()
    inputs = {**whole.inputs, "pretrain": tmp_path / "pretrain"}
    return replace(whole, inputs=inputs, out=tmp_path / "finetune-loc", scratch=tmp_path / "loc-scratch")


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_fusion_is_trained_and_judged_beside_the_others(site: Site, tmp_path: Path) -> None:
    finetune_loc.run(LOC_VIEW, site)
    folder = site.out / piece(1, 0.5)
    assert {"config.json", "model.safetensors", "curve.tsv", "kept.json"} == set(files(folder / "fusion"))
    kept = json.loads((folder / "fusion" / "kept.json").read_text())
    assert kept["val_nll"] <= kept["start_nll"] and kept["start"] in ("image", "location", "product")
    after = replace(site, out=tmp_path / "out", scratch=tmp_path / "scratch")
    evaluate.run(VIEW, after)
    scores = json.loads((after.reports / "scores.json").read_text())["test"]["label_50"]
    assert list(scores)[:5] == [*MODELS, "fusion"] and list(scores["fusion"]) == list(scores["pool"])
    intervals = json.loads((after.reports / "intervals.json").read_text())["test"]["label_50"]
    assert {"fusion_minus_combined", "pool_minus_fusion"} < set(intervals)
    assert set(json.loads((after.reports / "metrics.json").read_text())["test"]["label_50"]) == {"combined", "pool", "fusion"}

    table = pq.read_table(after.out / "predictions.parquet")
    rows = [row for row in table.to_pylist() if (row["seed"], row["label_ratio"]) == (1, 0.5)]
    index = [int(row["obs_id"][1:]) for row in rows]
    features = torch.from_numpy(read_features(site.inputs["featurize"], [f"o{i}" for i in range(N)])[np.array(index)]).float()
    with torch.inference_mode():
        loc_emb = load_location_classifier(folder).encoder(place()[index].nan_to_num())
        log_p = load_fusion(folder / "fusion", remake="")(features, loc_emb).double().log_softmax(1)
    for row, number, one in zip(rows, index, log_p, strict=True):
        if number in UNLOCATED:  # the image's own
            assert (row["fusion"], row["fusion_log_p"]) == (row["image"], row["image_log_p"])
        else:
            assert row["fusion_log_p"] == pytest.approx(float(one[row["label"]]), abs=1e-5)
            assert row["fusion"] == one.argsort(descending=True).tolist()


def test_without_a_fusion_all_else_is_the_same_to_the_byte(site: Site, tmp_path: Path) -> None:
    finetune_loc.run(LOC_VIEW, site)
    fused = {name: content for name, content in files(site.out).items() if "/fusion/" not in name}
    without = replace(site, out=tmp_path / "plain", scratch=tmp_path / "plain-scratch")
    without.out.mkdir()
    shutil.rmtree(site.inputs["featurize"])  # which no other head reads
    finetune_loc.run(replace(LOC_VIEW, fusion=FILM.model_copy(update={"head": "none"})), without)
    assert files(without.out) == fused


def test_a_fusion_without_validation_rows_is_refused(site: Site) -> None:
    roles = ["train" if role == "val" else role for role in ROLES]
    pq.write_table(pa.table({"obs_id": [f"o{i}" for i in range(N)], "role": roles}), site.inputs["split"] / "roles.parquet")
    with pytest.raises(DataError, match=r"finetune_loc\.fusion keeps what is best on them") as caught:
        finetune_loc.run(LOC_VIEW, site)
    assert "set finetune_loc.fusion.head to none" in str(caught.value.hint)
