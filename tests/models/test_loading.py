"""A location encoder from its folder."""

import json

import pytest
import torch

from cspops.errors import DataError
from cspops.models.checkpoint import save_model
from cspops.models.heads import ClassEmbedding
from cspops.models.loading import load_location_classifier, load_location_encoder
from cspops.models.location_encoder import LocationClassifier, LocationEncoder

CONFIG = {"encoding": {"name": "wrap"}, "network": {"name": "ffn", "hidden": 8}, "dim": 6}
LONLAT = torch.tensor([[8.5, 47.4], [-180.0, -90.0]])


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path, LocationEncoder(CONFIG), CONFIG)
    return tmp_path


def test_what_was_saved_is_loaded_in_eval_mode_without_touching_random_numbers(folder):
    torch.manual_seed(0)
    encoder = LocationEncoder(CONFIG).eval()
    save_model(folder, encoder, CONFIG)
    before = torch.random.get_rng_state()
    again = load_location_encoder(str(folder))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(again(LONLAT), encoder(LONLAT))
    assert not again.training


@pytest.mark.parametrize("broken", ["{}", '{"dim": 3, "classes": 4}', '{"encoding": {"name": "nope"}, "network": {}}'])
def test_another_config(folder, broken):
    (folder / "config.json").write_text(broken)
    with pytest.raises(DataError, match="describes no location encoder"):
        load_location_encoder(folder)


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match=r"config\.json is missing") as caught:
        load_location_encoder(tmp_path / "nothing")
    assert "import-checkpoint" in str(caught.value.hint)


@pytest.mark.parametrize("bias", [False, True])
def test_a_classifier_is_loaded_with_its_bias_and_one_without_says_nothing_of_it(tmp_path, bias):
    """So that folders of before, and imported ones, are as those of today."""
    model = LocationClassifier(LocationEncoder(CONFIG), ClassEmbedding(6, 3, bias=bias), link="softmax").eval()
    save_model(tmp_path, model, model.config)
    assert ("bias" in json.loads((tmp_path / "config.json").read_text())) == bias
    again = load_location_classifier(tmp_path)
    assert (again.config, again.link) == (model.config, "softmax")
    assert torch.equal(again(LONLAT), model(LONLAT))


@pytest.mark.parametrize(
    ("bias", "message"), [(1, "describes no location classifier"), (False, "does not fit its config.json")]
)
def test_a_wrong_bias_is_a_sentence(tmp_path, bias, message):
    model = LocationClassifier(LocationEncoder(CONFIG), ClassEmbedding(6, 3, bias=True))
    save_model(tmp_path, model, model.config | {"bias": bias})
    with pytest.raises(DataError, match=message):
        load_location_classifier(tmp_path)
