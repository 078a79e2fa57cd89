"""What methods are given besides the images: rasters by name and by path, of training rows alone."""

import json

import numpy as np
import pytest
import torch
from image_sites import photos, site
from PIL import Image
from test_pretrain_img import TRAIN, N, captures, view
from unlabelled import unlabelled

from cspops.errors import DataError
from cspops.models.backbones import build_image_network
from cspops.params.image_networks import MethodSettings
from cspops.pipeline import pretrain_img
from cspops.pipeline.pretraining_inputs import extra_inputs


def asked(method: str, **changes) -> MethodSettings:
    return view(method, **changes).settings


def test_only_what_a_method_asks_for_is_read(tmp_path):
    at = site(tmp_path, paths=["a.png"])
    assert extra_inputs(asked("moco"), unlabelled(4), at) == {}
    assert extra_inputs(asked("tile2vec"), unlabelled(4), at) == {}
    assert extra_inputs(asked("tile2vec", raster="file:no.png"), unlabelled(4), at) == {}


def test_a_raster_lies_in_the_project_and_is_read_as_images_are(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    (tmp_path / "maps").mkdir()
    Image.fromarray(pixels).save(tmp_path / "maps" / "big.png")
    at = site(tmp_path, paths=["a.png"])
    settings = asked("tile2vec", mode="tiles", raster="file:maps/big.png")
    found = extra_inputs(settings, unlabelled(4), at)
    assert np.array_equal(found["raster"].numpy(), pixels)
    with pytest.raises(DataError, match=r"raster .*maps/none\.png cannot be used: image file is not there"):
        extra_inputs(settings.model_copy(update={"raster": "file:maps/none.png"}), unlabelled(4), at)


def test_tiles_of_a_raster_train_the_network(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    at = site(tmp_path, paths=photos(tmp_path / "raw", N, side=32), train=TRAIN)
    Image.fromarray(pixels).save(tmp_path / "big.png")
    pretrain_img.run(view("tile2vec", epochs=1, mode="tiles", tile_px=32, raster="file:big.png"), at)
    assert json.loads((at.reports / "pretrain_img.json").read_text())["tiles_from"] == "a raster, seen whole"


def test_land_cover_of_the_embedded_raster_is_that_of_training_rows(tmp_path):
    """The sea at the first row alone, which is not trained on, is no class. The note says where the labels come from."""
    where = captures()["lonlat"]
    where[1] = (-140.0, 10.0)
    at = site(tmp_path, paths=photos(tmp_path / "raw", N, side=32), train=TRAIN, lonlat=where)
    assert not TRAIN[1]
    network = build_image_network("timm:test_resnet", pretrained=False, px=32, seed=0)
    images = pretrain_img.training_images(network, at, torch.device("cpu"))
    land = extra_inputs(asked("geokr", side_km=30.0), images, at)["land_cover"]
    assert len(land.rows) + land.left_out == sum(TRAIN)
    assert land.note.startswith("It uses extra information: the shares of the classes of the embedded raster of climate zones")
    assert land.note.endswith("squares of 30 km around the training places, and the labels of the embedded data set are drawn "
                              "from that same raster")  # fmt: skip
    ours = {(10 + row // 2 * 8.0, 45 - row // 2 * 4.0) for row in range(N) if TRAIN[row]}
    assert {tuple(at) for at in images.lonlat.tolist()} == ours


def test_land_cover_of_a_file(tmp_path):
    """Two classes, west and east of 30 E; rows outside are left out and counted."""
    import rasterio

    values = np.full((40, 40), 3, np.uint8)
    values[:, 20:] = 9
    with rasterio.open(
        tmp_path / "land.tif", "w", driver="GTiff", width=40, height=40, count=1, dtype="uint8", crs="EPSG:4326",
        transform=rasterio.Affine(1, 0, 10, 0, -1, 50),
    ) as opened:  # fmt: skip
        opened.write(values[None])
    at = site(tmp_path, paths=photos(tmp_path / "raw", N, side=32), **captures())
    pretrain_img.run(view("geokr", epochs=1, raster="file:land.tif", side_km=100.0), at)
    facts = json.loads((at.reports / "pretrain_img.json").read_text())
    assert facts["classes"] == 2
    assert facts["without_land_cover"] == sum(lon > 51 or lat < 9 for lon, lat in captures()["lonlat"])
    assert facts["note"].endswith("of the raster land.tif in squares of 100 km around the training places")
