"""evaluate: image alone, location alone and combined, on validation and on both test sets."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cspops.data.catalogue import read_observations
from cspops.data.features import FeatureFile
from cspops.data.splits import ratio_key, read_roles
from cspops.evaluation import combine, metrics
from cspops.evaluation.summary import Scores, summarise
from cspops.models.checkpoint import load_config, load_weights
from cspops.models.heads import ClassEmbedding, LinearProbe
from cspops.models.location_classifier import LocationClassifier
from cspops.models.location_encoder import LocationEncoder
from cspops.stages.pieces import piece
from cspops.stages.site import Site

if TYPE_CHECKING:
    from cspops.params.views import EvaluateView

TOP = 5


@torch.inference_mode()
def run(view: "EvaluateView", site: Site) -> None:
    """Write predictions.parquet, and metrics.json (test sets) and validation.json for reports/."""
    observations = read_observations(site.inputs["download"])
    roles = read_roles(site.inputs["split"], observations.obs_id)
    judged = ~roles["train"] & (observations.label >= 0)
    rows = {role: mask[judged] for role, mask in roles.items() if role != "train"}
    features = torch.from_numpy(FeatureFile(site.inputs["featurize"]).read(observations.obs_id)[judged.numpy()]).float()
    lonlat, located, label = observations.lonlat[judged], observations.located[judged], observations.label[judged]
    obs_id = pa.array(observations.obs_id).filter(judged.numpy())
    scores: Scores = {}
    with pq.ParquetWriter(site.out / "predictions.parquet", _schema(), compression="zstd") as writer:
        for seed in view.seeds:
            for ratio in view.label_ratios:
                probe = _load_probe(site.inputs["finetune-img"] / piece(seed, ratio))
                image = combine.image_log_p(probe(features))
                classifier = _load_classifier(site.inputs["finetune-loc"] / piece(seed, ratio))
                location = combine.location_log_p(classifier(lonlat.nan_to_num()), located)
                models = {"image": image, "location": location, "combined": combine.combined_log_p(image, location, located)}
                for role, mask in rows.items():
                    for model, log_p in models.items():
                        scores[role, ratio_key(ratio), model, seed] = metrics.score(log_p[mask], label[mask])
                writer.write_table(_predictions(obs_id, label, rows, seed, ratio, models))
    ratios = [ratio_key(ratio) for ratio in view.label_ratios]
    for file, of_roles in (("metrics.json", ("test", "spatial_test")), ("validation.json", ("val", "spatial_val"))):
        summary = summarise(scores, roles=of_roles, ratios=ratios, seeds=view.seeds)
        (site.reports / file).write_text(json.dumps(summary, indent=1) + "\n")


def _load_probe(folder: Path) -> LinearProbe:
    remake = "dvc repro finetune-img"
    probe = LinearProbe(**load_config(folder, remake=remake))
    load_weights(folder, probe, remake=remake)
    return probe.eval()


def _load_classifier(folder: Path) -> LocationClassifier:
    remake = "dvc repro finetune-loc"
    config = load_config(folder, remake=remake)
    encoder = LocationEncoder(config["encoder"])
    classifier = LocationClassifier(encoder, ClassEmbedding(encoder.dim, config["classes"]))
    load_weights(folder, classifier, remake=remake)
    return classifier.eval()


def _schema() -> pa.Schema:
    top = pa.list_(pa.int32())
    models = [pa.field(model, top) for model in ("image", "location", "combined")]
    return pa.schema(
        [
            ("seed", pa.int32()),
            ("label_ratio", pa.float64()),
            ("role", pa.string()),
            ("obs_id", pa.string()),
            ("label", pa.int32()),
            *models,
            ("combined_p", pa.float32()),
        ]
    )


def _predictions(
    obs_id: pa.Array,
    label: torch.Tensor,
    rows: dict[str, torch.Tensor],
    seed: int,
    ratio: float,
    models: dict[str, torch.Tensor],
) -> pa.Table:
    """One row an observation: the ``TOP`` best classes of each model, best first, and the combined best one's P."""
    n, k = len(label), min(TOP, models["image"].shape[1])
    role = np.empty(n, dtype=object)
    for name, mask in rows.items():
        role[mask.numpy()] = name
    best = {model: log_p.topk(k, dim=1).indices.int() for model, log_p in models.items()}
    offsets = pa.array(range(0, n * k + 1, k), pa.int32())
    columns = {model: pa.ListArray.from_arrays(offsets, pa.array(top.flatten().numpy())) for model, top in best.items()}
    return pa.table(
        {
            "seed": pa.array([seed] * n, pa.int32()),
            "label_ratio": pa.array([ratio] * n),
            "role": role,
            "obs_id": obs_id,
            "label": pa.array(label.int().numpy()),
            **columns,
            "combined_p": pa.array(models["combined"].max(1).values.exp().float().numpy()),
        },
        schema=_schema(),
    )
