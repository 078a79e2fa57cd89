"""The card of an exported folder: front matter that parses, numbers where there are some, words where there are none."""

import copy
import re

import pytest
from huggingface_hub import ModelCard
from ruamel.yaml import YAML

from cspops.report.model_card import model_card

IMAGE = {
    "model": "timm:resnet10t", "px": 32, "crop": 0.875, "interpolation": "bilinear", "mean": [0.5], "sd": [0.2],
    "weights": "random", "bands": None, "black": 0.0, "white": None, "features": 512, "head": True,
}  # fmt: skip


def scores(top1, ece):
    return {
        "top1": {"mean": top1, "sd": 0.25},
        "nll": {"mean": 0.9, "sd": 0.0},
        "ece": {"mean": ece, "sd": 0.1},
        "this_seed": 61.0,
    }


POOL = {
    "image": [0.8, 0.9], "place": [0.5, 1.25], "image_alone": 0.7, "fade_km": 300.0, "kernel_km": 150.0, "count_weight": 2.0,
    "places": 1000,
}  # fmt: skip
WHOLE = {
    "cspops": "0.1.0", "git": {"commit": "c0ffee", "changed": True}, "stage": "run", "seed": 3, "label_ratio": 0.05,
    "imported": {}, "dim": 256, "classes": 28, "image": IMAGE, "pool": POOL,
    "encoder": {"dim": 256, "encoding": {"name": "grid", "scales": 32}},
    "data": {
        "source": "blue_marble", "title": "Tiles: of the Earth", "licence": "public domain", "citation": "Somebody (2005).",
        "non_commercial": False, "observations": 35000, "classes": 28, "training_rows": 20000,
        "located_training_rows": 19000, "box": [-179.5, -55.0, 179.0, 83.0], "labelled_rows": 1000,
    },
    "params": {"loss": "mc", "losses.mc": {"terms": "a|b"}},
    "metrics": {"seeds": [3, 4], "scores": {"test": {"combined": scores(60.5, 9.6), "pool": scores(61.0, 3.0)}}},
    "lacking": [],
    "onnx": {"combined.onnx": {name: {"onnx": 1.2e-6, "torch": 9e-7} for name in ("probabilities", "pool_probabilities")}},
    "files": {"classes.json": {"bytes": 1234, "sha256": "ab"}},
}  # fmt: skip


def card(**changes):
    return model_card(copy.deepcopy(WHOLE) | changes)


def front_matter(text):
    return YAML(typ="safe").load(re.match(r"---\n(.*?)---\n", text, re.DOTALL)[1])


def test_the_front_matter_is_what_hubs_read():
    found = front_matter(card())
    assert (found["library_name"], found["license"]) == ("cspops", "apache-2.0")
    assert found["pipeline_tag"] == "image-classification"
    assert {"onnx", "safetensors"} <= set(found["tags"])
    [entry] = found["model-index"]
    [result] = entry["results"]
    assert entry["name"] == "CSP image and location classifier, Tiles: of the Earth"
    assert (result["dataset"]["split"], result["metrics"][0]["type"]) == ("test", "accuracy")
    assert [one["value"] for one in result["metrics"]] == [0.605, 0.61]


def test_one_seed_has_no_deviation():
    text = card(metrics=WHOLE["metrics"] | {"seeds": [3]})
    assert "Top-1 accuracy, per cent: one seed, 3. The spatial" in text
    assert "| test | product | 60.50 | 61.00 | 0.90 | 9.60 |" in text


def test_no_name_steers_a_terminal_that_shows_the_card():
    text = card(data=WHOLE["data"] | {"title": "Tiles\x1b[2J", "citation": "\u202eSomebody"}, params={"a": "\x9b1m"})
    assert not {"\x1b", "\u202e", "\x9b"} & set(text)
    assert r"# CSP image and location classifier, Tiles\x1b\[2J" in text
    assert front_matter(text)["model-index"][0]["name"].endswith("Tiles\x1b[2J")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "Validation chose all of these but the 300 km, 3 times the median distance of a validation row from a label."),
        ({"fade_km": None}, "Validation chose all of these."),
        ({"fade_km": None, "image_alone": 1.0}, "Validation chose all of these but a without a position, a default: no "),
        ({"image_alone": 1.0}, "validation row from a label; and a without a position, a default: no validation row without"),
        ({"image": [1.0, 1.0], "place": [1.0, 1.0], "count_weight": 0.0, "fade_km": None}, "These are defaults, the plain "),
        ({"image": [1.0, 1.0], "place": [1.0, 1.0]}, "Validation chose all of these but the 300 km"),
    ],
)
def test_the_card_says_what_validation_chose_of_the_pool(changes, says):
    assert says in card(pool=POOL | changes)


