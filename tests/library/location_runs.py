"""The artefacts of a small run, written without training, with a pool as stage evaluate leaves it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cspops.data.schemas import SCHEMA
from cspops.data.splits import piece, ratio_key
from cspops.evaluation.pool import Places, Pool, write_pool
from cspops.models.backbones import build_image_network
from cspops.models.checkpoint import save_model
from cspops.models.heads import ClassEmbedding, LinearProbe
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.pixels.reading import Reading

CONFIG = {"encoding": {"name": "wrap"}, "network": {"name": "ffn", "hidden": 8}, "dim": 6}
TIME = {"name": "cos_sin", "dropped": 0.25}
CLASSES = ["beech", "fir", "oak"]
POOL = Pool((0.8, 0.9), (0.5, 1.25), image_alone=0.7, fade_km=300.0, kernel_km=150.0, count_weight=2.0)
PLACES = Places(torch.tensor([[8.0, 47.0], [9.0, 48.0], [-70.0, -33.5]], dtype=torch.float64), torch.tensor([2, 0, 1]))


def make_classifier(seed: int = 0, *, dated: bool = False) -> LocationClassifier:
    torch.manual_seed(seed)
    encoder = LocationEncoder(CONFIG | ({"time": TIME} if dated else {}))
    return LocationClassifier(encoder, ClassEmbedding(6, 3)).eval()


def write_location_run(artifacts: Path, *, seeds=(0, 1), ratios=(0.05, 1.0), dated: bool = False) -> None:
    """download, pretrain, finetune_loc and evaluate, as far as location models need them."""
    (artifacts / "download").mkdir(parents=True)
    (artifacts / "download" / "classes.json").write_text(json.dumps(CLASSES))
    for seed in seeds:
        encoder = make_classifier(seed, dated=dated).encoder
        save_model(artifacts / "pretrain" / f"seed_{seed}", encoder, encoder.config)
        for number, ratio in enumerate(ratios):
            classifier = make_classifier(10 * seed + number, dated=dated)
            save_model(artifacts / "finetune_loc" / f"seed_{seed}" / ratio_key(ratio), classifier, classifier.config)
            write_pool(artifacts / "evaluate" / piece(seed, ratio), POOL, PLACES)


def write_run(artifacts: Path, *, seeds=(0,), ratios=(1.0,), dated: bool = False) -> None:
    """A whole run with a small random image network and its probe."""
    write_location_run(artifacts, seeds=seeds, ratios=ratios, dated=dated)
    (artifacts / "download" / "images.json").write_text(json.dumps(Reading().as_json()))
    network = build_image_network("timm:test_resnet", pretrained=False, px=32, seed=0)
    save_model(artifacts / "pretrain_img", network, network.config)
    for seed in seeds:
        for ratio in ratios:
            torch.manual_seed(seed)
            probe = LinearProbe(network.dim, 3)
            save_model(artifacts / "finetune_img" / f"seed_{seed}" / ratio_key(ratio), probe, probe.config)


def write_validation(
    artifacts: Path,
    lonlat: list[list[float]],
    label: list[int],
    *,
    seeds: tuple[int, ...] = (0,),
    captured_at: list[str] | None = None,
) -> None:
    """Rows of role val, all of which choose at every ratio, in the catalogue and the split; label -1 is none."""
    n = len(label)
    ids = [str(number) for number in range(n)]
    columns: dict[str, list[Any]] = {
        "obs_id": ids,
        "lon": [None if lon != lon else lon for lon, _ in lonlat],
        "lat": [None if lat != lat else lat for _, lat in lonlat],
        "label": [None if one < 0 else one for one in label],
    }
    if captured_at is not None:
        columns["captured_at"] = [datetime.fromisoformat(one).replace(tzinfo=UTC) for one in captured_at]
    rest = {field.name: pa.nulls(n, field.type) for field in SCHEMA if field.name not in columns}
    table = pa.table({name: (columns | rest)[name] for name in SCHEMA.names}).cast(SCHEMA)
    pq.write_table(table, artifacts / "download" / "observations.parquet")
    (artifacts / "split").mkdir()
    # a split has a training row: the first
    roles = {"obs_id": ids, "role": ["train", *["val"] * (n - 1)]}
    pq.write_table(pa.table(roles), artifacts / "split" / "roles.parquet")
    levels = {f"seed_{seed}": pa.array([0.0] * n, pa.float32()) for seed in seeds}
    pq.write_table(pa.table({"obs_id": ids} | levels), artifacts / "split" / "choosing.parquet")
