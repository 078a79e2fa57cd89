"""GAIR in stage pretrain-img, what featurize and pretrain make of it, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from image_sites import photos, site
from PIL import Image
from small_gair import settings
from test_pretrain_img import ROOT

from cspops.data.features import read_features
from cspops.errors import DataError
from cspops.gair.stored import load_gair_location, load_overhead
from cspops.params import graph, load, with_values
from cspops.params.graph import FeaturizeView, PretrainImgView, PretrainView
from cspops.pipeline import featurize, pretrain, pretrain_img
from cspops.pipeline.pixels import OVERHEAD, Squares, decoded

N = 12
LONLAT = [(10.0 + row % 4, 45.0) for row in range(N)]
BBOX = [(lon - 1.0, 44.5, lon + 1.5, 46.0) for lon, _ in LONLAT]


def view(**changes) -> PretrainImgView:
    encoder = load(ROOT / "params.yaml").image_encoder.model_copy(update={"model": "timm:test_resnet", "px": 32})
    return PretrainImgView(image_encoder=encoder, method="gair", settings=settings(epochs=1, batch_size=8, **changes))


def at(folder, *, bbox=BBOX, overhead=True, lonlat=LONLAT, label=None):
    """Photos and overhead images are the same files, in another order."""
    folder.mkdir(exist_ok=True)
    files = photos(folder / "raw", N)
    above = files[::-1] if overhead else [None] * N
    given = {"overhead": above, "bbox": bbox} if bbox else {}
    return site(folder, paths=files, lonlat=lonlat, label=label, train=[row % 3 > 0 for row in range(N)], **given)


def after(made, *, stage: str):
    """The site of a stage after pretrain-img."""
    inputs = dict(made.inputs) | {"pretrain-img": made.out}
    folder = made.out.parent
    for name in (f"{stage}_out", f"{stage}_scratch"):
        (folder / name).mkdir()
    return dataclasses.replace(made, inputs=inputs, out=folder / f"{stage}_out", scratch=folder / f"{stage}_scratch")


def test_whole_overhead_images_are_decoded_in_the_order_of_the_rows(tmp_path) -> None:
    """48 x 40 pixels squeezed into squares of 16: the mean stays, as no part is cut off."""
    made = at(tmp_path)
    rows = np.array([1, 4, 11])
    pixels = decoded(rows, Squares(16, crop=None), made, stage="x", kind="y", otherwise="z", column=OVERHEAD)

    for row, one in zip(rows, pixels, strict=True):
        whole = np.asarray(
            Image.open(tmp_path / "raw" / f"photos/{N - 1 - row}.png").resize((16, 16), Image.Resampling.BICUBIC)
        )
        assert np.array_equal(one, whole)


def test_features_at_a_place_are_what_the_overhead_map_says_there(tmp_path) -> None:
    made = at(tmp_path)
    pretrain_img.run(view(features="overhead_at_place"), made)
    then = after(made, stage="featurize")
    featurize.run(FeaturizeView(), then)
    got = read_features(then.out, [f"o{row}" for row in range(N)])[:]
    pixels = decoded(np.arange(N), Squares(32, crop=None), then, stage="x", kind="y", otherwise="z", column=OVERHEAD)
    with torch.no_grad():
        expected = load_overhead(made.out)(pixels, torch.tensor(BBOX).double(), torch.tensor(LONLAT).double()).half()
    assert np.allclose(got, expected.numpy(), atol=2e-3)
    assert json.loads((made.out / "config.json").read_text())["features"] == "overhead_at_place"


def test_stage_pretrain_takes_the_location_encoder_over_for_each_seed(tmp_path) -> None:
    made = at(tmp_path)
    pretrain_img.run(view(), made)
    then = after(made, stage="pretrain")
    asked = [("loss", "gair"), ("pretrain_img.method", "gair"), ("seeds", (3, 5))]
    pretrain.run(graph.view(with_values(load(ROOT / "params.yaml"), asked), PretrainView), then)
    weights = [(then.out / f"seed_{seed}" / "model.safetensors").read_bytes() for seed in (3, 5)]
    assert weights[0] == weights[1] == (made.out / "gair" / "location" / "model.safetensors").read_bytes()
    assert (then.reports / "curves" / "pretrain.tsv").read_text().split() == ["epoch", "total"]
    assert load_gair_location(made.out).dim == 8


def test_no_label_is_read(tmp_path) -> None:
    made = []
    for number, label in enumerate(([row % 4 for row in range(N)], [(row * 7 + 1) % 5 for row in range(N)])):
        one = at(tmp_path / str(number), label=label)
        pretrain_img.run(view(), one)
        made.append([path.read_bytes() for path in sorted(one.out.rglob("*")) if path.is_file()])
    assert made[0] == made[1]


def test_images_that_are_overhead_images_themselves_are_aligned_with_their_places(tmp_path) -> None:
    made = at(tmp_path, overhead=False)
    pretrain_img.run(view(features="overhead_at_place"), made)
    facts = json.loads((made.reports / "pretrain_img.json").read_text())
    assert facts["rows"] == 8 and "no photo" in facts["note"] and facts["retrieval"] == {}


@pytest.mark.parametrize(
    ("changes", "given", "says"),
    [
        ({}, {"bbox": None}, "no row has an overhead image"),
        ({}, {"overhead": False}, "features cannot be photo"),
        ({}, {"lonlat": [(float("nan"), float("nan"))] * N}, "0 training rows with a place"),
    ],
)
def test_what_gair_cannot_be_trained_on_is_said(tmp_path, changes, given, says) -> None:
    with pytest.raises(DataError, match=says):
        pretrain_img.run(view(**changes), at(tmp_path, **given))


def test_a_row_without_an_overhead_image_has_no_feature_at_its_place(tmp_path) -> None:
    made = at(tmp_path, bbox=[*BBOX[:-1], None])
    pretrain_img.run(view(features="overhead_at_place"), made)
    with pytest.raises(DataError, match="1 of 12 rows"):
        featurize.run(FeaturizeView(), after(made, stage="featurize"))