def test_the_numbers_are_there():
    text = card()
    for part in (
        "This is the model of seed 3 at 5 % of the labels.",
        "revision `c0ffee` with changes that are not in it",
        "35,000 observations of 28 classes, 20,000 of them to train on (19,000 with a position), ",
        ", 1,000 of these with their label.",
        "Training positions: -179.5 to 179 degrees of longitude, -55 to 83 of latitude.",
        "| test | product | 60.50 (0.25) | 61.00 | 0.90 (0.00) | 9.60 (0.10) |",
        "of `pool` 3.0 %, of the plain product 9.6 %",
        "2 exp(-d^2 / 2 h^2) for each labelled neighbour of class y, d km away and among the 100 nearest, h = 150 km. a = 0.8 "
        "and b = 0.5 near labels, 0.9 and 1.25 "
        "far from them, fading over 300 km; without a position a = 0.7.",
        "`places.parquet` and `onnx/combined.onnx` hold the positions and classes of 1,000 labelled training rows, which tell "
        "where their images were taken.",
        'session.run(["pool_probabilities"]',
        "`location_probabilities`, and `pool_probabilities`, float32",
        "| `onnx/combined.onnx` | `probabilities` | 1.2e-06 | 9.0e-07 |",
        "the centre square of 0.875 of the shorter side, resized to 32 x 32 pixels, bilinear as in Pillow.",
        '| `losses.mc.terms` | `"a\\|b"` |',
        "| `classes.json` | 1,234 | `ab` |",
    ):
        assert part in text


def test_what_is_not_known_is_not_said():
    text = card(metrics={}, git=None, pool=None, onnx={}, lacking=["Metrics: none."])
    for part in ("## Metrics", "revision", "neighbours", "onnxruntime", "held-out"):
        assert part not in text
    assert "Not in this folder:\n\n- Metrics: none." in text
    assert "was not measured" in text
    assert "model-index" not in front_matter(text)
    assert "onnx" not in front_matter(text)["tags"]


@pytest.mark.parametrize(
    ("changes", "says", "not_said"),
    [
        (
            {"places": 0},
            "are not in this folder: the pool counts no neighbours and weighs as far from labels.",
            "`places.",
        ),
        ({"places": 0, "fade_km": None}, "not in this folder: the pool counts no neighbours.", "far from them"),
    ],
)
def test_which_pool_is_in_the_folder(changes, says, not_said):
    text = card(pool=POOL | changes)
    assert says in text
    assert not_said not in text


@pytest.mark.parametrize(
    ("changes", "measured", "says"),
    [
        ({}, ("image", "combined"), 'was not measured; `combine="product"` gives what was.'),
        ({"image": None}, ("location",), 'was not measured; `combine="location"` gives what was.'),
        ({}, ("combined", "pool"), None),
        ({"pool": None}, ("combined",), None),
    ],
)
def test_a_pool_that_was_not_measured_is_named(changes, measured, says):
    text = card(**changes, metrics={"seeds": [3], "scores": {"test": {name: scores(60.5, 9.6) for name in measured}}})
    assert ("was not measured" in text) == (says is not None)
    assert says is None or says in text


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (
            {"bands": [4, 3, 2], "white": 3000.0},
            "Bands 4, 3, 2, counted from 1, are R, G, B. Values of more than 8 bits from 0 to 3",
        ),
        ({"black": 10.0}, "from 10 to the largest value of the file's kind become 0 to 255"),
    ],
)
def test_how_deep_images_become_rgb(image, says):
    assert says in card(image=IMAGE | image)


NAMES = (
    *("a: b", "- #x", '"quoted"', "a|b", "{{ seed }}", "*a* [b](c) `d`"),
    *("two\nlines", "---", "null", "1e3", "é %"),
)


@pytest.mark.parametrize("name", NAMES)
def test_names_with_a_meaning_in_yaml_or_markdown_stay_names(name):
    text = card(data=WHOLE["data"] | {"title": name}, params={"dataset.x": [name], "y": {name: name}})
    read = ModelCard(text)
    assert {one.dataset_name for one in read.data.eval_results} == {name}
    heading, *others = [line for line in read.text.splitlines() if line.startswith("# ")]
    assert others == []
    assert heading.replace("\\", "").endswith(" ".join(name.split()))
    rows = read.text.split("## Params")[1].split("## Files")[0].strip().splitlines()
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in rows] == [3, 3, 3, 3]


def test_a_location_encoder_alone():
    text = card(image=None, classes=None, pool=None, metrics={}, stage="pretrain", label_ratio=None)
    assert "model.encode_location([[8.54, 47.37]])" in text
    assert "onnx/location_encoder.onnx" in text
    assert "saw no label" in text
    assert "P(y" not in text.split("## Data")[1]
    assert "probabilit" not in text.split("## Data")[1].split("## Files")[0].lower()
    assert front_matter(text)["pipeline_tag"] == "feature-extraction"


def test_an_imported_checkpoint_has_settings_and_an_unknown_origin():
    data = {"source": None, "title": None, "licence": None, "citation": None, "non_commercial": False}
    imported = {"file": "model.pth.tar", "sha256": "cd", "epoch": 31, "kind": "gridcell"}
    text = card(stage="imported", imported=imported, image=None, pool=None, metrics={}, params={}, data=data, git=None)
    assert "# Imported location model model.pth.tar" in text
    assert "(`gridcell`, SHA-256 `cd`)" in text
    assert "What the model was trained on is not known to cspops" in text
    assert '| `encoding.name` | `"grid"` |' in text
    assert front_matter(text)["license"] == "unknown"
