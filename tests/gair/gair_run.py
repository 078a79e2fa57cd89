"""The artefacts of a small GAIR run, as far as a photo's place is looked for, and rasters to look in."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from small_gair import places, settings
from unlabelled import CPU, backbone

from cspops.data.schemas import OVERHEAD
from cspops.gair.pretraining import gair
from cspops.gair.stored import save_gair
from cspops.pixels.reading import Reading
from cspops.training.loop import Run


def write_gair_run(artifacts: Path, *, source: str = "folder", photos: bool = True, features: str = "photo") -> Path:
    """pretrain_img and download of a run whose overhead images are 2 degrees high and 2 degrees of the equator wide."""
    torch.manual_seed(0)
    network = backbone()
    features = features if photos else "overhead_at_place"
    alignment, _ = gair(network, places(8, photos=photos), settings(epochs=1, batch_size=8, features=features), Run(0, CPU))
    (artifacts / "pretrain_img").mkdir(parents=True)
    save_gair(artifacts / "pretrain_img", alignment, network, features=features)
    download = artifacts / "download"
    download.mkdir()
    (download / "images.json").write_text(json.dumps(Reading().as_json()))
    (download / "stage.json").write_text(json.dumps({"params": {"dataset.source": source}}))
    sides = {"lon_min": 10.0, "lat_min": -1.0, "lon_max": 12.0, "lat_max": 1.0}
    image = {"bytes": None, "path": "a.tif"}
    rows = [{"overhead": image, "overhead_bbox": sides}] * 3 + [{"overhead": None, "overhead_bbox": None}]
    pq.write_table(pa.Table.from_pylist(rows, schema=OVERHEAD), download / "observations.parquet")
    return artifacts


def write_raster(file: Path, box: tuple[float, float, float, float], *, px: int = 96, crs: str = "EPSG:4326") -> np.ndarray:
    """Write a GeoTIFF of random checks that ends at ``box``, in the units of ``crs``; return its pixels."""
    import rasterio
    from rasterio.transform import from_bounds

    checks = np.random.default_rng(0).integers(0, 256, (px // 8, px // 8, 3), dtype=np.uint8)
    pixels = checks.repeat(8, 0).repeat(8, 1)
    about = {"driver": "GTiff", "height": px, "width": px, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    with rasterio.open(file, "w", **about, crs=crs, transform=from_bounds(*box, px, px)) as out:
        out.write(pixels.transpose(2, 0, 1))
    return pixels
