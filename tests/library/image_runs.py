"""The artefacts that retrieval reads: a catalogue, its roles and its image features, of a run without training."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from feature_files import write_features

from cspops.data.schemas import SCHEMA

ROWS, WIDTH = 60, 5


def write_images(artifacts: Path, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Write download, split and featurize; the last ten rows are test rows, two rows have one `location_id`, one no position.

    Return positions and features.
    """
    stream = np.random.default_rng(seed)
    lonlat = np.stack((stream.uniform(-180, 180, ROWS), stream.uniform(-80, 80, ROWS)), 1)
    lonlat[7] = np.nan
    features = stream.normal(size=(ROWS, WIDTH)).astype(np.float16)
    ids = [f"row{number}" for number in range(ROWS)]
    places = [None] * ROWS
    places[0] = places[1] = "hut"
    columns = {
        "obs_id": ids,
        "lon": pa.array(lonlat[:, 0], from_pandas=True),
        "lat": pa.array(lonlat[:, 1], from_pandas=True),
        "label": [0] * ROWS,
        "captured_at": [None] * ROWS,
        "location_id": places,
        "official_split": [None] * ROWS,
        "image": [{"bytes": None, "path": "a.jpg"}] * ROWS,
    }
    (artifacts / "download").mkdir(parents=True, exist_ok=True)
    (artifacts / "download" / "classes.json").write_text(json.dumps(["beech", "fir", "oak"]))
    pq.write_table(pa.table(columns, schema=SCHEMA), artifacts / "download" / "observations.parquet")
    (artifacts / "split").mkdir(parents=True, exist_ok=True)
    roles = ["train"] * (ROWS - 10) + ["test"] * 10
    pq.write_table(pa.table({"obs_id": ids, "role": roles}), artifacts / "split" / "roles.parquet")
    (artifacts / "featurize").mkdir(parents=True, exist_ok=True)
    write_features(artifacts / "featurize", ids, features)
    return lonlat, features.astype(np.float32)
