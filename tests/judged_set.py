"""A catalogue of a few dozen rows with features, splits and untrained models, for tests of stage evaluate."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from feature_files import write_features

from cspops.data.schemas import SCHEMA
from cspops.data.splits import piece
from cspops.geo import uniform_on_sphere
from cspops.host import Host
from cspops.models.checkpoint import save_model
from cspops.models.heads import ClassEmbedding, LinearProbe
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.params.graph import EvaluateView
from cspops.params.sections import PoolGrid, Priors
from cspops.site import Site

N, Q, SEEDS, RATIOS = 60, 3, (0, 1), (0.5, 1.0)
ROLES = ["train"] * 20 + ["val"] * 12 + ["test"] * 12 + ["spatial_val"] * 6 + ["spatial_test"] * 6 + ["buffer"] * 4
UNLOCATED, UNLABELLED = (20, 33, 34), (35, 50)
ENCODER = {
    "encoding": {"name": "wrap"},
    "network": {"name": "ffn", "hidden_layers": 0, "hidden": 8, "activation": "relu", "dropout": 0.0}
    | {"layer_norm": False, "output_activation": False},
    "dim": 4,
}  # fmt: skip
VIEW = EvaluateView(
    SEEDS,
    RATIOS,
    Priors(pseudo_count=1.0, histogram=(10.0, 60.0), knn=(1, 5), distance_knn=(3,), kde=(500.0, 5000.0)),
    PoolGrid(kernel_km=(500.0, 2000.0), count_weight=(0.1, 1.0)),
)


def place() -> torch.Tensor:
    lonlat = uniform_on_sphere(N, generator=torch.Generator().manual_seed(0))
    lonlat[list(UNLOCATED)] = torch.nan
    return lonlat


TIME = {"time": {"name": "cos_sin", "dropped": 0.2}}
MONTHS = [None if i % 9 == 4 else 1 + i % 12 for i in range(N)]
"""Of the rows' dates, in 2023, each on the first of the month."""


def write_models(folder: Path, seed: int, ratio: float, *, time: bool = False, **config: str) -> None:
    torch.manual_seed(seed + round(10 * ratio))
    probe, encoder = LinearProbe(5, Q), LocationEncoder(ENCODER | (TIME if time else {}))
    classifier = LocationClassifier(encoder, ClassEmbedding(encoder.dim, Q))
    save_model(folder / "finetune-img" / piece(seed, ratio), probe, probe.config)
    save_model(folder / "finetune-loc" / piece(seed, ratio), classifier, classifier.config | config)


def write_site(tmp_path: Path, *, dated: bool = False) -> Site:
    """The artefacts that stage evaluate reads, and where it writes; with dates, and models that take them, if ``dated``."""
    for name in ("download", "split", "featurize", "out", "scratch"):
        (tmp_path / name).mkdir()
    obs_id, lonlat = [f"o{i}" for i in range(N)], place()
    label = [None if i in UNLABELLED else i % Q for i in range(N)]
    lon, lat = ([None if math.isnan(x) else x for x in column.tolist()] for column in lonlat.unbind(1))
    rows = {"obs_id": obs_id, "lon": lon, "lat": lat, "label": label}
    if dated:
        rows["captured_at"] = [month and datetime(2023, month, 1, tzinfo=UTC) for month in MONTHS]
    rest = {field.name: pa.nulls(N, field.type) for field in SCHEMA if field.name not in rows}
    table = pa.table({name: (rows | rest)[name] for name in SCHEMA.names}).cast(SCHEMA)
    pq.write_table(table, tmp_path / "download" / "observations.parquet")
    (tmp_path / "download" / "classes.json").write_text(json.dumps(["a", "b", "c"]))
    pq.write_table(pa.table({"obs_id": obs_id, "role": ROLES}), tmp_path / "split" / "roles.parquet")
    level = [(0.5 if i % 2 else 1.0) if ROLES[i] == "train" else None for i in range(N)]
    few = {f"seed_{seed}": pa.array(level, pa.float32()) for seed in SEEDS}
    pq.write_table(pa.table({"obs_id": obs_id} | few), tmp_path / "split" / "few_shot.parquet")
    choosing = pa.array([0.5 if "val" in role else None for role in ROLES], pa.float32())
    choosing_table = {"obs_id": obs_id} | dict.fromkeys(few, choosing)
    pq.write_table(pa.table(choosing_table), tmp_path / "split" / "choosing.parquet")
    write_features(tmp_path / "featurize", obs_id, torch.randn(N, 5, generator=torch.Generator().manual_seed(1)).numpy())
    for seed in SEEDS:
        for ratio in RATIOS:
            write_models(tmp_path, seed, ratio, time=dated)
    stages = ("download", "split", "featurize", "finetune-loc", "finetune-img")
    inputs = {name: tmp_path / name for name in stages}
    return Site(tmp_path, inputs, tmp_path / "reports", tmp_path / "out", tmp_path / "scratch", Host())
