"""The values of params.yaml that fit a folder of your own images: `cspops init --preset`."""

from pathlib import Path
from typing import Any

from cspops.commands.image_folder import Contents
from cspops.commands.options import Preset

MODEL = "timm:resnet50"
PUBLISHED = ("timm/resnet50.a1_in1k", "model.safetensors")
"""Where timm publishes its weights of that model: a repository of the model hub, and a file there."""
SECONDS = 5.0
"""To wait for the model hub."""
LATER = (
    "the published weights of {model} are out of reach, so params.yaml sets random ones and the image network is untrained "
    "until you run, with a connection, dvc exp run -S image_encoder.weights=pretrained; without one, with weights that you "
    "have, -S image_encoder.weights=file:PATH"
)
FEW = 1000
"""With fewer images, held-out blocks of the map leave too little to learn from, and small shares of the labels no rows."""
FEW_VALUES: dict[str, Any] = {
    "split.label_ratios": [0.25, 0.5, 1.0],
    "split.val": 0.2,
    "split.test": 0.2,
    "split.spatial_val": 0.0,
    "split.spatial_test": 0.0,
}
SENTINEL_2 = (12, 13)
"""Bands of its products, without and with band 10; the red, green and blue ones and a white of reflectance 0.3."""
SENTINEL_2_RGB: dict[str, Any] = {"bands": [4, 3, 2], "white": 3000.0}


def preset_of(contents: Contents) -> Preset:
    """Return satellite where most images are TIFFs, else photos."""
    return "satellite" if 2 * len(contents.tiffs) > contents.images else "photos"


def values(preset: Preset, folder: Path, contents: Contents, source: str) -> tuple[dict[str, Any], str | None]:
    """Return the values of params.yaml by key, and a warning about what is to be set later, or None."""
    near = published_within_reach()
    fitting: dict[str, Any] = {
        "image_encoder.model": MODEL,
        "image_encoder.weights": "pretrained" if near else "random",
        "image_encoder.px": None,
        "image_encoder.crop": 1.0 if preset == "satellite" else None,
        "image_encoder.interpolation": None,
        "pretrain_img.method": "none",
    }
    fitting |= bands(folder, contents, source, "images" if preset == "satellite" else "overhead_images")
    if contents.images < FEW:
        fitting |= FEW_VALUES
    return fitting, None if near else LATER.format(model=MODEL)


def for_features(folder: Path, contents: Contents) -> dict[str, Any]:
    """Return the values for a table of embeddings, by key: which they are, and that no network is pre-trained."""
    from cspops.intake.tables.features import matrix_beside, recognised_features
    from cspops.intake.tables.table_files import open_file

    (table,) = contents.tables
    features = recognised_features(open_file(folder / table, key=None)[0].names) or matrix_beside(folder / table, folder)
    few = FEW_VALUES if len(contents.tables[table]) < FEW else {}
    return {"dataset.table.features": features, "pretrain_img.method": "none"} | few


def are_features(contents: Contents) -> bool:
    """Return whether the only table brings image features instead of images."""
    if len(contents.tables) != 1:
        return False
    (rows,) = contents.tables.values()
    return bool(rows["image_features"].null_count < len(rows))


def bands(folder: Path, contents: Contents, source: str, which: str = "images") -> dict[str, Any]:
    """Return the values that make RGB of Sentinel-2 images, by key; none where the first TIFF has other bands.

    Among photos TIFFs are overhead images: ``which`` is then `overhead_images`.
    """
    if not contents.tiffs or bands_of(folder / contents.tiffs[0]) not in SENTINEL_2:
        return {}
    return {f"dataset.{source}.{which}.{key}": value for key, value in SENTINEL_2_RGB.items()}


def published_within_reach() -> bool:
    """Return whether the published weights are in the cache of the model hub, or can be downloaded from there."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(*PUBLISHED), str):
        return True
    try:
        get_hf_file_metadata(hf_hub_url(*PUBLISHED), timeout=SECONDS)
    except Exception:  # whatever keeps a download from its end
        return False
    return True


def bands_of(file: Path) -> int | None:
    """Return how many bands a GeoTIFF has; None for a file that is none."""
    import rasterio
    from rasterio.errors import RasterioIOError

    from cspops.pixels.gdal import gdal_alone

    try:
        with gdal_alone(), rasterio.open(file, driver="GTiff") as opened:
            return int(opened.count)
    except RasterioIOError:
        return None
