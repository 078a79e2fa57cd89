"""Small data sets of images, and the site of a stage that reads them."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from cspops.data.schemas import BBOX, SCHEMA
from cspops.host import Host
from cspops.pixels.reading import CROP, GIVEN_FEATURES, IMAGE, Reading
from cspops.site import Site

SIDES = [field.name for field in BBOX]


def photos(root: Path, n: int, side: int = 40) -> list[str]:
    """PNG files of noise below ``root``."""
    draws = np.random.default_rng(0)
    names = [f"photos/{number}.png" for number in range(n)]
    (root / "photos").mkdir(parents=True)
    for name in names:
        Image.fromarray(draws.integers(0, 256, (side, side + 8, 3), dtype=np.uint8)).save(root / name)
    return names


def site(
    folder: Path,
    *,
    paths=None,
    given=None,
    crops=None,
    reading=None,
    train=None,
    workers="0",
    lonlat=None,
    label=None,
    place=None,
    captured_at=None,
    overhead=None,
    bbox=None,
) -> Site:
    """The site of pretrain-img and featurize, with a catalogue of images by path or of given features.

    Positions, labels, places and dates (milliseconds) are null unless they are given.
    """
    reading = reading or Reading()
    n = len(paths or given)
    columns = {field.name: pa.nulls(n, field.type) for field in SCHEMA}
    columns["obs_id"] = pa.array([f"o{row}" for row in range(n)])
    columns["image"] = pa.array([{"bytes": None, "path": path} for path in paths] if paths else [None] * n, IMAGE)
    if lonlat is not None:
        columns |= {name: pa.array([at[axis] for at in lonlat], pa.float64()) for axis, name in enumerate(("lon", "lat"))}
    for name, values in (("label", label), ("location_id", place), ("captured_at", captured_at)):
        if values is not None:
            columns[name] = pa.array(values, SCHEMA.field(name).type)
    if bbox is not None:
        columns["overhead"] = pa.array([path and {"bytes": None, "path": path} for path in overhead], IMAGE)
        columns["overhead_bbox"] = pa.array([one and dict(zip(SIDES, one, strict=True)) for one in bbox], BBOX)
    if crops:
        columns["crop"] = pa.array(crops, CROP)
    if given:
        columns["image_features"] = pa.array([one and {"path": one[0], "row": one[1]} for one in given], GIVEN_FEATURES)
    inputs = {name: folder / name for name in ("download", "split", "pretrain-img")}
    for one in (*inputs.values(), folder / "out", folder / "scratch"):
        one.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), inputs["download"] / "observations.parquet", row_group_size=7)
    (inputs["download"] / "classes.json").write_text(json.dumps([f"class {number}" for number in sorted(set(label or []))]))
    (inputs["download"] / "images.json").write_text(json.dumps(reading.as_json()))
    roles = ["train" if train is None or train[row] else "test" for row in range(n)]
    pq.write_table(pa.table({"obs_id": columns["obs_id"], "role": roles}), inputs["split"] / "roles.parquet")
    host = Host(device="cpu", data_root=folder / "data_root", workers=workers)
    return Site(folder / "raw", inputs, folder / "reports", folder / "out", folder / "scratch", host)
